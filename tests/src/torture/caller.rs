//! Callers and receivers of callbacks who go on until the daemon is gone.
//!
//! A caller starts a recording, plays noise into it, ends it, waits for its file, fetches it, has it
//! encoded and deletes some; all of it is in the [`Ledger`]. What it is doing is seen from outside
//! ([`Phase`]), so that a kill can be aimed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;

use super::Clock;
use super::ledger::{Ledger, tape};
use crate::client::{call_sid, media_address};
use crate::receiver::{Answer, Callback, Receiver};
use crate::sender::{Part, Playing};
use crate::tape::Dice;
use crate::{Client, Sender, Voice};

/// What a receiver thinks before it answers.
const RECEIVER: Duration = Duration::from_millis(20);

/// What is going on at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A start was sent and is not answered.
    Starting,
    /// Packets flow.
    Recording,
    /// It was ended and is not completed.
    Finalising,
    /// An encoding was asked for and is not whole.
    Encoding,
    /// DELETE was sent and is not answered.
    Deleting,
    /// A callback is being answered.
    Callback,
}

impl Phase {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Recording,
        Self::Finalising,
        Self::Encoding,
        Self::Deleting,
        Self::Callback,
    ];

    /// Its name in a tally.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Recording => "recording",
            Self::Finalising => "finalising",
            Self::Encoding => "encoding",
            Self::Deleting => "deleting",
            Self::Callback => "callback",
        }
    }
}

/// How many are in each phase.
#[derive(Debug, Default)]
pub struct Phases([AtomicUsize; 6]);

impl Phases {
    /// Does `act` within a phase.
    pub fn within<T>(&self, phase: Phase, act: impl FnOnce() -> T) -> T {
        self.0[phase as usize].fetch_add(1, Ordering::AcqRel);
        let done = act();
        self.0[phase as usize].fetch_sub(1, Ordering::AcqRel);
        done
    }

    /// Whether anybody is in it.
    #[must_use]
    pub fn is_any(&self, phase: Phase) -> bool {
        self.0[phase as usize].load(Ordering::Acquire) > 0
    }
}

/// What callers of a run share.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// What they know.
    pub ledger: Ledger,
    /// Where marks come from.
    pub clock: Clock,
    /// What they are doing.
    pub phases: Arc<Phases>,
    /// The daemon is gone, or the run is over: whoever plays stops.
    pub over: Arc<AtomicBool>,
    /// The longest tape, in packets of 20 ms.
    pub packets: usize,
}

impl World {
    /// One call after the other until the daemon is gone. `url` is where it is told of them.
    pub fn live(&self, client: &Client, url: &str, first: u64) {
        let mut seed = first;
        while !self.over.load(Ordering::Acquire) && self.call(client, url, seed).is_some() {
            seed += 1;
        }
    }

