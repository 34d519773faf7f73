//! Overload has an order: encoders wait, then MP3s are refused with 503 and Retry-After; lists and
//! WAVs are served meanwhile, and what is being recorded is not touched.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reeld_tests::client::{Started, call_sid};
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{Client, MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge};

for_each_media!(readers_never_touch_what_is_recorded);

const RECORDINGS: u64 = 8;
const READERS: usize = 16;

fn tape(seed: u64, seconds: usize) -> Tape {
    Tape::noise(Law::Mu, seed, seconds * 8_000)
}

/// Reads MP3s, WAVs and lists until it is told to stop; counts MP3s that were refused and given.
/// Each reader begins elsewhere: who wants the same MP3 at the same time shares one encoding.
fn read(
    client: &Client,
    started: &[Started],
    first: usize,
    stop: &AtomicBool,
    counts: &[AtomicUsize; 2],
) {
    for turn in (0..started.len()).cycle().skip(first) {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let path = client.old_path(&format!("/Recordings/{}", started[turn].sid));
        let mp3 = client.get_public(&format!("{path}.mp3"));
        let refused = mp3.status == 503;
        assert!(
            refused || mp3.status == 200,
            "{}: {}",
            mp3.status,
            mp3.text()
        );
        assert!(
            !refused || mp3.header("retry-after").is_some(),
            "{:?}",
            mp3.headers
        );
        counts[usize::from(!refused)].fetch_add(1, Ordering::Relaxed);
        client.get_public(&path).expect(200);
        client.get(&client.old_path("/Recordings")).expect(200);
    }
}

fn readers_never_touch_what_is_recorded(media: MediaKind) {
    let setup = Setup::new()
        .media(media)
        .set("encode.workers", 1)
        .set("encode.queue", 1);
    let daemon = setup.set("encode.cache_bytes", "0B").start();
    let client = daemon.client();
    let started: Vec<Started> = (0..RECORDINGS)
        .map(|call| client.start(&call_sid(call), &[("RecordingTrack", "inbound")]))
        .collect();
    let parts = started.iter().zip(0..).map(|(started, seed)| Part {
        sender: Sender::new(),
        to: started.inbound(),
        script: Voice::new(seed).say(tape(seed, 4).codes()),
    });
    Playing::start(parts.collect()).finish();
    for started in &started {
        client.stop(started);
        client.wait_completed(&started.sid);
        client.complete_call(&started.call).expect(200);
    }

    let live = client.start(&call_sid(100), &[("RecordingChannels", "dual")]);
    let part = |to, seed| Part {
        sender: Sender::new(),
        to,
        script: Voice::new(seed).say(tape(seed, 5).codes()),
    };
    let playing = Playing::start(vec![part(live.inbound(), 101), part(live.outbound(), 102)]);
    let stop = AtomicBool::new(false);
    let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|scope| {
        for first in 0..READERS {
            let (started, stop, counts) = (&started, &stop, &counts);
            scope.spawn(move || read(client, started, first, stop, counts));
        }
        playing.finish();
        stop.store(true, Ordering::Release);
    });
    let [refused, given] = counts.map(AtomicUsize::into_inner);
    assert!(refused > 0 && given > 0, "{refused} refused, {given} given");
    client.stop(&live);
    let json = client.wait_completed(&live.sid);
    for ((channel, seed), track) in client
        .wav(&live.sid)
        .dual()
        .into_iter()
        .zip(101..)
        .zip(["inbound", "outbound"])
    {
        judge::exact(channel, &tape(seed, 5).samples());
        let counts = &json["tracks"][track];
        assert_eq!(
            (&counts["lost"], &counts["kernel_dropped"]),
            (&0.into(), &0.into()),
            "{counts}"
        );
    }
}
