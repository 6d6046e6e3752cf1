//! How a command ends.

use ::core::fmt;
use std::process::ExitCode;

use crate::driver::config::ConfigFileError;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Ok,
    /// 1: it did not work.
    Failed,
    /// 2: the arguments make no sense.
    Usage,
    /// 3: the configuration makes no sense.
    Configuration,
    /// 4: bytes on disk are not those that were written.
    Corruption,
    /// 5: the node is not the primary.
    NotPrimary,
    /// 6: the node cannot be reached.
    Unreachable,
    /// 7: a replica lags more than it may.
    LagOverLimit,
}

impl Exit {
    /// The code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Corruption => 4,
            Self::NotPrimary => 5,
            Self::Unreachable => 6,
            Self::LagOverLimit => 7,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// With what to exit.
    pub exit: Exit,
    /// What happened and what to do about it.
    pub message: String,
}

impl Failure {
    /// A failure that exits so.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Something did not work.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The arguments make no sense.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl ::core::error::Error for Failure {}

impl From<ConfigFileError> for Failure {
    fn from(error: ConfigFileError) -> Self {
        Self::new(Exit::Configuration, error.to_string())
    }
}
