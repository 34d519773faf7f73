//! What `/metrics` says of calls that come by themselves, and of what brings them.
//!
//! Each line is there from the start, so that the first of a kind is a step that a rate shows. Their number is that of the
//! kinds: no address, name or account is a label.

use std::fmt::Write as _;

use reeld_model::Incoming;

/// All of it.
pub(super) fn text(of: &Incoming) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, lines: Vec<(String, u64)>| {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# HELP reeld_{name} {help}\n# TYPE reeld_{name} {kind}\n"
        );
        for (labels, value) in lines {
            let _ = writeln!(text, "reeld_{name}{labels} {value}");
        }
    };
    let source = |(by, count): (reeld_model::Bringer, u64)| {
        (format!("{{source=\"{}\"}}", by.as_str()), count)
    };
    metric(
        "incoming_calls",
        "gauge",
        "Calls open that came by themselves.",
        of.calls_open().map(source).collect(),
    );
    metric(
        "incoming_calls_begun_total",
        "counter",
        "Calls that came by themselves and were taken.",
        of.calls_begun().map(source).collect(),
    );
    metric(
        "incoming_calls_refused_total",
        "counter",
        "Calls that came by themselves and were not taken, by why.",
        of.calls_declined()
            .map(|(by, why, count)| (pair("source", by.as_str(), "reason", why.as_str()), count))
            .collect(),
    );
    metric(
        "incoming_calls_ended_total",
        "counter",
        "Calls that came by themselves and are over, by why.",
        of.calls_ended()
            .map(|(by, over, count)| (pair("source", by.as_str(), "cause", over.as_str()), count))
            .collect(),
    );
    metric(
        "incoming_recordings_total",
        "counter",
        "Recordings that such calls have begun.",
        of.recordings_begun().map(source).collect(),
    );
    metric(
        "incoming_connections",
        "gauge",
        "Connections open by which such calls come.",
        of.connections_open()
            .map(|(way, count)| (format!("{{by=\"{}\"}}", way.as_str()), count))
            .collect(),
    );
    metric(
        "incoming_connections_refused_total",
        "counter",
        "Connections closed at once, by why.",
        of.connections_refused()
            .map(|(way, why, count)| (pair("by", way.as_str(), "reason", why.as_str()), count))
            .collect(),
    );
    metric(
        "incoming_messages_total",
        "counter",
        "Messages of signalling, and datagrams at open ports that are not recorded, by what became of them.",
        of.messages_come()
            .map(|(way, fate, count)| (pair("by", way.as_str(), "result", fate.as_str()), count))
            .collect(),
    );
    let [followed, answering] = of.rtpengines();
    for (name, help, count) in [
        (
            "rtpengines_followed",
            "rtpengines that are followed.",
            followed,
        ),
        (
            "rtpengines_answering",
            "Those of them that answer.",
            answering,
        ),
    ] {
        metric(name, "gauge", help, vec![(String::new(), count)]);
    }
    text
}

fn pair(name: &str, value: &str, other: &str, its: &str) -> String {
    format!("{{{name}=\"{value}\",{other}=\"{its}\"}}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reeld_model::incoming::{Declined, Fate, Over, Way};
    use reeld_model::{Bringer, Incoming};

    use super::*;

    #[test]
    fn each_figure_is_shown_under_its_labels_and_there_is_a_line_of_each() {
        let incoming = Arc::new(Incoming::default());
        let lines = text(&incoming).lines().count();
        incoming.begun(Bringer::Siprec);
        incoming.begun(Bringer::Siprec);
        incoming.ended(Bringer::Siprec, Over::HungUp);
        incoming.declined(Bringer::Sip, Declined::NoAccount);
        incoming.recorded(Bringer::Rtpengine);
        incoming.messages(Way::OpenPort, Fate::Stranger, 7);
        let _open = incoming.connected(Way::SipTls);
        incoming.connection_refused(Way::AudioSocket, true);
        incoming.follows(false);
        let text = text(&incoming);
        for line in [
            "reeld_incoming_calls{source=\"siprec\"} 1",
            "reeld_incoming_calls_begun_total{source=\"siprec\"} 2",
            "reeld_incoming_calls_ended_total{source=\"siprec\",cause=\"hung-up\"} 1",
            "reeld_incoming_calls_refused_total{source=\"sip\",reason=\"no-account\"} 1",
            "reeld_incoming_recordings_total{source=\"rtpengine\"} 1",
            "reeld_incoming_messages_total{by=\"open-port\",result=\"stranger\"} 7",
            "reeld_incoming_connections{by=\"sip-tls\"} 1",
            "reeld_incoming_connections_refused_total{by=\"audiosocket\",reason=\"not-allowed\"} 1",
            "reeld_incoming_connections_refused_total{by=\"sip-tcp\",reason=\"busy\"} 0",
            "reeld_rtpengines_followed 1",
            "reeld_rtpengines_answering 0",
        ] {
            assert!(text.lines().any(|is| is == line), "{line}: {text}");
        }
        assert_eq!(text.lines().count(), lines, "what is counted adds no line");
    }
}
