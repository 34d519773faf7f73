//! A switchboard with a collecting sink, and a sender of RTP.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use reeld_capture::Output;
use reeld_codec::g711::{Law, decode_sample};
use reeld_ingest::{Queued, Settings, Sink, Switchboard};
use reeld_model::{
    AccountSid, Answer, CallSid, CallView, ChangeRecording, Channels, Command, Control, EndedBy,
    OpenCall, RecordingRef, RecordingSid, Refusal, Request, StartRecording, Summary, Track,
    TrackSelection,
};

/// Longer than anything here takes on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Samples of a packet: 20 ms.
pub(crate) const PTIME: usize = 160;

/// The account of every test.
pub(crate) const ACCOUNT: AccountSid = AccountSid::from_bytes([0xAC; 16]);

/// A call's name from a number.
pub(crate) fn call(number: u8) -> CallSid {
    CallSid::from_bytes([number; 16])
}

/// A recording's name from a number.
pub(crate) fn sid(number: u8) -> RecordingSid {
    RecordingSid::from_bytes([number; 16])
}

/// What is collected, and a bell for who waits for it.
#[derive(Default)]
pub(crate) struct Collected {
    outputs: Mutex<Vec<Output>>,
    bell: Condvar,
}

/// A recording as its outputs tell it.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) started: bool,
    pub(crate) samples: Vec<i16>,
    pub(crate) summary: Option<Summary>,
}

impl Collected {
    /// What has come for a recording so far; panics if it came out of order.
    pub(crate) fn recorded(&self, recording: RecordingSid, channels: Channels) -> Recorded {
        let outputs = self.outputs.lock().unwrap();
        let mut recorded = Recorded::default();
        for output in outputs
            .iter()
            .filter(|output| output.recording() == recording)
        {
            assert!(recorded.summary.is_none(), "an output after the end");
            match output {
                Output::Started { .. } => {
                    assert!(!recorded.started && recorded.samples.is_empty());
                    recorded.started = true;
                }
                Output::Audio { samples, .. } => recorded.samples.extend(samples),
                Output::Silence { frames, .. } => {
                    let samples = usize::try_from(*frames).unwrap() * usize::from(channels.count());
                    recorded.samples.resize(recorded.samples.len() + samples, 0);
                }
                Output::Ended { summary, .. } => recorded.summary = Some(summary.as_ref().clone()),
            }
        }
        recorded
    }

    /// Waits for the end of a recording.
    pub(crate) fn ended(&self, recording: RecordingSid, channels: Channels) -> Recorded {
        let ends = |output: &Output| {
            matches!(output, Output::Ended { .. }) && output.recording() == recording
        };
        let outputs = self.outputs.lock().unwrap();
        let (outputs, waited) = self
            .bell
            .wait_timeout_while(outputs, PATIENCE, |outputs| !outputs.iter().any(ends))
            .unwrap();
        assert!(!waited.timed_out(), "{recording} did not end");
        drop(outputs);
        self.recorded(recording, channels)
    }
}

/// The end of the collection that a thread has.
pub(crate) struct Collector(pub(crate) Arc<Collected>);

impl Sink for Collector {
    fn push(&mut self, queued: Queued) -> Result<(), Queued> {
        self.0.outputs.lock().unwrap().push(queued.into_output());
        self.0.bell.notify_all();
        Ok(())
    }
}

/// A range of media ports of its own for each test of each run: below those of the end-to-end tests,
/// which begin at 10,000, by process, since test programs run side by side, and free when it is
/// taken.
pub(crate) fn ports(pairs: u16) -> RangeInclusive<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let base = 2_000 + u16::try_from(std::process::id() % 10).unwrap() * 800;
    let free = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        let first = base + TAKEN.fetch_add(pairs * 2, Ordering::Relaxed);
        let range = first..=first + pairs * 2 - 1;
        assert!(*range.end() < 10_000, "no {pairs} free port pairs are left");
        if range.clone().all(free) {
            return range;
        }
    }
}

/// Settings for loopback with so many port pairs.
pub(crate) fn settings(pairs: u16) -> Settings {
    Settings {
        address: Ipv4Addr::LOCALHOST.into(),
        advertise: None,
        ports: ports(pairs),
        receive_buffer: 200_000,
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        threads: 2,
        max_recordings: 8,
        backlog_bytes: 64 << 20,
        reorder_window: Duration::from_millis(200),
        first_packet: Duration::from_secs(60),
        inactivity: Duration::from_secs(60),
        max_length: Duration::from_secs(3_600),
        conceal: false,
        dtmf: reeld_capture::Dtmf::Silence,
        rate: reeld_capture::Rate::Narrow,
    }
}

/// A switchboard whose outputs are collected.
pub(crate) struct Rig {
    pub(crate) board: Switchboard,
    pub(crate) collected: Arc<Collected>,
}

