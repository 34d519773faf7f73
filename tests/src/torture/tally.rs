//! What a long run has tried and found so far, in a file, so that it can be stopped and taken up.
//!
//! The file is JSON, a count a name, and replaced whole after each round.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Counts by name, in a file.
#[derive(Debug)]
pub struct Tally {
    path: Option<PathBuf>,
    counts: BTreeMap<String, u64>,
}

impl Tally {
    /// The tally in this file, empty where there is none; none at all is kept in memory alone.
    ///
    /// # Panics
    /// When the file is no tally.
    #[must_use]
    pub fn open(path: Option<PathBuf>) -> Self {
        let text = path.as_deref().and_then(|path| fs::read(path).ok());
        let counts = text.map_or_else(BTreeMap::new, |text| {
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
        });
        Self { path, counts }
    }

    /// The one in the file that the environment names in `TALLY`.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::open(std::env::var_os("TALLY").map(PathBuf::from))
    }

    /// A count.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Counts.
    pub fn add(&mut self, name: &str, more: u64) {
        *self.counts.entry(name.to_owned()).or_default() += more;
    }

    /// Keeps the larger one.
    pub fn at_most(&mut self, name: &str, seen: u64) {
        let most = self.counts.entry(name.to_owned()).or_default();
        *most = seen.max(*most);
    }

    /// Writes the file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn save(&self) {
        if let Some(path) = &self.path {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder).expect("the tally's folder can be made");
            let part = path.with_extension("part");
            fs::write(&part, self.text()).expect("the tally can be written");
            fs::rename(part, path).expect("the tally can be replaced");
        }
    }

    /// All of it, as in the file.
    ///
    /// # Panics
    /// Never: counts are JSON.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(&self.counts).expect("counts are JSON") + "\n"
    }
}

/// A number that the environment gives, such as `ROUNDS`, or this one.
///
/// # Panics
/// When it is no number.
#[must_use]
pub fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_taken_up_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/tally.json");
        let mut tally = Tally::open(Some(path.clone()));
        tally.add("rounds", 2);
        tally.at_most("slowest", 5);
        tally.at_most("slowest", 3);
        tally.save();
        let again = Tally::open(Some(path));
        assert_eq!((again.get("rounds"), again.get("slowest")), (2, 5));
        assert_eq!(again.get("lost"), 0);
    }
}
