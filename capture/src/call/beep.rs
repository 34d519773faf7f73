//! The beep before a recording: to whom, when, and what waits for its end.
//!
//! Called by [`crate::call`], of which it is a part, and by `ingest` between ticks; calls
//! [`crate::beep`]. It goes to the sender of the inbound track, whom the track must be locked to: what
//! is sent to an address that has not shown itself is sent to whomever somebody names.
//!
//! A recording with a beep is held until the beep is over and [`ECHO`] has passed: it takes nothing
//! of that time, so the beep is not heard in it. One beep serves all that wait for one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use reeld_model::{Beep, Mono, Refusal, StartRecording, Track};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Call;
use crate::beep::{FRAME, FRAMES, Stream, Tone, Transmit};
use crate::payload::Payload;
use crate::sdp::Direction;

/// After the beep's end, how long until it has come back to us at the latest, where it does: a way there
/// and back. Whoever waits for the beep to speak takes longer.
const ECHO: Duration = Duration::from_millis(100);

/// A call's beeps.
#[derive(Debug, Default)]
pub(super) struct Beeps {
    state: State,
    /// The stream of the last one.
    stream: Option<Stream>,
    out: VecDeque<Transmit>,
    /// What the last offer says of the inbound track.
    pub(super) direction: Direction,
    /// Whether the answer to an offer says that we send.
    pub(super) sends: bool,
}

#[derive(Debug, Default)]
enum State {
    /// None is wanted.
    #[default]
    Silent,
    /// One is wanted, once there is somebody to hear it.
    Waiting(Beep),
    Sounding(Box<Sounding>),
    /// It is over, and may still come back until then.
    Fading(Mono),
}

#[derive(Debug)]
struct Sounding {
    seed: Beep,
    tone: Tone,
    stream: Stream,
    payload_type: u8,
    begun: Mono,
    /// The next frame.
    frame: u32,
}

/// A call's beeps as they are kept: one that sounds begins again, since its encoder is not kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    wanted: Option<Beep>,
    fading: Option<Mono>,
    stream: Option<Stream>,
    direction: Direction,
    sends: bool,
}

impl Serialize for Beeps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sounding = match &self.state {
            State::Sounding(sounding) => Some(sounding),
            State::Silent | State::Waiting(_) | State::Fading(_) => None,
        };
        let kept = Kept {
            wanted: match &self.state {
                State::Waiting(seed) => Some(*seed),
                State::Sounding(sounding) => Some(sounding.seed),
                State::Silent | State::Fading(_) => None,
            },
            fading: match &self.state {
                State::Fading(until) => Some(*until),
                State::Silent | State::Waiting(_) | State::Sounding(_) => None,
            },
            stream: sounding.map(|sounding| sounding.stream).or(self.stream),
            direction: self.direction,
            sends: self.sends,
        };
        kept.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Beeps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kept = Kept::deserialize(deserializer)?;
        Ok(Self {
            state: match (kept.wanted, kept.fading) {
                (Some(seed), _) => State::Waiting(seed),
                (None, Some(until)) => State::Fading(until),
                (None, None) => State::Silent,
            },
            stream: kept.stream,
            out: VecDeque::new(),
            direction: kept.direction,
            sends: kept.sends,
        })
    }
}

impl Sounding {
    fn due(&self) -> Mono {
        self.begun + FRAME * self.frame
    }
}

impl Call {
    /// When [`Call::handle_beep`] has something to do: `None` while no beep sounds.
    #[must_use]
    pub fn beep_due(&self) -> Option<Mono> {
        match &self.beeps.state {
            State::Silent | State::Waiting(_) => None,
            State::Sounding(sounding) => Some(sounding.due()),
            State::Fading(until) => Some(*until),
        }
    }

