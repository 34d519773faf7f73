//! Runs are put together by what their figures are, and bounds are held.

use super::*;

fn run(ratio: f64, lost: u64) -> Figures {
    let per_track = if ratio > 1.0 { 60_000 } else { 50_000 };
    Figures {
        packets_sent: 1_000,
        packets_recorded: 1_000 - lost,
        cpu_ratio_to_bare_loop: ratio,
        cpu_us_per_packet_by_thread: BTreeMap::from([("media".to_owned(), ratio)]),
        resident_bytes_per_track: per_track,
        ..Figures::default()
    }
}

fn report(runs: Vec<Figures>, peers: Vec<PeerFigures>) -> Report {
    Report::new(Machine::here(), 500, 10, false, runs, peers)
}

#[test]
fn runs_make_one_figure_each() {
    let report = report(vec![run(1.2, 0), run(0.8, 3), run(0.9, 0)], Vec::new());
    let figures = &report.figures;
    assert_eq!(
        (figures.packets_sent, figures.packets_recorded),
        (3_000, 2_997)
    );
    assert_eq!(figures.cpu_ratio_to_bare_loop, 0.9);
    assert_eq!(figures.cpu_us_per_packet_by_thread["media"], 0.9);
    assert_eq!(figures.resident_bytes_per_track, 60_000);
    assert_eq!(
        (
            report.cpu_ratio_to_bare_loop_least,
            report.cpu_ratio_to_bare_loop_most
        ),
        (0.8, 1.2)
    );
    assert_eq!(report.missed(), Vec::<String>::new());
}

#[test]
fn every_bound_is_held() {
    let missed = |change: fn(&mut Report)| {
        let mut report = report(vec![run(1.0, 0)], Vec::new());
        change(&mut report);
        report.missed().len()
    };
    assert_eq!(missed(|_| {}), 0);
    assert_eq!(
        missed(|report| report.figures.cpu_ratio_to_bare_loop = 1.01),
        1
    );
    // Few tracks are not held to the bare loop.
    assert_eq!(
        missed(|report| (report.calls, report.figures.cpu_ratio_to_bare_loop) = (499, 1.01)),
        0
    );
    assert_eq!(
        missed(|report| report.figures.resident_bytes_per_track = (64 << 10) + 1),
        1
    );
    assert_eq!(
        missed(|report| report.figures.resident_bytes_before = (60 << 20) + 1),
        1
    );
    assert_eq!(missed(|report| report.encoders_busy = true), 1);
    let peer = |ratio| PeerFigures {
        cpu_ratio_to_reeld_under_load: ratio,
        ..PeerFigures::default()
    };
    let peers = report(vec![run(1.0, 0)], vec![peer(15.0), peer(14.9)]);
    assert_eq!(peers.missed().len(), 1);
}

#[test]
fn what_is_lost_or_late_fails_every_run() {
    assert_eq!(run(1.0, 0).broken(&[]).count(), 0);
    assert_eq!(run(1.0, 1).broken(&[]).count(), 1);
    assert_eq!(run(1.0, 0).broken(&["sample 3".to_owned()]).count(), 1);
    let late = Figures {
        sender_behind_ms: 200.1,
        ..run(1.0, 0)
    };
    assert_eq!(late.broken(&[]).count(), 1);
}
