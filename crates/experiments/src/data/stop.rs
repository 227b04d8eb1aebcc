//! A question that long work asks now and then: shall it end early?

use std::fmt;

use super::error::DataError;

/// Asked from any thread whether to end early; once it says so it must not
/// change its mind. Default: never.
#[derive(Clone, Copy)]
pub struct Stop<'a>(&'a (dyn Fn() -> bool + Sync));

static NEVER: fn() -> bool = || false;

impl<'a> Stop<'a> {
    /// Asks `wanted`.
    pub fn new(wanted: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Stop(wanted)
    }

    /// Whether to end.
    pub fn asked(&self) -> bool {
        (self.0)()
    }

    /// # Errors
    /// [`DataError::Stopped`] when it is time to end.
    pub fn check(&self) -> Result<(), DataError> {
        match self.asked() {
            true => Err(DataError::Stopped),
            false => Ok(()),
        }
    }
}

impl Default for Stop<'_> {
    fn default() -> Self {
        Stop(&NEVER)
    }
}

impl fmt::Debug for Stop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}
