//! All sources → the configuration: the file's text, the environment, the flags.
//!
//! The daemon's commands and `reeld check-config` call [`load`]. It reads one file and nothing else;
//! the environment is an argument.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::check;
use crate::environment;
use crate::error::{ConfigError, Place, Problem};
use crate::file;
use crate::key;
use crate::layer::{Given, Layer, Value};
use crate::settings::Config;

/// The longest file that is read, bytes: a hundred times a full one. It keeps `--config /dev/zero`
/// from filling the memory.
const MAX_FILE: u64 = 1 << 20;

/// Flags that lie over everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--data-dir`: over `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`: over `api.listen`.
    pub listen: Option<String>,
}

/// A configuration as it was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is legal in it but worth a warning, a sentence each.
    pub warnings: Vec<String>,
}

/// Reads and checks the configuration: defaults, under the file, under `REELD_` variables, under
/// flags. `data_dir` that nobody says is the first folder of `STATE_DIRECTORY`, which systemd sets.
///
/// # Errors
/// [`ConfigError::Read`] where the file cannot be read, [`ConfigError::Invalid`] with everything
/// that is wrong in any source.
pub fn load(
    path: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let variables: Vec<_> = variables.into_iter().collect();
    let state_directory = variables
        .iter()
        .find(|(name, value)| name == "STATE_DIRECTORY" && !value.is_empty())
        .map(|(_, value)| value.clone());

    let file = match path {
        Some(path) => {
            let text = text(path).map_err(|source| ConfigError::Read {
                path: path.to_owned(),
                source,
            })?;
            file::read(path, &text, &mut problems)
        }
        None => Layer::default(),
    };
    let layers = [
        listen_flag(flags),
        environment::read(variables, &mut problems),
        file,
    ];
    let (mut config, warnings) = check::check(&layers, &mut problems);

    // Paths need not be UTF-8, so these two do not go through the layers.
    let data_dir = key::find("", "data_dir");
    let is_said = data_dir.is_some_and(|key| layers.iter().any(|layer| layer.get(key).is_some()));
    if let Some(folder) = &flags.data_dir {
        config.data_dir.clone_from(folder);
    } else if let (Some(folders), false) = (state_directory, is_said) {
        config.data_dir = first_folder(&folders);
    }
    in_order(&mut problems);
    if problems.is_empty() {
        Ok(Loaded { config, warnings })
    } else {
        Err(ConfigError::Invalid(problems))
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if file.take(MAX_FILE + 1).read_to_string(&mut text)? as u64 > MAX_FILE {
        return Err(std::io::Error::other(
            "longer than 1 MiB, which no configuration is",
        ));
    }
    Ok(text)
}

fn listen_flag(flags: &Flags) -> Layer {
    let given = key::find("api", "listen").zip(flags.listen.clone());
    let given = given.map(|(key, text)| Given {
        key,
        value: Value::Text(text),
        place: Place::Flag("--listen"),
    });
    Layer {
        given: given.into_iter().collect(),
        ..Layer::default()
    }
}

/// systemd separates several folders with colons.
fn first_folder(folders: &OsString) -> PathBuf {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let first = folders
        .as_bytes()
        .split(|byte| *byte == b':')
        .next()
        .unwrap_or_default();
    OsString::from_vec(first.to_vec()).into()
}

/// The file's problems by line, then the others.
fn in_order(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| match &problem.place {
        Place::File { line, .. } => *line,
        Place::Variable(_) | Place::Flag(_) | Place::Default => usize::MAX,
    });
}
