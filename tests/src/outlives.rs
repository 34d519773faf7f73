//! What a disk that fails under calls may do to them, and what not, whatever makes it fail.
//!
//! Called by the tests that have such a disk; what fails, and how, is theirs.

use std::time::Duration;

use crate::client::call_sid;
use crate::patience::wait_for;
use crate::script::{Law, Voice};
use crate::sender::{Part, Playing};
use crate::{Client, Daemon, Sender, Started, Tape, judge};

/// Calls that are recorded when it fails.
const CALLS: u64 = 4;
/// Packets before the disk fails, and after.
const BEFORE: usize = 150;
const AFTER: usize = 250;
/// What of those before may be missing: half of them, for a kill costs as much.
const MOST: usize = 75;
/// Until the daemon has seen that the disk fails, or works again.
const BOUND: Duration = Duration::from_secs(60);

/// A finished recording, which nothing that happens to a disk may change.
#[derive(Debug)]
pub struct Old {
    sid: String,
    tape: Tape,
}

impl Old {
    /// Records one.
    ///
    /// # Panics
    /// When it is not exact.
    pub fn record(client: &Client) -> Self {
        let tape = Tape::noise(Law::Mu, 99, 8_000);
        let sid = record_exactly(client, 99, &tape);
        Self { sid, tape }
    }

    /// Holds it to what it was.
    ///
    /// # Panics
    /// When it is another, or is not served.
    pub fn is_served(&self, client: &Client) {
        judge::exact(client.wav(&self.sid).mono(), &self.tape.samples());
    }
}

/// Calls that are spoken to.
#[derive(Debug)]
pub struct Spoken {
    tapes: Vec<Tape>,
    started: Vec<Started>,
    playing: Playing,
}

impl Spoken {
    /// Starts them and waits until so many packets of each are sent.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start(client: &Client, round: u64, before: usize) -> Self {
        let number = |call: u64| 10 * round + call;
        let tapes: Vec<Tape> = (0..CALLS)
            .map(|call| Tape::noise(Law::Mu, number(call), (before + AFTER) * 160))
            .collect();
        let started: Vec<_> = (0..CALLS)
            .map(|call| client.start(&call_sid(number(call)), &[("RecordingTrack", "inbound")]))
            .collect();
        let parts = started
            .iter()
            .zip(&tapes)
            .zip(0..)
            .map(|((started, tape), seed)| Part {
                sender: Sender::new(),
                to: started.inbound(),
                script: Voice::new(seed).say(tape.codes()),
            });
        let playing = Playing::start(parts.collect());
        playing.wait_until(0, before);
        Self {
            tapes,
            started,
            playing,
        }
    }

    /// The disk fails now: new recordings are refused by its name, these are no more than processing, and
    /// all else goes on; until most of what is left is said.
    ///
    /// # Panics
    /// When it is otherwise.
    pub fn meet_the_fault(&self, client: &Client, round: u64, before: usize, old: &Old) {
        let unready = wait_for("/readyz names the disk", BOUND, || {
            let reply = client.get_public("/readyz");
            (reply.status == 503 && reply.text().contains("disk")).then_some(reply)
        });
        assert!(unready.text().contains("disk"), "{}", unready.text());
        let refused = client.try_start(&call_sid(50 + round), &[]).expect(503);
        assert!(refused.text().contains("disk"), "{}", refused.text());
        old.is_served(client);
        let list = client.get(&client.path("/Recordings.json"));
        assert_eq!(list.status, 200, "{}", list.text());
        for started in &self.started {
            let status = client.recording(&started.sid)["status"].clone();
            assert_eq!(status, "processing", "round {round}");
        }
        self.playing.wait_until(0, before + AFTER / 2);
    }

    /// Each is finished, ended by this reason, with what was said until the disk failed but for so many
    /// packets, and nothing else.
    ///
    /// # Panics
    /// When it is otherwise.
    pub fn are_finished(self, client: &Client, ended_by: &str, least_packets: usize) {
        for (call, (started, tape)) in self.started.iter().zip(&self.tapes).enumerate() {
            let json = client.wait_completed(&started.sid);
            assert_eq!(json["ended_by"], ended_by, "{json}");
            assert_eq!(json["recovered"], ended_by == "recovered", "{json}");
            let wav = client.wav(&started.sid);
            let pieces = judge::pieces(wav.mono(), tape);
            assert_eq!(pieces.len(), 1, "call {call}: {pieces:?}");
            assert_eq!((pieces[0].at, pieces[0].tape), (0, 0));
            assert!(
                pieces[0].length >= least_packets * 160,
                "call {call}: {pieces:?}"
            );
        }
        self.playing.stop();
    }
}

/// Calls are recorded while the disk begins to fail, and ends it.
///
/// # Panics
/// When a call, an old recording or the daemon itself fares worse than they may.
pub fn a_fault(daemon: &Daemon, round: u64, old: &Old, begin: impl Fn(), end: impl Fn()) {
    let (client, pid) = (daemon.client(), daemon.pid());
    let spoken = Spoken::start(client, round, BEFORE);
    begin();
    spoken.meet_the_fault(client, round, BEFORE, old);
    end();
    wait_for("/readyz is content again", BOUND, || {
        (client.get_public("/readyz").status == 200).then_some(())
    });
    // Nothing that was being recorded goes on: when the disk works again, it has ended.
    spoken.are_finished(client, "disk-failed", BEFORE - MOST);
    record_exactly(client, 60 + round, &old.tape);
    old.is_served(client);
    daemon.command(&["verify"]).success();
    assert_eq!(daemon.pid(), pid);
    let told = "the disk works again";
    assert!(daemon.log().contains(told), "{}", daemon.log());
}

/// A recording of this tape, from its start to its end; its Sid.
///
/// # Panics
/// When it is not exact.
pub fn record_exactly(client: &Client, call: u64, tape: &Tape) -> String {
    let started = client.start(&call_sid(call), &[("RecordingTrack", "inbound")]);
    Sender::new().play(started.inbound(), Voice::new(99).say(tape.codes()));
    judge::exact(client.finish(&started).mono(), &tape.samples());
    started.sid
}
