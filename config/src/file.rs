//! TOML text → [`Layer`]: finds every key's line, and names the nearest known key for an unknown one.
//!
//! `load` calls it with the file's text, `check` for the one TOML literal of a default. Values are
//! taken as they are written; whether a key can take them is `check`'s matter.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Kind, Place, Problem};
use crate::key::{self, ACCOUNT_KEYS, ACCOUNTS, KEYS, OPEN, OPEN_KEYS, TABLES};
use crate::layer::{Given, GivenAccount, GivenOpen, Layer, Value};

/// Reads a file's text. What is wrong with it is added to `problems`; the rest is still read, so
/// that one run shows all of it.
pub(crate) fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let mut reader = Reader {
        path,
        text,
        problems,
        layer: Layer::default(),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        reader.top(table.get_ref());
    }
    for error in errors {
        let span = error.span().unwrap_or_default();
        // What lies there is repeated only where it is a key, not where it may be a value.
        let is_key = error.message() == "duplicate key";
        let key = if is_key {
            text.get(span.clone()).unwrap_or_default()
        } else {
            ""
        };
        reader.problem(span, key, Kind::Syntax, error.message().to_owned());
    }
    reader.layer
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
    layer: Layer,
}

impl Reader<'_> {
    fn top(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            if key::find("", text).is_some() {
                self.key("", name.span(), text, value.get_ref());
            } else if text == ACCOUNTS {
                self.accounts(name.span(), value);
            } else if TABLES.iter().any(|(table, _)| *table == text) {
                match value.get_ref().as_table() {
                    Some(keys) => {
                        for (name, value) in keys {
                            if (text, name.get_ref().as_ref()) == OPEN {
                                self.open_ports(name.span(), value);
                            } else {
                                self.key(text, name.span(), name.get_ref(), value.get_ref());
                            }
                        }
                    }
                    None => self.problem(
                        name.span(),
                        text,
                        Kind::Value,
                        format!(
                            "expected a table, [{text}], found {}",
                            kind(value.get_ref())
                        ),
                    ),
                }
            } else {
                self.unknown("", name.span(), text);
            }
        }
    }

    fn key(&mut self, table: &str, span: Range<usize>, name: &str, value: &DeValue<'_>) {
        match key::find(table, name) {
            Some(key) => {
                let place = self.place(span);
                self.layer.given.push(Given {
                    key,
                    value: taken(value),
                    place,
                });
            }
            None => self.unknown(table, span, name),
        }
    }

    fn accounts(&mut self, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let Some(entries) = value.get_ref().as_array() else {
            let reason = format!(
                "expected [[accounts]] entries, found {}",
                kind(value.get_ref())
            );
            self.problem(span, ACCOUNTS, Kind::Value, reason);
            return;
        };
        for entry in entries {
            let Some(keys) = entry.get_ref().as_table() else {
                let reason = format!("expected a table, found {}", kind(entry.get_ref()));
                self.problem(entry.span(), ACCOUNTS, Kind::Value, reason);
                continue;
            };
            let mut account = GivenAccount {
                place: self.place(entry.span()),
                sid: None,
                auth_token_file: None,
            };
            for (name, value) in keys {
                let said = Some((taken(value.get_ref()), self.place(name.span())));
                match name.get_ref().as_ref() {
                    "sid" => account.sid = said,
                    "auth_token_file" => account.auth_token_file = said,
                    other => self.unknown(ACCOUNTS, name.span(), other),
                }
            }
            self.layer.accounts.push(account);
        }
    }

    fn open_ports(&mut self, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        const NAME: &str = "media.open";
        let Some(entries) = value.get_ref().as_array() else {
            let found = kind(value.get_ref());
            let reason = format!("expected [[media.open]] entries, found {found}");
            self.problem(span, NAME, Kind::Value, reason);
            return;
        };
        for entry in entries {
            let Some(keys) = entry.get_ref().as_table() else {
                let reason = format!("expected a table, found {}", kind(entry.get_ref()));
                self.problem(entry.span(), NAME, Kind::Value, reason);
                continue;
            };
            let mut open = GivenOpen {
                place: self.place(entry.span()),
                given: Vec::new(),
            };
            for (name, value) in keys {
                let key = OPEN_KEYS
                    .iter()
                    .find(|key| key.name == name.get_ref().as_ref());
                match key {
                    Some(key) => {
                        let place = self.place(name.span());
                        open.given.push((key, taken(value.get_ref()), place));
                    }
                    None => self.unknown(NAME, name.span(), name.get_ref()),
                }
            }
            self.layer.open.push(open);
        }
    }

    /// An unknown key, with the nearest one of its table; else with the same name elsewhere.
    fn unknown(&mut self, table: &str, span: Range<usize>, name: &str) {
        let here: Vec<&str> = match table {
            "" => KEYS
                .iter()
                .filter(|key| key.table.is_empty())
                .map(|key| key.name)
                .chain(
                    TABLES
                        .iter()
                        .map(|(table, _)| *table)
                        .filter(|table| !table.is_empty()),
                )
                .chain([ACCOUNTS])
                .collect(),
            ACCOUNTS => ACCOUNT_KEYS.iter().map(|(name, _)| *name).collect(),
            "media.open" => OPEN_KEYS.iter().map(|key| key.name).collect(),
            _ => KEYS
                .iter()
                .filter(|key| key.table == table)
                .map(|key| key.name)
                .collect(),
        };
        let elsewhere = KEYS
            .iter()
            .find(|key| key.name == name && !key.table.is_empty());
        let hint = match (elsewhere, key::nearest(name, here)) {
            (Some(key), _) => format!("; {} is a key", key.path()),
            (None, Some(near)) if table.is_empty() => format!("; the nearest is {near}"),
            (None, Some(near)) => format!("; the nearest is {table}.{near}"),
            (None, None) => String::new(),
        };
        let path = if table.is_empty() {
            name.to_owned()
        } else {
            format!("{table}.{name}")
        };
        self.problem(
            span,
            &path,
            Kind::Unknown,
            format!("there is no such key{hint}"),
        );
    }

    fn problem(&mut self, span: Range<usize>, key: &str, kind: Kind, reason: String) {
        let place = self.place(span);
        self.problems.push(Problem {
            place,
            key: key.to_owned(),
            kind,
            reason,
        });
    }

    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.as_bytes().iter().take(span.start);
        Place::File {
            path: self.path.to_owned(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
        }
    }
}

/// The default of a key, which is a TOML literal.
pub(crate) fn literal(text: &str) -> Option<Value> {
    DeValue::parse(text)
        .ok()
        .map(|value| taken(value.get_ref()))
}

fn taken(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.as_ref().to_owned()),
        DeValue::Boolean(bool) => Value::Bool(*bool),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map_or(
                Value::Other("a list of something else than strings"),
                Value::List,
            ),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    taken(value).kind()
}
