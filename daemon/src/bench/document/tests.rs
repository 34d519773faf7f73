//! The committed document is of the committed figures, and figures read well.

use std::path::Path;

use serde_json::json;

use super::*;

#[test]
fn the_committed_document_is_of_the_committed_figures() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ref");
    let dir = reference.join("performance");
    let reports = Document { dir }.read().unwrap();
    let committed = fs::read_to_string(reference.join("performance.md")).unwrap();
    assert_eq!(
        committed,
        document(&reports),
        "`reeld bench document docs/ref/performance` writes docs/ref/performance.md anew"
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
fn lists_of_what_has_a_name_are_rows() {
    let lists = |ms| json!([{"what": "a page", "ms_p50": ms}, {"what": "a day", "ms_p50": 2}]);
    let report = json!({
        "year": {"start": 1, "lists": lists(1), "deletes": {"what": "deleted", "ms_p50": 3}},
        "day": {"start": 2, "lists": lists(4), "deletes": {"what": "deleted", "ms_p50": 5}},
    });
    let mut out = String::new();
    tables(&mut out, report.as_object().unwrap());
    assert_eq!(
        out,
        "\n|  | year | day |\n| --- | ---: | ---: |\n| start | 1 | 2 |\n\
         | a page | ms p50 1 | ms p50 4 |\n| a day | ms p50 2 | ms p50 2 |\n\
         | deleted | ms p50 3 | ms p50 5 |\n"
    );
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
