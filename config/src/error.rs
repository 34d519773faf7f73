//! What is wrong with a configuration, and where it was said.
//!
//! `load` collects every problem of a configuration, so that one run of `reeld check-config` shows
//! them all. No value of a key that may hold a secret is repeated in a reason.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was read, and these things are wrong; at least one. Displayed as the first of them.
    #[error("{}{}", .0[0], more(.0.len()))]
    Invalid(Vec<Problem>),
}

fn more(problems: usize) -> String {
    match problems {
        0 | 1 => String::new(),
        _ => format!(
            " (and {} more: reeld check-config lists them)",
            problems - 1
        ),
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said.
    pub place: Place,
    /// The key's full name; empty where the text is no TOML.
    pub key: String,
    /// What kind of problem it is.
    pub kind: Kind,
    /// What is wrong, in words.
    pub reason: String,
}

/// Kinds of problems: what a person does about them differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The text is no TOML.
    Syntax,
    /// There is no such key.
    Unknown,
    /// The value is not one that the key takes, or contradicts another.
    Value,
    /// The value is right, but what it asks for is not built yet.
    NotBuilt,
}

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// In a flag.
    Flag(&'static str),
    /// Nowhere: it is the default, which contradicts something that was said.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}
