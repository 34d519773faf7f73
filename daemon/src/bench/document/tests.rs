//! The committed document is what is written here, but for its figures; and figures read well.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::end;
use super::super::growth::{Grown, Size};
use super::super::report::{Figures, Machine, PeerFigures, Report};
use super::*;

/// What does not change with the figures: each line, of a table's rows the names alone.
fn shape(document: &str) -> Vec<String> {
    // Blank lines too: one stands before each line that figures make.
    let figures = |line: &&str| {
        !line.is_empty() && !line.starts_with("Measured on ") && !line.starts_with(BROKEN)
    };
    let first = |line: &str| match line.strip_prefix("| ") {
        Some(row) => row.split('|').next().unwrap_or_default().trim().to_owned(),
        None => line.to_owned(),
    };
    document.lines().filter(figures).map(first).collect()
}

fn reports() -> Vec<Value> {
    let report = |encoders_busy, peers| {
        let figures = Figures {
            cpu_us_per_packet_by_thread: BTreeMap::from([("reeld-media".to_owned(), 1.5)]),
            ..Figures::default()
        };
        let machine = Machine::here();
        json!(Report::new(
            machine,
            500,
            30,
            encoders_busy,
            vec![figures; 2],
            peers
        ))
    };
    let grown = Grown {
        machine: Machine::here(),
        seconds: 20,
        sizes: vec![Size::default(); 2],
    };
    vec![
        report(false, vec![PeerFigures::default(); 2]),
        report(false, Vec::new()),
        report(true, Vec::new()),
        json!(grown),
        json!(end::Report::default()),
    ]
}

#[test]
fn the_committed_document_is_what_this_writes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ref/performance.md");
    let committed = fs::read_to_string(path).unwrap();
    assert_eq!(
        shape(&committed),
        shape(&document(&reports())),
        "make bench writes {path} anew"
    );
}

#[test]
fn figures_read_well() {
    assert_eq!(thousands(0), "0");
    assert_eq!(thousands(15_000_000), "15,000,000");
    assert_eq!(value("resident_bytes_per_call", &json!(65_536)), "64.0 KiB");
    assert_eq!(value("resident_bytes_peak", &json!(3 << 20)), "3.0 MiB");
    assert_eq!(value("seconds", &json!([10, 12])), "10 to 12");
    assert_eq!(
        value("by_thread", &json!({"media": 1.25, "write": 0.5})),
        "media 1.25, write 0.5"
    );
    assert_eq!(
        label("cpu_us_per_packet_steady"),
        "CPU µs per packet steady"
    );
    assert_eq!(
        label("resident_bytes_per_track"),
        "resident memory per track"
    );
}

#[test]
fn figures_that_do_not_count_are_told() {
    let told = |report: Value| broken(report.as_object().unwrap()).len();
    let size = |behind, recorded| json!({"calls": 10, "sender_behind_ms": behind, "packets_sent": 100, "packets_recorded": recorded});
    assert_eq!(told(size(200.0, 100)), 0);
    assert_eq!(told(size(201.0, 99)), 2);
    assert_eq!(told(json!({"sizes": [size(1.0, 100), size(1.0, 99)]})), 1);
}

#[test]
fn groups_of_figures_are_columns() {
    let report = json!({
        "machine": {"cores": 2},
        "seconds": 5,
        "runs": [{"cost": 1}, {"cost": 2}],
        "sizes": [{"calls": 10, "cost": 1.5}, {"calls": 2_500, "cost": 1.25}],
    });
    let mut out = String::new();
    tables(&mut out, report.as_object().unwrap());
    assert_eq!(
        out,
        "\n| figure |  |\n| --- | ---: |\n| seconds | 5 |\n| runs | 2 |\n\
         \n| sizes | 10 | 2,500 |\n| --- | ---: | ---: |\n| calls | 10 | 2,500 |\n| cost | 1.5 | 1.25 |\n"
    );
}