    /// The next datagram to send, if there is one.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.beeps.out.pop_front()
    }

    /// Sends what is due of a beep, and lets recordings begin when it is over.
    pub fn handle_beep(&mut self, now: Mono) {
        if matches!(self.beeps.state, State::Silent) {
            return;
        }
        if !self.timeline.recordings.iter().any(|one| one.is_held()) {
            // What waited for it has ended.
            self.beeps.state = State::Silent;
            return;
        }
        if let State::Waiting(seed) = self.beeps.state {
            self.begin_beep(seed, now);
        }
        self.beeps.state = match std::mem::take(&mut self.beeps.state) {
            State::Sounding(sounding) => self.sound(sounding, now),
            other @ (State::Silent | State::Waiting(_) | State::Fading(_)) => other,
        };
        if let State::Fading(until) = self.beeps.state
            && now >= until
        {
            self.beeps.state = State::Silent;
            self.let_begin(now);
        }
    }

    /// Whether a beep can be played to the inbound track's sender, as far as is known.
    pub(super) fn check_beep(&self, start: &StartRecording) -> Result<(), Refusal> {
        if start.beep.is_none() {
            return Ok(());
        }
        if self.tracks[Track::Inbound.index()].is_none() {
            return Err(Refusal::Beep(
                "the call was opened without the inbound track, to whose sender a beep goes"
                    .to_owned(),
            ));
        }
        self.hearer().map(drop).map_err(Refusal::Beep)
    }

    /// Wants a beep for a recording that was started.
    pub(super) fn want_beep(&mut self, seed: Beep, now: Mono) {
        self.answer_that_we_send();
        if matches!(self.beeps.state, State::Silent | State::Fading(_)) {
            // One that is fading is too far gone for who asks now.
            self.beeps.state = State::Waiting(seed);
        }
        self.handle_beep(now);
    }

    /// Whether a beep sounds, or has just done so.
    pub(super) const fn is_beeping(&self) -> bool {
        matches!(self.beeps.state, State::Sounding(_) | State::Fading(_))
    }

    /// Who is to hear a beep, as what: `None` while nobody is heard. The error says why nobody can.
    fn hearer(&self) -> Result<Option<(SocketAddr, u32, u8, Payload)>, String> {
        let direction = self.beeps.direction;
        if direction != Direction::SendRecv {
            return Err(format!(
                "the call's Sdp says a={}, so its sender is a fork that hears nothing",
                direction.as_str()
            ));
        }
        let Some(state) = &self.tracks[Track::Inbound.index()] else {
            return Ok(None);
        };
        let Some((heard, payload_type)) = state.source.heard().zip(state.sound_type()) else {
            return Ok(None);
        };
        let payload = state
            .payloads
            .get(payload_type)
            .map(|one| (payload_type, one));
        let Some((payload_type, payload)) = payload.or_else(|| state.payloads.negotiated_g711())
        else {
            return Err(format!(
                "its sender sends {}, which cannot be encoded, and no Sdp offers PCMU or PCMA",
                state.payloads.describe(payload_type)
            ));
        };
        Ok(Some((heard.address, heard.ssrc, payload_type, payload)))
    }

    /// Begins the beep that is wanted, where somebody is there to hear it. Where nobody can, the
    /// recordings begin without: they were asked for, and a 400 is too late.
    fn begin_beep(&mut self, seed: Beep, now: Mono) {
        let begun = self.hearer().and_then(|hearer| {
            let Some((_, ssrc, payload_type, payload)) = hearer else {
                return Ok(None);
            };
            let tone = Tone::new(payload)?;
            // On a grid that all calls share, so that a thread with many beeps wakes up once a frame.
            let grid = u64::try_from(FRAME.as_nanos()).unwrap_or(1);
            let begun = Mono(now.0.div_ceil(grid).saturating_mul(grid));
            let clock_hz = tone.clock_hz();
            let again = self
                .beeps
                .stream
                .and_then(|last| last.again(clock_hz, begun));
            Ok(Some(Box::new(Sounding {
                seed,
                stream: again.unwrap_or_else(|| Stream::new(seed, clock_hz, begun, ssrc)),
                tone,
                payload_type,
                begun,
                frame: 0,
            })))
        });
        match begun {
            Ok(None) => {}
            Ok(Some(sounding)) => self.beeps.state = State::Sounding(sounding),
            Err(why) => {
                tracing::warn!(call = %self.open.call, why, "a recording begins without its beep");
                self.beeps.state = State::Silent;
                self.let_begin(now);
            }
        }
    }

    /// Sends the frames that are due.
    fn sound(&mut self, mut sounding: Box<Sounding>, now: Mono) -> State {
        while sounding.due() <= now && sounding.frame < FRAMES {
            let inbound = self.tracks[Track::Inbound.index()].as_mut();
            let heard = inbound.and_then(|state| Some((state.source.heard()?, &mut state.srtp)));
            let Some((heard, srtp)) = heard else {
                // Another source was named meanwhile: it hears a beep of its own.
                self.beeps.stream = Some(sounding.stream);
                return State::Waiting(sounding.seed);
            };
            let Sounding {
                tone,
                stream,
                payload_type,
                frame,
                ..
            } = &mut *sounding;
            let out = &mut self.beeps.out;
            tone.frame(*frame, |since, payload| {
                let mut datagram = stream.packet(*payload_type, since, since == 0, payload);
                // What cannot be protected is not sent.
                if srtp.as_mut().is_none_or(|srtp| srtp.seal(&mut datagram)) {
                    out.push_back(Transmit {
                        track: Track::Inbound,
                        to: heard.address,
                        datagram,
                    });
                }
            });
            *frame += 1;
        }
        if sounding.frame < FRAMES {
            return State::Sounding(sounding);
        }
        self.beeps.stream = Some(sounding.stream);
        // What was sent late is heard late.
        State::Fading(sounding.due().max(now) + ECHO)
    }

    /// Lets all begin that was held.
    fn let_begin(&mut self, now: Mono) {
        self.release_all();
        let stats = self.stats();
        for at in 0..self.timeline.recordings.len() {
            if self.timeline.recordings[at].let_begin(now, stats) {
                self.begin_where_sound_flows(at, now);
            }
        }
    }
}
