//! What is wrong with a configuration, said so that it can be mended at once.

use ::core::fmt;
use std::io;
use std::path::PathBuf;

/// A configuration that a node cannot start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// The file cannot be read.
    #[error(
        "{}: cannot read the configuration: {error}; give the path of a TOML file, such as `--config node.toml`",
        file.display()
    )]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's own words.
        error: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: expected TOML, found what does not parse: {message}; for example `node = 1`", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A key is unknown, missing, or has a value that cannot be.
    #[error(transparent)]
    Value(Box<ValueError>),
}

/// A key whose value cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// The file.
    pub file: PathBuf,
    /// Where the value comes from.
    pub origin: Origin,
    /// The key, with its table: `replication.batch_entries`.
    pub key: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// A line that would do.
    pub example: String,
}

impl ::core::error::Error for ValueError {}

impl fmt::Display for ValueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        match &self.origin {
            Origin::Line(line) => write!(formatter, ":{line}")?,
            Origin::Environment(name) => write!(formatter, " (overridden by the environment's {name})")?,
            Origin::Flag => write!(formatter, " (overridden by a flag)")?,
            Origin::Absent => {}
        }
        write!(
            formatter,
            ": `{}`: expected {}, found {}; for example `{}`",
            self.key, self.expected, self.found, self.example
        )
    }
}

impl From<ValueError> for ConfigFileError {
    fn from(error: ValueError) -> Self {
        Self::Value(Box::new(error))
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This line of the file, from 1.
    Line(usize),
    /// This variable of the environment.
    Environment(String),
    /// A flag on the command line.
    Flag,
    /// Nowhere: it is a default, or missing.
    Absent,
}