impl Rig {
    /// Starts one.
    pub(crate) fn start(settings: Settings) -> Self {
        let collected = Arc::<Collected>::default();
        let board = Switchboard::start(settings, |_| Box::new(Collector(Arc::clone(&collected))));
        Self {
            board: board.unwrap(),
            collected,
        }
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask(&self, command: Command) -> Result<Answer, Refusal> {
        ask(&self.board, command)
    }

    /// Opens a call of both tracks.
    pub(crate) fn open(&self, call: CallSid) -> CallView {
        view(self.ask(Command::OpenCall(open(call))))
    }

    /// The call as it is.
    pub(crate) fn describe(&self, call: CallSid) -> Result<Answer, Refusal> {
        self.ask(Command::DescribeCall {
            account: ACCOUNT,
            call,
        })
    }

    /// Starts a recording, on a call that may have to be opened.
    pub(crate) fn record(&self, call: CallSid, start: StartRecording) -> CallView {
        view(self.ask(Command::StartRecording {
            call: open(call),
            may_open: true,
            start,
        }))
    }

    /// Stops a recording.
    pub(crate) fn stop(&self, call: CallSid, recording: RecordingSid) -> Result<Answer, Refusal> {
        self.ask(Command::ChangeRecording {
            account: ACCOUNT,
            call,
            recording: RecordingRef::Sid(recording),
            change: ChangeRecording::Stop(EndedBy::Stopped),
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.board.shutdown();
    }
}

/// Gives a command to a switchboard and waits for its answer.
pub(crate) fn ask(board: &Switchboard, command: Command) -> Result<Answer, Refusal> {
    submit(board, command)
        .recv_timeout(PATIENCE)
        .expect("every request is answered")
}

/// Gives a command to a switchboard; the answer comes through the channel.
pub(crate) fn submit(
    board: &Switchboard,
    command: Command,
) -> mpsc::Receiver<Result<Answer, Refusal>> {
    let (send, receive) = mpsc::channel();
    // A test that has failed no longer listens.
    let reply = Box::new(move |result| drop(send.send(result)));
    board.submit(Request { command, reply });
    receive
}

/// The call in an answer.
pub(crate) fn view(answer: Result<Answer, Refusal>) -> CallView {
    match answer.unwrap() {
        Answer::Call(view) | Answer::Recording(_, view) => view,
    }
}

/// A call of both tracks that says nothing of its sender.
pub(crate) fn open(call: CallSid) -> OpenCall {
    OpenCall::new(ACCOUNT, call)
}

/// A recording without rules.
pub(crate) fn start(
    sid: RecordingSid,
    channels: Channels,
    track: TrackSelection,
) -> StartRecording {
    StartRecording::new(sid, channels, track)
}

/// The RTP port of a call's track.
pub(crate) fn port(view: &CallView, track: Track) -> u16 {
    view.streams
        .iter()
        .find(|stream| stream.track == track)
        .expect("the track is open")
        .port
}

/// Sends µ-law to one port, and knows how it sounds.
pub(crate) struct Sender {
    socket: UdpSocket,
    to: u16,
    ssrc: u32,
    sequence: u16,
    /// When it sent its first packet.
    since: Option<Instant>,
    /// Packets that are yet to be sent, for [`Sender::send_reordered`].
    queue: VecDeque<Vec<u8>>,
    /// What was sent, decoded.
    pub(crate) sound: Vec<i16>,
}

impl Sender {
    /// A sender to a port of loopback.
    pub(crate) fn to(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ssrc = 0x5EED_0000 + u32::from(port);
        Self {
            socket,
            to: port,
            ssrc,
            sequence: 65_500,
            since: None,
            queue: VecDeque::new(),
            sound: Vec::new(),
        }
    }

    fn next_packet(&mut self) -> Vec<u8> {
        let codes: Vec<u8> = (0..PTIME)
            .map(|at| at * 7 + usize::from(self.sequence) * 13 + usize::from(self.to))
            .map(|code| code.to_le_bytes()[0])
            .collect();
        self.sound
            .extend(codes.iter().map(|code| decode_sample(Law::Mu, *code)));
        let packets = self.sequence.wrapping_sub(65_500);
        // A sender faster than time is cut: it may be ahead by the window and no more.
        let due = *self.since.get_or_insert_with(Instant::now)
            + Duration::from_millis(20) * u32::from(packets);
        let ahead = due.saturating_duration_since(Instant::now());
        std::thread::sleep(ahead.saturating_sub(Duration::from_millis(140)));
        let stamp = u32::from(packets) * u32::try_from(PTIME).unwrap();
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(stamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(codes);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    /// Sends so many packets, a window ahead of time.
    pub(crate) fn send(&mut self, packets: usize) {
        for _ in 0..packets {
            let packet = self.next_packet();
            self.socket
                .send_to(&packet, (Ipv4Addr::LOCALHOST, self.to))
                .unwrap();
        }
    }

    /// Sends so many packets, each pair of neighbours the wrong way round.
    pub(crate) fn send_reordered(&mut self, pairs: usize) {
        for _ in 0..pairs {
            for _ in 0..2 {
                let packet = self.next_packet();
                self.queue.push_front(packet);
            }
            for packet in self.queue.drain(..) {
                self.socket
                    .send_to(&packet, (Ipv4Addr::LOCALHOST, self.to))
                    .unwrap();
            }
        }
    }
}

/// Holds a recording to begin with `sound` and to have nothing but silence behind it: the time from
/// the last packet to the stop.
#[track_caller]
pub(crate) fn assert_up_to_the_stop(recorded: &[i16], sound: &[i16]) {
    assert!(
        recorded.starts_with(sound),
        "{} samples of {} are not what was sent",
        recorded.len(),
        sound.len()
    );
    let tail = &recorded[sound.len()..];
    assert!(tail.iter().all(|sample| *sample == 0), "sound after it");
}

/// Polls until `done` gives something, within [`PATIENCE`].
pub(crate) fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let began = reeld_ingest::monotonic();
    loop {
        if let Some(value) = done() {
            return value;
        }
        let waited = reeld_ingest::monotonic().since(began);
        assert!(waited < PATIENCE, "waited in vain: {what}");
        std::thread::yield_now();
    }
}
