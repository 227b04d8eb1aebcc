//! Requests to the hub.

use std::thread::sleep;
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, Proxy, RequestBuilder};

use super::HubOptions;
use super::verify::Checksum;
use crate::AstError;

/// Redirects within the hub, for moved models and cached small files.
const MAX_REDIRECTS: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Why something did not come.
pub(super) enum Problem {
    /// No answer, or one that may be better next time.
    Unreachable { url: String, reason: String },
    /// A clear no.
    Refused { url: String, status: u16 },
    /// A large file of which nobody says how large it is.
    Unannounced { url: String, limit: u64 },
    /// Nothing to do with the network.
    Fatal(AstError),
}

impl From<AstError> for Problem {
    fn from(error: AstError) -> Self {
        Problem::Fatal(error)
    }
}

/// What the hub says about a file.
pub(super) struct About {
    /// In bytes.
    pub size: Option<u64>,
    pub checksum: Option<Checksum>,
    /// State of the repository.
    pub commit: Option<String>,
}

pub(super) struct Client {
    agent: Agent,
    authorization: Option<String>,
    attempts: u32,
}

impl Client {
    pub fn new(options: &HubOptions) -> Self {
        // System certificates, among which companies put those of their proxies.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let proxy = options.system_proxy.then(Proxy::try_from_env).flatten();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls.build())
            .proxy(proxy)
            // Followed here, where it is certain who gets the token.
            .max_redirects(0)
            .timeout_resolve(Some(options.timeout))
            .timeout_connect(Some(options.timeout))
            .timeout_recv_response(Some(options.timeout))
            .timeout_per_read(Some(options.timeout))
            .user_agent(concat!("ast-model/", env!("CARGO_PKG_VERSION")))
            .build();
        Client {
            agent: config.new_agent(),
            authorization: options
                .token
                .as_ref()
                .map(|token| format!("Bearer {token}")),
            attempts: options.attempts,
        }
    }

    /// What the hub says about a file; nothing if it has none of that name.
    pub fn about(&self, url: &str) -> Result<Option<About>, Problem> {
        match self.patiently(|| self.ask(url)) {
            Ok(about) => Ok(Some(about)),
            Err(Problem::Refused { status: 404, .. }) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// [`about`](Self::about) for a file without which nothing works.
    pub fn must_have(&self, url: &str) -> Result<About, Problem> {
        self.patiently(|| self.ask(url))
    }

    /// The content of a file from byte `from` on. The answer may begin earlier:
    /// its status says so.
    pub fn get(&self, url: &str, from: u64) -> Result<Response<Body>, Problem> {
        let mut at = url.to_owned();
        let mut trusted = true;
        for _ in 0..MAX_REDIRECTS {
            let mut request = self.agent.get(&at);
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let response = self.send(request, &at, trusted)?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let target = location(&response).unwrap_or_default();
            at = match within(&at, &target) {
                Some(target) => target,
                None if is_elsewhere(&at, &target) => {
                    trusted = false;
                    target
                }
                None => return Err(lost(url, &format!("a redirect to {target:?}"))),
            };
        }
        Err(lost(url, &"too many redirects"))
    }

    fn send(
        &self,
        mut request: RequestBuilder<WithoutBody>,
        url: &str,
        trusted: bool,
    ) -> Result<Response<Body>, Problem> {
        if let Some(authorization) = self.authorization.as_ref().filter(|_| trusted) {
            request = request.header("Authorization", authorization);
        }
        request.call().map_err(|error| lost(url, &error))
    }

    /// Does something until it succeeds, is refused, or has brought nothing
    /// too often. `Err` with [`Problem::Unreachable`] counts as nothing.
    pub fn patiently<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..self.attempts {
            match attempt() {
                Err(Problem::Unreachable { .. }) => sleep(pause),
                result => return result,
            }
            pause *= 2;
        }
        attempt()
    }

    fn ask(&self, url: &str) -> Result<About, Problem> {
        let mut about = About {
            size: None,
            checksum: None,
            commit: None,
        };
        let mut at = url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            let response = self.send(self.agent.head(&at), &at, true)?;
            let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
            let number = |name: &str| header(name)?.parse().ok();
            about.commit = about.commit.or(header("X-Repo-Commit"));
            about.size = about.size.or(number("X-Linked-Size"));
            let linked = header("X-Linked-ETag").and_then(|tag| Checksum::from_etag(&tag));
            about.checksum = about.checksum.or(linked);
            let own = || header("ETag").and_then(|tag| Checksum::from_etag(&tag));
            if response.status().is_success() {
                about.checksum = about.checksum.or_else(own);
                about.size = about.size.or(number("Content-Length"));
                return Ok(about);
            }
            if !response.status().is_redirection() {
                return Err(refusal(url, response.status()));
            }
            // What lies elsewhere is a store that knows less than the hub.
            let target = location(&response).and_then(|target| within(&at, &target));
            match target {
                Some(target) if about.checksum.is_none() => at = target,
                _ => return Ok(about),
            }
        }
        Err(lost(url, &"too many redirects"))
    }
}

fn location(response: &Response<Body>) -> Option<String> {
    let target = response.headers().get("Location")?;
    Some(target.to_str().ok()?.to_owned())
}

/// Whether a redirect leads to another server, and to a protected one if it
/// comes from such.
fn is_elsewhere(url: &str, target: &str) -> bool {
    let plain = target.starts_with("http://") && !url.starts_with("https://");
    plain || target.starts_with("https://")
}

/// The address a redirect leads to, if it stays on the same server.
fn within(url: &str, target: &str) -> Option<String> {
    let host = url.find("://")? + 3;
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    let origin = &url[..end];
    if target.starts_with('/') && !target.starts_with("//") {
        return Some(format!("{origin}{target}"));
    }
    let rest = target.strip_prefix(origin)?;
    rest.starts_with('/').then(|| target.to_owned())
}

/// A status that brings no content.
pub(super) fn refusal(url: &str, status: StatusCode) -> Problem {
    let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
    if passing {
        return lost(url, &format!("the server answers {status}"));
    }
    Problem::Refused {
        url: url.to_owned(),
        status: status.as_u16(),
    }
}

/// What did not come, and why.
pub(super) fn lost(url: &str, reason: &dyn std::fmt::Display) -> Problem {
    Problem::Unreachable {
        url: url.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn only_redirects_on_the_same_server_keep_the_token() {
        let url = "https://hub.example/a/b";
        let on = |target| within(url, target);
        assert_eq!(on("/x/y").as_deref(), Some("https://hub.example/x/y"));
        assert_eq!(
            on("https://hub.example/z").as_deref(),
            Some("https://hub.example/z")
        );
        assert_eq!(on("https://hub.example.evil/z"), None);
        assert_eq!(on("//evil.example/z"), None);
        assert_eq!(on("http://hub.example/z"), None);
    }
}
