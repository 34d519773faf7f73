use reeld_network::{Scenario, play};
#[test]
fn zz() {
    for seed in 0..1000 {
        let s = Scenario::of(seed, 60);
        let v = play(&s);
        if v.failures.is_empty() {
            continue;
        }
        let f = |t: &reeld_network::scenario::TrackPlan| {
            format!(
                "{}{}{}{} {:?}",
                if t.sender.squeezed > 0.0 { "Q" } else { "-" },
                if t.sender.reports.is_some() { "R" } else { "-" },
                if t.path.detours.is_empty() { "-" } else { "D" },
                t.sender.skew_ppm,
                t.path.jitter
            )
        };
        let fl = &v.failures[0];
        println!(
            "{seed} {:?} {:?} {:.1} at {:.1} {} | {} | {}",
            fl.rule,
            fl.track,
            fl.error_ms,
            fl.at,
            fl.after,
            f(&s.tracks[0]),
            f(&s.tracks[1])
        );
    }
}
