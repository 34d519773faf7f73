//! `REELD_` variables → [`Layer`]: `REELD_API__LISTEN` is `api.listen`, a list is comma-separated.
//!
//! `load` gives the variables in, so that tests need no environment of their own. A `REELD_` variable
//! that names no key is an error, as an unknown key of the file is: there is no other use of the prefix.

use std::ffi::OsString;

use crate::error::{Kind, Place, Problem};
use crate::key::{self, Form, KEYS, Key};
use crate::layer::{Given, Layer, Value};

/// The prefix of every variable that is ours.
const PREFIX: &str = "REELD_";

/// Reads the variables; those without the prefix are somebody else's.
pub(crate) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) {
            continue;
        }
        let place = Place::Variable(name.clone());
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            problems.push(unknown(&name, place));
            continue;
        };
        let read = value
            .to_str()
            .map_or(Err("expected UTF-8".to_owned()), |text| form(key, text));
        match read {
            Ok(value) => layer.given.push(Given { key, value, place }),
            Err(reason) => {
                problems.push(Problem {
                    place,
                    key: key.path(),
                    kind: Kind::Value,
                    reason,
                });
            }
        }
    }
    layer
}

fn form(key: &Key, text: &str) -> Result<Value, String> {
    match key.form {
        Form::Text => Ok(Value::Text(text.to_owned())),
        Form::Bool => text
            .parse()
            .map(Value::Bool)
            .map_err(|_| format!("expected true or false, found {text:?}")),
        Form::Integer => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| format!("expected a number, {}, found {text:?}", key.unit)),
        Form::List => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Ok(Value::List(items.map(str::to_owned).collect()))
        }
    }
}

fn unknown(name: &str, place: Place) -> Problem {
    // Without the prefix, which would make every name like every other.
    let names: Vec<String> = KEYS
        .iter()
        .map(|key| key.variable()[PREFIX.len()..].to_owned())
        .collect();
    let near = key::nearest(&name[PREFIX.len()..], names.iter().map(String::as_str));
    let hint = near
        .map(|near| format!("; the nearest is {PREFIX}{near}"))
        .unwrap_or_default();
    Problem {
        place,
        key: String::new(),
        kind: Kind::Unknown,
        reason: format!("this variable sets no key{hint}"),
    }
}
