//! `systemd/reeld.toml` and `docs/ref/config.md` say what the code does: both are written from the
//! table of keys, and the example, uncommented, is the defaults. `WRITE_REFERENCE=1 cargo test -p
//! reeld-config` writes them anew.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use reeld_config::key::{ACCOUNT_KEYS, KEYS, Key, OPEN_KEYS, TABLES};
use reeld_config::{Config, Flags, load};

/// The folder of the service, which the example shows in place of the default outside systemd.
const SERVICE_FOLDER: &str = "\"/var/lib/reeld\"";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn held(path: &str, expected: &str) {
    let path = root().join(path);
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == expected,
        "{} differs from the table of keys: WRITE_REFERENCE=1 cargo test -p reeld-config",
        path.display()
    );
}

fn keys_of(table: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.table == table)
}

/// A comment of lines of at most 100 columns.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > 100 {
            writeln!(out, "{line}").unwrap();
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(out, "{line}").unwrap();
}

fn example() -> String {
    let mut out = String::new();
    comment(
        &mut out,
        "reeld's configuration: every key, commented out, at its default. Durations are written as 200ms, 5m, 12h; sizes as 64MiB, 1GiB. Environment variables lie over this file (REELD_API__LISTEN=… sets api.listen), flags over both. `reeld check-config` says what is wrong with it. Written from the code's table of keys (config/src/key.rs), as docs/ref/config.md is.",
    );
    for (table, about) in TABLES {
        out.push('\n');
        if !table.is_empty() {
            comment(&mut out, about);
            writeln!(out, "[{table}]").unwrap();
        }
        for (i, key) in keys_of(table).enumerate() {
            if i > 0 {
                out.push('\n');
            }
            comment(&mut out, key.meaning);
            comment(&mut out, &format!("({})", key.unit));
            let value = if key.path() == "data_dir" {
                SERVICE_FOLDER
            } else {
                key.default
            };
            writeln!(out, "#{} = {value}", key.name).unwrap();
        }
    }
    out.push('\n');
    comment(
        &mut out,
        "Open ports, one entry each: RTP that comes there is recorded, though nothing signals it (docs/guide/open-port.md).",
    );
    out.push_str("#[[media.open]]\n");
    for key in OPEN_KEYS {
        comment(&mut out, key.meaning);
        comment(&mut out, &format!("({})", key.unit));
        let value = key.default.unwrap_or("\"127.0.0.1:5004\"");
        writeln!(out, "#{} = {value}", key.name).unwrap();
    }
    out.push('\n');
    comment(
        &mut out,
        "Accounts can stand here, one entry each, or in the catalog (reeld account add).",
    );
    out.push_str("#[[accounts]]\n");
    for (name, meaning) in ACCOUNT_KEYS {
        comment(&mut out, meaning);
        let value = if *name == "sid" {
            "AC00000000000000000000000000000001"
        } else {
            "/etc/reeld/token"
        };
        writeln!(out, "#{name} = \"{value}\"").unwrap();
    }
    out
}

fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Every key, its default and its environment variable. Written from the code's table of keys\n\
         (`config/src/key.rs`) and held to it by a test; the commented example is `systemd/reeld.toml`.\n\n\
         The file is TOML. Environment variables lie over it, flags (`--data-dir`, `--listen`) over both. A key or a\n\
         `REELD_` variable that is not listed here is an error. Lists are comma-separated in a variable. Durations are\n\
         written as `200ms`, `5m`, `12h`, sizes as `64MiB`, `1GiB` or a number of bytes. `reeld check-config FILE` says\n\
         what is wrong with a file: line, key, reason.\n",
    );
    for (table, about) in TABLES {
        if table.is_empty() {
            out.push_str("\n## Top level\n");
        } else {
            write!(out, "\n## `[{table}]`\n\n{}\n", about.replace('<', "\\<")).unwrap();
        }
        out.push_str("\n| key | default | takes | what it does | variable |\n| --- | --- | --- | --- | --- |\n");
        for key in keys_of(table) {
            let cell = |text: &str| text.replace('|', "\\|").replace('<', "\\<");
            let (unit, meaning) = (cell(key.unit), cell(key.meaning));
            writeln!(
                out,
                "| `{}` | `{}` | {unit} | {meaning} | `{}` |",
                key.name,
                key.default,
                key.variable()
            )
            .unwrap();
        }
    }
    out.push_str("\n## `[[media.open]]`\n\nAn entry an open port ([guide](../guide/open-port.md)); no variable sets its keys.\n\n| key | default | takes | what it does |\n| --- | --- | --- | --- |\n");
    for key in OPEN_KEYS {
        let default = key
            .default
            .map_or("required".to_owned(), |default| format!("`{default}`"));
        writeln!(
            out,
            "| `{}` | {default} | {} | {} |",
            key.name, key.unit, key.meaning
        )
        .unwrap();
    }
    out.push_str("\n## `[[accounts]]`\n\nAn entry an account; both keys are required, and no variable sets them.\n\n| key | what it does |\n| --- | --- |\n");
    for (name, meaning) in ACCOUNT_KEYS {
        writeln!(out, "| `{name}` | {meaning} |").unwrap();
    }
    out
}

#[test]
fn the_example_has_every_key() {
    held("systemd/reeld.toml", &example());
}

#[test]
fn the_reference_has_every_key() {
    held("docs/ref/config.md", &reference());
}

/// A line of the example without the mark that turns it off.
fn uncommented(line: &str) -> &str {
    match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest,
        _ => line,
    }
}

#[test]
fn the_example_uncommented_is_the_defaults() {
    let live: String = example()
        .lines()
        .map(|line| format!("{}\n", uncommented(line)))
        .collect();
    assert_eq!(
        live.lines()
            .filter(|line| line.contains(" = ") && !line.starts_with('#'))
            .count(),
        KEYS.len() + OPEN_KEYS.len() + 2
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), live).unwrap();
    let mut config = load(Some(file.path()), [], &Flags::default())
        .unwrap()
        .config;
    assert_eq!(config.accounts.len(), 1);
    assert_eq!(config.data_dir, Path::new("/var/lib/reeld"));
    config.accounts.clear();
    assert_eq!(config.media.open.len(), 1);
    config.media.open.clear();
    config.data_dir = Config::default().data_dir;
    assert_eq!(config, Config::default());
    // As it is shipped it says nothing at all.
    std::fs::write(file.path(), example()).unwrap();
    let shipped = load(Some(file.path()), [], &Flags::default()).unwrap();
    assert_eq!(shipped.config, Config::default());
}
