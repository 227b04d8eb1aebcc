//! What a panic inside a decoder becomes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::{Error, Result};

/// Decoders are other people's code fed with strangers' data: should one
/// panic, that is a fault of this file, not the end of the whole batch.
pub(super) fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::Damaged {
            path: path.into(),
            detail: "the decoder panicked on it".into(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_a_decoder_is_an_error_that_names_the_file() {
        let path = Path::new("clips/odd.flac");
        let calm: Result<u8> = guarded(path, || Ok(7));
        assert_eq!(calm.unwrap(), 7);
        let empty: Vec<u8> = Vec::new();
        let outcomes: [Result<u8>; 2] = [
            guarded(path, || panic!("a frame of {} channels", 70_000)),
            guarded(path, || Ok(empty[path.as_os_str().len()])),
        ];
        for outcome in outcomes {
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains("clips/odd.flac") && text.contains("panicked"),
                "{text}"
            );
        }
    }
}
