//! What a caller may say about a download.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::AstError;

/// How models are fetched. Nothing is taken from environment variables but the
/// proxy; a program that wants `HF_TOKEN` and the like reads them itself.
#[derive(Clone)]
pub struct HubOptions {
    /// Folder that holds the models, made if it is not there.
    pub cache: PathBuf,
    /// Address of the hub or of a mirror. Default `https://huggingface.co`.
    pub endpoint: String,
    /// Access token, for models that are not open to everyone. Sent to
    /// `endpoint` alone, never to where it redirects. Default none.
    pub token: Option<String>,
    /// Attempts in a row that may bring nothing before the download fails; at
    /// least 1. Default 5, with pauses of 0.5, 1, 2 and 4 seconds.
    pub attempts: u32,
    /// Longest wait for a connection, and for the next bytes. Default 30 s.
    pub timeout: Duration,
    /// Use the proxy that the environment names (`ALL_PROXY`, `HTTPS_PROXY`,
    /// `HTTP_PROXY`, with the exceptions in `NO_PROXY`). Default true.
    pub system_proxy: bool,
}

impl HubOptions {
    /// The defaults, with this cache folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        HubOptions {
            cache: cache.into(),
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            attempts: 5,
            timeout: Duration::from_secs(30),
            system_proxy: true,
        }
    }

    /// Checks that the values can be used.
    ///
    /// # Errors
    /// [`AstError::HubOption`] names the first that cannot.
    pub fn validate(&self) -> Result<(), AstError> {
        let bad = |field, problem| Err(AstError::HubOption { field, problem });
        let secure = self.endpoint.starts_with("https://");
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"]
            .iter()
            .filter_map(|host| self.endpoint.strip_prefix(host))
            .any(|rest| rest.is_empty() || rest.starts_with([':', '/']));
        if !secure && !self.endpoint.starts_with("http://") {
            return bad("endpoint", "must begin with https:// or http://");
        }
        if self.token.is_some() && !secure && !local {
            return bad(
                "token",
                "would be sent unprotected; give an endpoint with https://",
            );
        }
        let visible = |token: &String| token.bytes().all(|byte| byte.is_ascii_graphic());
        if self.token.as_ref().is_some_and(|token| !visible(token)) {
            return bad(
                "token",
                "holds a space, a line end or another sign no token has",
            );
        }
        if self.attempts == 0 {
            return bad("attempts", "must be at least 1");
        }
        if self.timeout.is_zero() {
            return bad("timeout", "must be longer than 0");
        }
        Ok(())
    }
}

/// Never shows the token.
impl fmt::Debug for HubOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter
            .debug_struct("HubOptions")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("attempts", &self.attempts)
            .field("timeout", &self.timeout)
            .field("system_proxy", &self.system_proxy)
            .finish()
    }
}

/// How far one file is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Its name.
    pub file: &'a str,
    /// Bytes on the disk, those of earlier attempts included.
    pub received: u64,
    /// Bytes in all, where the hub tells.
    pub total: Option<u64>,
}
