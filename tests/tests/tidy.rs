//! The repository keeps house: what the documents point at exists, each Rust file says what it is and
//! is short, nothing is left half done, and what the compiler does not check is where it is argued.
//!
//! Std only, and no daemon. It reads every file below the workspace's root, but for what is built or
//! recorded there. In a document it holds links, and spans of code that begin with a name at the root
//! (`store/src/kv.rs`); `file.rs::name` says that a function `name` is in that file.

use std::fs;
use std::path::{Path, PathBuf};

/// Rust files have at most so many lines.
const LINES: usize = 600;

/// What is not there when work is done. In two pieces, so that this file holds none of them.
const UNFINISHED: [&str; 3] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
];

/// The word, in two pieces for the same reason.
const UNSAFE: &str = concat!("uns", "afe");

/// Where it may be, and how often: a number that grows is a decision.
const UNSAFE_IN: [(&str, usize); 2] = [("codec/src/mp3/lame.rs", 10), ("ingest/src/batch.rs", 8)];

/// Crates that hold one of these files, and so cannot forbid it.
const ALLOWING: [&str; 2] = ["codec", "ingest"];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("a crate of the workspace is below its root")
        .to_owned()
}

/// Files below `folder` whose names end in `.extension`, with their text.
fn files(folder: &Path, extension: &str, found: &mut Vec<(PathBuf, String)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let entry = entry.expect("a folder that opens can be read");
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        if path.is_dir() && !path.is_symlink() {
            if !name.starts_with('.') && name != "target" && name != "reeld-data" {
                files(&path, extension, found);
            }
        } else if path.extension().is_some_and(|has| has == extension) {
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            found.push((path, text));
        }
    }
}

fn all(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root(), extension, &mut found);
    assert!(
        found.len() > 10,
        "only {} .{extension} files were found",
        found.len()
    );
    found
}

fn report(findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

/// A document's lines with their numbers, but for blocks of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        (!fence && !in_block).then_some((index + 1, line))
    })
}

/// The targets of a line's links that are in this repository, without their `#fragment`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .filter_map(|target| target.split('#').next())
}

/// A line's spans of code.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// What is wrong with the span if it is a path in the repository; nothing is wrong with any other.
fn wrong_path(root: &Path, span: &str) -> Option<String> {
    let (path, function) = span
        .split_once("::")
        .map_or((span, None), |(path, f)| (path, Some(f)));
    let (top, _) = path.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if top.is_empty()
        || matches!(top, "." | "..")
        || !path.chars().all(plain)
        || !root.join(top).is_dir()
    {
        return None;
    }
    // Data of `make run` and what cargo builds are there on some machines alone.
    if matches!(top, "reeld-data" | "target") {
        return None;
    }
    if !root.join(path).exists() {
        return Some(format!("`{path}` does not exist"));
    }
    let function = function?;
    let text = fs::read_to_string(root.join(path)).unwrap_or_default();
    (!text.contains(&format!("fn {function}("))).then(|| format!("`{path}` has no `fn {function}`"))
}

#[test]
fn what_documents_point_at_exists() {
    let root = root();
    let mut findings = Vec::new();
    let mut links_seen = 0;
    for (file, text) in all("md") {
        let folder = file.parent().unwrap();
        for (number, line) in prose(&text) {
            let mut finding =
                |what: String| findings.push(format!("{}:{number}: {what}", file.display()));
            for target in links(line) {
                links_seen += 1;
                let inside = folder.join(target).canonicalize().is_ok_and(|path| {
                    path.starts_with(root.canonicalize().expect("the root is there"))
                });
                if !inside {
                    finding(format!(
                        "the link to {target} leads nowhere in this repository"
                    ));
                }
            }
            spans(line)
                .filter_map(|span| wrong_path(&root, span))
                .for_each(&mut finding);
        }
    }
    assert!(links_seen > 10, "only {links_seen} links were found");
    report(&findings);
}

/// The tests that a threat's row names, in its last cell.
fn tests_of(row: &str) -> Vec<&str> {
    let last = row.trim().trim_end_matches('|').rsplit('|').next();
    let named = last.into_iter().flat_map(spans);
    named.filter(|span| span.contains(".rs::")).collect()
}

/// Whether the function is there as a test.
fn is_test(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let name = format!("fn {function}(");
    lines.iter().enumerate().any(|(at, line)| {
        let before = &lines[at.saturating_sub(3)..at];
        let is_marked = |line: &&str| matches!(*line, "#[test]" | "#[tokio::test]");
        line.contains(&name) && before.iter().any(is_marked)
    })
}

