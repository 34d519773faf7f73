//! The other side of control, as small as tests need: calls with ports, recordings with takes,
//! each command answered on a thread of its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Condvar, Mutex};

use reeld_model::{
    Answer, CallSid, CallState, CallView, ChangeRecording, Command, Control, EndedBy, Gauges,
    LiveStatus, Load, OpenCall, RecordingRef, RecordingSid, RecordingView, Refusal, Request,
    StartRecording, StreamView, Summary, Track, TrackStats,
};
use reeld_store::{End, Store, Take};

use crate::harness::{SEED_MS, sound};

/// Frames that each recording gets.
pub(crate) const FRAMES: u64 = 8_000;

struct Live {
    view: RecordingView,
    take: Take,
}

#[derive(Default)]
struct State {
    calls: HashMap<CallSid, CallView>,
    live: Vec<(CallSid, Live)>,
    seen: Vec<StartRecording>,
    refuse: Option<Refusal>,
    held: bool,
}

/// See the file's header.
pub(crate) struct Capture {
    store: Store,
    state: Arc<Mutex<State>>,
    released: Arc<Condvar>,
    /// What there is to do, as a test says.
    pub(crate) load: Load,
}

impl Capture {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            state: Arc::default(),
            released: Arc::default(),
            load: Load::default(),
        }
    }

    /// Answers every command with this from now on.
    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        self.state.lock().unwrap().refuse = refusal;
    }

    /// Holds commands back, all that change anything, or lets them go.
    pub(crate) fn hold(&self, held: bool) {
        self.state.lock().unwrap().held = held;
        self.released.notify_all();
    }

    /// The recordings that were asked for.
    pub(crate) fn seen(&self) -> Vec<StartRecording> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(crate) fn running(&self) -> usize {
        self.state.lock().unwrap().live.len()
    }
}

impl Control for Capture {
    fn submit(&self, request: Request) {
        let (store, state) = (self.store.clone(), Arc::clone(&self.state));
        let released = Arc::clone(&self.released);
        std::thread::spawn(move || {
            let state = state.lock().unwrap();
            let waits = !matches!(request.command, Command::DescribeCall { .. });
            let mut state = released
                .wait_while(state, |state| waits && state.held)
                .unwrap();
            let outcome = match state.refuse.clone() {
                Some(refusal) => Err(refusal),
                None => state.carry_out(&store, request.command),
            };
            drop(state);
            (request.reply)(outcome);
        });
    }

    fn gauges(&self) -> Gauges {
        let state = self.state.lock().unwrap();
        Gauges {
            calls: state.calls.len(),
            recordings: state.live.len(),
            max_recordings: 2,
            free_port_pairs: 10,
            ..Gauges::default()
        }
    }

    fn load(&self) -> Load {
        self.load.clone()
    }
}

impl State {
    fn carry_out(&mut self, store: &Store, command: Command) -> Result<Answer, Refusal> {
        match command {
            Command::OpenCall(open) => Ok(Answer::Call(self.open(&open))),
            Command::DescribeCall { call, .. } | Command::UpdateCall { call, .. } => {
                Ok(Answer::Call(self.view(call)?))
            }
            Command::CompleteCall { call, .. } | Command::ExpireCall { call, .. } => {
                let mut view = self.view(call)?;
                let (ended, live) = std::mem::take(&mut self.live)
                    .into_iter()
                    .partition(|(of, _)| *of == call);
                self.live = live;
                for (_, live) in Vec::from_iter::<Vec<(CallSid, Live)>>(ended) {
                    finish(store, live, EndedBy::CallCompleted);
                }
                self.calls.remove(&call);
                view.state = CallState::Completed;
                Ok(Answer::Call(view))
            }
            Command::StartRecording {
                call,
                may_open,
                start,
            } => {
                if may_open {
                    self.open(&call);
                }
                self.view(call.call)?;
                let view = RecordingView {
                    sid: start.sid,
                    status: LiveStatus::InProgress,
                    channels: start.channels,
                    track: start.track,
                    frames: 0,
                    rate_hz: 8_000,
                };
                let take = store.take(start.sid).unwrap();
                self.seen.push(start);
                let live = Live {
                    view: view.clone(),
                    take,
                };
                self.live.push((call.call, live));
                Ok(Answer::Recording(view, self.view(call.call)?))
            }
            Command::ChangeRecording {
                call,
                recording,
                change,
                ..
            } => self.change(store, call, recording, change),
        }
    }

    fn open(&mut self, open: &OpenCall) -> CallView {
        let port = 20_000 + 4 * u16::try_from(self.calls.len()).unwrap();
        self.calls
            .entry(open.call)
            .or_insert_with(|| CallView {
                account: open.account,
                call: open.call,
                external_id: open.external_id.clone(),
                from: open.from.clone(),
                to: open.to.clone(),
                state: CallState::InProgress,
                opened_at_ms: SEED_MS,
                rate_hz: 8_000,
                streams: Track::ALL
                    .into_iter()
                    .filter(|track| open.tracks.has(*track))
                    .enumerate()
                    .map(|(i, track)| StreamView {
                        track,
                        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                        port: port + 2 * u16::try_from(i).unwrap(),
                        source: None,
                        ssrc: None,
                        codec: None,
                        stats: TrackStats::default(),
                    })
                    .collect(),
                recordings: Vec::new(),
                sdp: open.sdp.as_ref().map(|_| "v=0\r\n".to_owned()),
            })
            .clone()
    }

    fn view(&self, call: CallSid) -> Result<CallView, Refusal> {
        let mut view = self.calls.get(&call).cloned().ok_or(Refusal::CallUnknown)?;
        view.recordings = self
            .live
            .iter()
            .filter(|(of, _)| *of == call)
            .map(|(_, live)| live.view.clone())
            .collect();
        Ok(view)
    }

    fn change(
        &mut self,
        store: &Store,
        call: CallSid,
        recording: RecordingRef,
        change: ChangeRecording,
    ) -> Result<Answer, Refusal> {
        let mut view = self.view(call)?;
        let wanted: Option<RecordingSid> = match recording {
            RecordingRef::Sid(sid) => Some(sid),
            RecordingRef::Current if view.recordings.len() > 1 => {
                return Err(Refusal::CurrentIsAmbiguous(view.recordings.len()));
            }
            RecordingRef::Current => view.recordings.first().map(|live| live.sid),
        };
        let at = self
            .live
            .iter()
            .position(|(_, live)| Some(live.view.sid) == wanted)
            .ok_or(Refusal::RecordingUnknown)?;
        self.live[at].1.view.status = change.target();
        let live = self.live[at].1.view.clone();
        if let ChangeRecording::Stop(by) = change {
            let (_, live) = self.live.remove(at);
            finish(store, live, by);
        }
        view.recordings = self.view(call)?.recordings;
        Ok(Answer::Recording(live, view))
    }
}

fn finish(store: &Store, mut live: Live, ended_by: EndedBy) {
    let channels = usize::from(live.view.channels.count());
    let samples = sound(usize::try_from(FRAMES).unwrap() * channels);
    live.take.append(&samples, FRAMES).unwrap();
    let end = End {
        summary: Summary {
            ended_by,
            frames: FRAMES,
            digits: "12#".into(),
            tracks: [TrackStats::default(); 2],
            quality: Default::default(),
            rate_hz: 8_000,
        },
        started_ms: Some(SEED_MS),
        ended_ms: SEED_MS + 1_000,
    };
    store.finish(live.take, end).unwrap();
}
