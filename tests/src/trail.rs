//! The audit trail, as `reeld audit` tells it.

use std::time::Duration;

use serde_json::Value;

use crate::Daemon;
use crate::patience::wait_for;

/// How long an entry may take to be there: the disk gets them once a second.
const BOUND: Duration = Duration::from_secs(20);

/// Waits until the trail has so many entries that these arguments ask for, and no more.
///
/// # Panics
/// When it has not in time, or has more.
#[track_caller]
#[must_use]
pub fn trail(daemon: &Daemon, args: &[&str], count: usize) -> Vec<Value> {
    wait(daemon, args, count, |_| true)
}

/// The same of what was done, whoever has fetched what meanwhile.
///
/// # Panics
/// When it has not in time, or has more.
#[track_caller]
#[must_use]
pub fn deeds(daemon: &Daemon, args: &[&str], count: usize) -> Vec<Value> {
    wait(daemon, args, count, |entry| entry["action"] != "fetch")
}

#[track_caller]
fn wait(daemon: &Daemon, args: &[&str], count: usize, is_wanted: fn(&Value) -> bool) -> Vec<Value> {
    let args = [&["audit", "--json"], args].concat();
    let entries = wait_for("entries of the trail", BOUND, || {
        let text = daemon.command(&args).success().text();
        let entries = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        let entries: Vec<Value> = entries.filter(is_wanted).collect();
        (entries.len() >= count).then_some(entries)
    });
    assert_eq!(entries.len(), count, "{entries:#?}");
    entries
}

/// Action, who, form and status.
#[must_use]
pub fn told(entry: &Value) -> [String; 4] {
    ["action", "who", "form", "status"].map(|name| {
        let value = &entry[name];
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    })
}
