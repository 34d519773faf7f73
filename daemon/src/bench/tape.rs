//! A recording out of virtual time: an hour of a call in a second.
//!
//! Called by `end`. RTP cannot be sent faster than time, since sound is placed by its arrival. So the
//! packets of both tracks go into [`reeld_capture::Call`] with arrivals of their own, a tick each
//! 50 ms, as a media thread would give them, and what comes out goes into the daemon's recorder
//! beside what live calls put out. From there on nothing differs: writer, take, finisher, catalog,
//! outbox. What is not in it is a media thread, and with it the request that wakes one.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reeld_capture::{Call, Port};
use reeld_codec::g711::Law;
use reeld_ingest::{Queued, Sink};
use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, Mono, OpenCall, RecordingSid, StartRecording, Track,
    TrackSelection, Trim,
};
use reeld_store::{Begun, EventMethod, EventStatus, NewRecording, Origin, Store, Subscription};

use super::interrupt;
use crate::caller::rtp::Header;
use crate::caller::{Seeded, Sound};
use crate::clock;

/// Of packets.
const PTIME: Duration = Duration::from_millis(20);

/// `ingest`'s tick.
const TICK: Duration = Duration::from_millis(50);

/// Samples of a packet, which are its bytes too.
const SAMPLES: usize = 160;

/// Bytes of a second of the file: two tracks.
const BYTES_A_SECOND: u64 = 32_000;

/// Seconds that are still in capture's window when the last packet has come, and more.
const WINDOW_SECONDS: u64 = 3;

/// For the recorder to take what it is given.
const PATIENCE: Duration = Duration::from_secs(60);

const STEP: Duration = Duration::from_millis(1);

/// A recording that has all but its end.
pub(super) struct Tape {
    pub(super) sid: String,
    call: Call,
    now: Mono,
}

/// Whose it is, and who is told.
pub(super) struct Wanted<'a> {
    pub(super) account: AccountSid,
    /// Of the API.
    pub(super) base: &'a str,
    pub(super) receiver: String,
    pub(super) seed: u64,
    pub(super) number: u64,
    pub(super) seconds: u64,
}

impl Tape {
    /// Begins a dual recording and records `seconds` of both tracks into it.
    pub(super) fn record(
        wanted: &Wanted<'_>,
        settings: reeld_capture::Settings,
        store: &Store,
        sink: &mut dyn Sink,
    ) -> anyhow::Result<Self> {
        let mut seeds = Seeded::new(wanted.seed ^ wanted.number.rotate_left(32));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&seeds.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&seeds.next_u64().to_be_bytes());
        let sid = RecordingSid::from_bytes(bytes);
        let call = CallSid::from_external(wanted.account, &format!("bench tape {sid}"));
        let length = Duration::from_secs(wanted.seconds);
        let length_ns = u64::try_from(length.as_nanos())?;
        // It has just been said; on a machine that is up for less, it is said ahead of time.
        let begin = Mono(clock::monotonic_ns().saturating_sub(length_ns));
        let created_ms = clock::unix_ms() - i64::try_from(length.as_millis())?;
        let url = format!(
            "{}/2010-04-01/Accounts/{}/Recordings/{sid}",
            wanted.base, wanted.account
        );
        let begun = store.begin(NewRecording {
            sid,
            account: wanted.account,
            call,
            parties: Default::default(),
            channels: Channels::Dual,
            track: TrackSelection::Both,
            trim: Trim::DoNotTrim,
            origin: Origin::ControlApi,
            created_ms,
            tags: Default::default(),
            signalling_json: String::new(),
            idempotency_token: None,
            subscription: Some(Subscription {
                url: wanted.receiver.clone(),
                method: EventMethod::Post,
                events: vec![EventStatus::Completed],
                recording_url: url,
            }),
            action: None,
        })?;
        if !matches!(begun, Begun::New(_)) {
            bail!("{sid} is there already");
        }
        let open = OpenCall::new(wanted.account, call);
        let settings = reeld_capture::Settings {
            allow: vec!["127.0.0.0/8".parse()?],
            ..settings
        };
        let call = Call::open(open, [Some(0); 2], Arc::new(settings), begin, created_ms)?;
        let mut tape = Self {
            sid: sid.to_string(),
            call,
            now: begin,
        };
        let start = StartRecording::new(sid, Channels::Dual, TrackSelection::Both);
        tape.call.start(begin, start)?;
        tape.play(wanted, sink)?;
        Ok(tape)
    }

    fn play(&mut self, wanted: &Wanted<'_>, sink: &mut dyn Sink) -> anyhow::Result<()> {
        let mut sounds = Track::ALL.map(|track| Sound::voice(wanted.seed, wanted.number, track));
        let mut next_tick = self.now + TICK;
        let mut datagram = [0; 12 + SAMPLES];
        let packets = u32::try_from(wanted.seconds * 50)?;
        for packet in 0..packets {
            self.now = self.now + PTIME;
            for (track, sound) in Track::ALL.into_iter().zip(&mut sounds) {
                let header = Header {
                    marker: packet == 0,
                    payload_type: 0,
                    sequence: u16::try_from(packet & 0xffff)?,
                    timestamp: packet.wrapping_mul(u32::try_from(SAMPLES)?),
                    ssrc: 1,
                };
                let (head, codes) = datagram.split_at_mut(12);
                head.copy_from_slice(&header.to_bytes());
                sound.fill(Law::Mu, codes);
                let port = 9 + 2 * u16::try_from(track.index())?;
                let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
                self.call
                    .handle_datagram(track, Port::Rtp, from, self.now, &datagram);
            }
            while next_tick <= self.now {
                self.call.handle_tick(next_tick);
                next_tick = next_tick + TICK;
            }
            self.drain(sink)?;
        }
        Ok(())
    }

    /// Waits until the writer has appended what has come out so far, and makes it power-loss durable,
    /// as the syncer does each second of a live recording.
    pub(super) fn settle(&self, seconds: u64, spool: &Path, store: &Store) -> anyhow::Result<()> {
        let expected = seconds.saturating_sub(WINDOW_SECONDS) * BYTES_A_SECOND;
        let until = Instant::now() + PATIENCE;
        loop {
            interrupt::check()?;
            let mut files = fs::read_dir(spool)?;
            let longest = files.try_fold(0, |longest, entry| {
                let entry = entry?;
                let is_its = entry.file_name().to_string_lossy().contains(&self.sid);
                let length = if is_its { entry.metadata()?.len() } else { 0 };
                std::io::Result::Ok(length.max(longest))
            });
            // A file may go between the listing and the look at it.
            if longest.unwrap_or(0) >= expected {
                break;
            }
            if Instant::now() > until {
                bail!("the take of {} does not grow to {expected} bytes", self.sid);
            }
            std::thread::sleep(STEP);
        }
        store.sync_takes().context("the takes cannot be synced")
    }

    /// Ends the call: the recorder has it all when this returns.
    pub(super) fn end(mut self, sink: &mut dyn Sink) -> anyhow::Result<()> {
        self.call.complete(self.now, EndedBy::CallCompleted);
        self.drain(sink)
    }

    fn drain(&mut self, sink: &mut dyn Sink) -> anyhow::Result<()> {
        while let Some(output) = self.call.poll_output() {
            let until = Instant::now() + PATIENCE;
            let mut queued = Queued::outside(output);
            while let Err(back) = sink.push(queued) {
                interrupt::check()?;
                if Instant::now() > until {
                    bail!("the recorder takes nothing more");
                }
                std::thread::sleep(STEP);
                queued = back;
            }
        }
        Ok(())
    }
}