    /// One call. `None` where an answer did not come.
    fn call(&self, client: &Client, url: &str, seed: u64) -> Option<()> {
        let mut dice = Dice::new(seed ^ 0x746f_7274);
        let (ledger, phases) = (&self.ledger, &self.phases);
        let now = || self.clock.now();
        let samples = 160 * (10 + dice.below(self.packets));
        let dual = dice.below(4) == 0;
        let call = client.path(&format!("/Calls/{}", call_sid(seed)));
        let url = format!("{url}/{seed}");
        let form = [
            ("RecordingTrack", if dual { "both" } else { "inbound" }),
            ("RecordingChannels", if dual { "dual" } else { "mono" }),
            ("RecordingStatusCallback", &url),
            ("RecordingStatusCallbackEvent", "in-progress"),
            ("RecordingStatusCallbackEvent", "completed"),
            ("RecordingStatusCallbackEvent", "absent"),
        ];
        ledger.ask(seed, samples, dual, now());
        let start = phases.within(Phase::Starting, || {
            let path = format!("{call}/Recordings.json");
            client.attempt(Method::POST, &path, &[], Some(&form))
        });
        let start = self.right(start.ok()?, 201, "start")?.json();
        let sid = start["sid"].as_str()?.to_owned();
        ledger.note(seed, |entry| entry.started = Some((now(), sid.clone())));
        let tracks = if dual { 2 } else { 1 };
        let parts = ["inbound", "outbound"].into_iter().zip(0..).take(tracks);
        let parts = parts.map(|(name, track)| {
            Some(Part {
                sender: Sender::new(),
                to: media_address(&start, name)?,
                script: Voice::new(seed * 2 + track).say(tape(seed, track, samples).codes()),
            })
        });
        let parts = parts.collect::<Option<Vec<_>>>()?;
        let (last, packets) = (parts.len() - 1, samples / 160);
        phases.within(Phase::Recording, || {
            let playing = Playing::start(parts);
            while playing.sent(last) < packets && !self.over.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(2));
            }
            let sent = playing.stop();
            ledger.note(seed, |entry| entry.sent = sent[0].clone());
        });
        if self.over.load(Ordering::Acquire) {
            return None;
        }
        let path = client.path(&format!("/Recordings/{sid}.json"));
        phases.within(Phase::Finalising, || {
            let end = [("Status", "completed")];
            let ended = client.attempt(Method::POST, &format!("{call}.json"), &[], Some(&end));
            self.right(ended.ok()?, 200, "end")?;
            loop {
                let json = client.attempt(Method::GET, &path, &[], None).ok()?;
                if self.right(json, 200, "recording")?.json()["status"] == "completed" {
                    return Some(());
                }
            }
        })?;
        ledger.note(seed, |entry| entry.completed = Some(now()));
        let wav = client.old_path(&format!("/Recordings/{sid}"));
        let wav = client.attempt(Method::GET, &wav, &[], None).ok()?;
        let wav = *blake3::hash(&self.right(wav, 200, "wav")?.body).as_bytes();
        ledger.note(seed, |entry| entry.wav = Some(wav));
        if dice.below(2) == 0 {
            let mp3 = phases.within(Phase::Encoding, || {
                let path = client.old_path(&format!("/Recordings/{sid}.mp3"));
                client.attempt(Method::GET, &path, &[], None).ok()
            })?;
            let mp3 = *blake3::hash(&self.right(mp3, 200, "mp3")?.body).as_bytes();
            ledger.note(seed, |entry| entry.mp3 = Some(mp3));
        }
        if dice.below(3) == 0 {
            ledger.note(seed, |entry| entry.deleting = Some(now()));
            let deleted = phases.within(Phase::Deleting, || {
                client.attempt(Method::DELETE, &path, &[], None).ok()
            })?;
            self.right(deleted, 204, "delete")?;
            ledger.note(seed, |entry| entry.deleted = Some(now()));
        }
        Some(())
    }

    /// The answer, where it is the right one; another is a finding.
    fn right(&self, reply: crate::Reply, status: u16, what: &str) -> Option<crate::Reply> {
        if reply.status == status {
            return Some(reply);
        }
        let text: String = reply.text().chars().take(200).collect();
        self.ledger
            .find(format!("{what}: {} for {status}: {text}", reply.status));
        None
    }

    /// A receiver of these calls' events. Of ten it refuses one, so that it has to be sent again. It
    /// fetches what it is told of as completed before it answers.
    #[must_use]
    pub fn receiver(&self, seed: u64) -> Receiver {
        let world = self.clone();
        let dice = std::sync::Mutex::new(Dice::new(seed));
        let http = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .expect("a client without TLS and proxy can be built");
        Receiver::start(move |callback| {
            let refuses = dice.lock().is_ok_and(|mut dice| dice.below(10) == 0);
            let phases = Arc::clone(&world.phases);
            phases.within(Phase::Callback, || world.told(&http, callback, refuses))
        })
    }

    fn told(&self, http: &reqwest::blocking::Client, callback: &Callback, refuses: bool) -> Answer {
        // A receiver takes its time, as applications do.
        std::thread::sleep(RECEIVER);
        let sid = callback.parameter("RecordingSid");
        let status = callback.parameter("RecordingStatus");
        let path = callback.target.trim_start_matches('/');
        let seed = path.parse::<u64>().ok();
        let entry = seed.and_then(|seed| self.ledger.book().entries.get(&seed).cloned());
        let Some((seed, entry)) = seed.zip(entry) else {
            let what = format!("a callback to {path}, which nobody asked for");
            self.ledger.find(what);
            return Answer::of(200);
        };
        if let Some((_, known)) = &entry.started
            && known != sid
        {
            let what = format!("{known} was started, its callback is about {sid}");
            self.ledger.find(what);
        }
        if status == "completed" && entry.deleting.is_none() {
            let fetched = http.get(callback.parameter("RecordingUrl")).send();
            // No answer, or not all of it, is a daemon that was killed meanwhile.
            let fetched = fetched.and_then(|reply| Ok((reply.status().as_u16(), reply.bytes()?)));
            if let Ok((code, bytes)) = fetched {
                let mut book = self.ledger.book();
                let entry = book.entries.get(&seed);
                let may_be_gone = entry.is_some_and(|entry| entry.deleting.is_some());
                book.fetched += bytes.len() as u64;
                if code != 200 && !may_be_gone {
                    let what = format!("{sid}: told as completed, its URL answers {code}");
                    book.findings.push(what);
                }
            }
        }
        if refuses {
            return Answer::of(500);
        }
        let mut book = self.ledger.book();
        let mark = self.clock.now();
        if let Some(entry) = book.entries.get_mut(&seed) {
            let again = entry.told.iter().any(|(_, told)| told == status);
            entry.told.push((mark, status.to_owned()));
            book.repeated += u64::from(again);
        }
        Answer::of(200)
    }
}
