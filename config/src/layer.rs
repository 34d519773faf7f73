//! The configuration as it is written: a sparse set of keys with their values, each with the place
//! where it was said. One type for every source (file, environment, flags), so that one source laid
//! over another needs no merging: `check` asks the layers from the top down.
//!
//! Made by `file`, `environment` and `load`; read by `check`. Nothing is judged here.

use crate::error::Place;
use crate::key::{Key, OpenKey};

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// An array of strings.
    List(Vec<String>),
    /// Something that no key takes; its name for messages, with its article.
    Other(&'static str),
}

impl Value {
    /// What it is, for messages, with its article.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a number",
            Self::List(_) => "a list of strings",
            Self::Other(kind) => kind,
        }
    }
}

/// A key's value and where it was said.
#[derive(Debug, Clone)]
pub struct Given {
    /// Which key.
    pub key: &'static Key,
    /// Its value.
    pub value: Value,
    /// Where.
    pub place: Place,
}

/// An `[[accounts]]` entry as it is written.
#[derive(Debug, Clone)]
pub struct GivenAccount {
    /// Where the entry begins.
    pub place: Place,
    /// `sid`.
    pub sid: Option<(Value, Place)>,
    /// `auth_token_file`.
    pub auth_token_file: Option<(Value, Place)>,
}

/// A `[[media.open]]` entry as it is written.
#[derive(Debug, Clone)]
pub struct GivenOpen {
    /// Where the entry begins.
    pub place: Place,
    /// Its keys, each at most once.
    pub given: Vec<(&'static OpenKey, Value, Place)>,
}

/// What one source says.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Its keys, each at most once.
    pub given: Vec<Given>,
    /// Its accounts.
    pub accounts: Vec<GivenAccount>,
    /// Its open ports.
    pub open: Vec<GivenOpen>,
}

impl Layer {
    /// What it says of a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Given> {
        self.given.iter().find(|given| std::ptr::eq(given.key, key))
    }
}