#[test]
fn each_threat_names_tests_that_are_there() {
    let root = root();
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("it is there");
    let threats = text.split("\n## Threats\n").nth(1).expect("it has threats");
    let threats = threats.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = threats
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .filter(|line| !line.starts_with("| threat |"))
        .collect();
    assert!(rows.len() > 25, "only {} threats were found", rows.len());
    let mut findings = Vec::new();
    for row in rows {
        let tests = tests_of(row);
        if tests.is_empty() {
            findings.push(format!("no test shows it: {row}"));
        }
        for test in tests {
            let (path, function) = test.split_once("::").unwrap_or((test, ""));
            let text = fs::read_to_string(root.join(path)).unwrap_or_default();
            if !is_test(&text, function) {
                findings.push(format!("`{test}` is no test"));
            }
        }
    }
    report(&findings);
}

#[test]
fn rust_files_say_what_they_are_and_are_short_and_done() {
    let mut findings = Vec::new();
    for (file, text) in all("rs") {
        let mut finding = |what: String| findings.push(format!("{}: {what}", file.display()));
        if !text.starts_with("//! ") {
            finding("does not open with what it is (`//! …`)".to_owned());
        }
        let lines = text.lines().count();
        if lines > LINES {
            finding(format!("has {lines} lines, {LINES} is the limit"));
        }
        for word in UNFINISHED.into_iter().filter(|word| text.contains(word)) {
            finding(format!("has a {word}…)"));
        }
    }
    report(&findings);
}

/// The lines that ask the compiler to believe something, by number from 0.
fn unchecked(text: &str) -> Vec<usize> {
    let asks = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        let forms = ["{", "impl", "fn", "extern"].map(|what| format!("{UNSAFE} {what}"));
        forms.iter().any(|form| code.contains(form.as_str()))
    };
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| asks(line))
        .map(|(at, _)| at)
        .collect()
}

/// Whether a line, or the statement that it ends, is argued right above.
fn is_argued(text: &str, at: usize) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let above = lines[at.saturating_sub(8)..at].iter().rev();
    let mut seen = above.take_while(|line| !line.is_empty());
    seen.any(|line| line.starts_with("// SAFETY: ") || *line == "/// # Safety")
}

#[test]
fn what_the_compiler_does_not_check_is_where_it_is_argued() {
    let root = root();
    let mut findings = Vec::new();
    let mut counted = Vec::new();
    for (file, text) in all("rs") {
        let name = file.strip_prefix(&root).expect("it is below the root");
        let name = name.to_string_lossy().into_owned();
        let lines = unchecked(&text);
        for at in lines.iter().filter(|at| !is_argued(&text, **at)) {
            findings.push(format!("{name}:{}: nothing says why it is sound", at + 1));
        }
        if !lines.is_empty() {
            counted.push((name.clone(), lines.len()));
        }
        let forbids = text.contains(concat!("#![forbid(uns", "afe_code)]"));
        let of_crate = name
            .strip_suffix("/src/lib.rs")
            .filter(|name| !name.contains('/'));
        if of_crate.is_some_and(|name| !ALLOWING.contains(&name)) && !forbids {
            findings.push(format!("{name} does not forbid it"));
        }
    }
    counted.sort();
    let allowed = UNSAFE_IN.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(counted, allowed, "where it is, and where it may be");
    report(&findings);
}

#[test]
fn what_is_wrong_is_seen() {
    let text = "a [b](c.md#d) [e](https://f)\n```\n[no](no.md)\n```\n`g/h.rs` and `i` [j](#k)\n";
    let lines: Vec<_> = prose(text).collect();
    assert_eq!(
        lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [1, 5]
    );
    assert_eq!(links(lines[0].1).collect::<Vec<_>>(), ["c.md"]);
    assert_eq!(links(lines[1].1).count(), 0);
    assert_eq!(spans(lines[1].1).collect::<Vec<_>>(), ["g/h.rs", "i"]);

    let row = "| a `x/y.rs::no` | b | `c/d.rs::e`, [f](g.md), `h.rs` |";
    assert_eq!(tests_of(row), ["c/d.rs::e"]);
    let text = "#[test]\nfn a() {}\nfn c() {\n1\n}\nfn b() {}\n";
    assert!(is_test(text, "a") && !is_test(text, "b") && !is_test(text, "d"));

    let root = root();
    let wrong = |span| wrong_path(&root, span);
    assert_eq!(wrong("tests/tests/tidy.rs::what_is_wrong_is_seen"), None);
    assert!(
        wrong("tests/tests/tidy.rs::what_is_not_there").is_some_and(|what| what.contains("no `fn"))
    );
    assert!(wrong("tests/tests/no_such_file.rs").is_some_and(|what| what.contains("not exist")));
    assert_eq!(wrong("spool/RE.wav"), None);
    assert_eq!(wrong("/etc/reeld/reeld.toml"), None);

    let text =
        format!("// {UNSAFE} {{\n// SAFETY: so.\n{UNSAFE} {{ a() }}\n\n{UNSAFE} fn b() {{}}\n");
    assert_eq!(unchecked(&text), [2, 4]);
    assert!(is_argued(&text, 2) && !is_argued(&text, 4));
}
