//! What `/readyz` and `/metrics` say, of what they are told.

use reeld_model::{Cause, Readings};

use super::*;

#[test]
fn each_thing_that_is_wanting_is_said() {
    let gauges = Gauges {
        max_recordings: 2,
        free_port_pairs: 1,
        ..Gauges::default()
    };
    let health = Health {
        free_bytes: 2,
        min_free_bytes: 1,
        writable: true,
        failing: None,
        unfinished: 0,
        damaged: 0,
        encryption_key: None,
        missing_keys: Vec::new(),
    };
    let events = EventFigures {
        most_recordings: 1,
        ..EventFigures::default()
    };
    let free = Verdict::default();
    assert_eq!(wanting(&gauges, &free, &health, &events), "");
    // What encoders wait for is no reason not to record.
    let encoders = Verdict {
        step: Step::NoEncodes,
        cause: Some(Cause::Ends(9)),
        ..free
    };
    assert_eq!(wanting(&gauges, &encoders, &health, &events), "");
    let loaded = Verdict {
        step: Step::NoRecordings,
        ..encoders
    };
    let full = Gauges {
        recordings: 2,
        free_port_pairs: 0,
        shutting_down: true,
        ..gauges
    };
    let empty = Health {
        free_bytes: 0,
        writable: false,
        failing: Some("sync spool: I/O error".to_owned()),
        ..health.clone()
    };
    let waiting = EventFigures {
        recordings: 1,
        ..events
    };
    let text = wanting(&full, &loaded, &empty, &waiting);
    assert_eq!(text.lines().count(), 8);
    let damaged = Health {
        damaged: 3,
        ..health
    };
    assert_eq!(
        ready_text(&damaged),
        "ready\n3 recordings are damaged (reeld verify)\n"
    );
    for word in [
        "stopping",
        "max_recordings",
        "9 ended recordings",
        "media.ports",
        "min_free",
        "writes",
        "I/O error",
        "callbacks",
    ] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn each_reading_is_shown() {
    let readings = Readings {
        tick_lag: Duration::from_millis(1),
        backlog_bytes: 2,
        backlog_most: 3,
        oldest_block: Duration::from_secs(4),
        longest_sync: Duration::from_millis(5_600),
        ends: 7,
        memory_used: 8,
        memory_most: 9,
        ..Readings::default()
    };
    let text = load(&Verdict {
        step: Step::NoRecordings,
        cause: None,
        readings,
    });
    for line in [
        "reeld_overload_step 3",
        "reeld_media_tick_lag_seconds 0.001",
        "reeld_backlog_bytes 2",
        "reeld_backlog_bytes_max 3",
        "reeld_backlog_oldest_seconds 4.000",
        "reeld_disk_sync_seconds 5.600",
        "reeld_recordings_ending 7",
        "reeld_memory_used_bytes 8",
        "reeld_memory_bytes 9",
    ] {
        assert!(text.lines().any(|is| is == line), "{line}: {text}");
    }
}

#[test]
fn the_oldest_callback_has_an_age() {
    let events = EventFigures {
        events: 3,
        oldest_ms: Some(5_000),
        dead: 7,
        ..EventFigures::default()
    };
    let text = callbacks(&events, &Figures::default(), 65_999);
    for line in [
        "reeld_callbacks_waiting 3",
        "reeld_callbacks_oldest_seconds 60",
        "reeld_callbacks_dead 7",
        "reeld_callbacks_rounds_total{result=\"delivered\"} 0",
        "reeld_callbacks_tries_total{result=\"tls\"} 0",
    ] {
        assert!(text.lines().any(|is| is == line), "{line}: {text}");
    }
    // A clock that was set back makes nothing negative.
    assert!(callbacks(&events, &Figures::default(), 0).contains("oldest_seconds 0\n"));
}
