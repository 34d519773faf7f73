//! A receiver that fetches the URL it is given at once, and its `.mp3`, gets 200 and the whole file, a
//! thousand times: by GET and by POST, while ten calls record, stop and are told of.

use std::sync::{Arc, Mutex};
use std::thread;

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::receiver::{Answer, Receiver};
use reeld_tests::{Law, MediaKind, Sender, Setup, Tape, Voice, Wav, for_each_media};

for_each_media!(the_url_of_a_callback_is_there_when_it_comes);

const CALLS: u64 = 10;
/// Recordings of a call, one after another: 1,000 over both kinds of media.
const RECORDINGS: usize = 50;
const PACKET: usize = 160;
/// Of the tape, seconds: longer than its call's recordings take.
const TAPE: usize = 60;

/// Samples that an MP3 may have more than its recording: its Info frame, the delays of encoder and
/// decoder, and what fills its last frame, of 576 samples each.
const MP3_MORE: usize = 8 * 576;

/// A RecordingSid, and of its WAV and its MP3 the status and the body.
type Fetched = (String, [(u16, Vec<u8>); 2]);

fn the_url_of_a_callback_is_there_when_it_comes(media: MediaKind) {
    let daemon = Setup::new()
        .media(media)
        .set("callbacks.allow", vec!["loopback"])
        // Callbacks come to one receiver by 16 at once, so as many want their MP3.
        .set("encode.queue", 64)
        .start();
    let fetched: Arc<Mutex<Vec<Fetched>>> = Arc::default();
    let receiver = Receiver::start({
        let fetched = Arc::clone(&fetched);
        move |callback| {
            let url = callback.parameter("RecordingUrl");
            let bodies = [url.to_owned(), format!("{url}.mp3")].map(|url| fetch(&url));
            let sid = callback.parameter("RecordingSid").to_owned();
            fetched
                .lock()
                .expect("nobody panics with it")
                .push((sid, bodies));
            Answer::of(200)
        }
    });
    let all = usize::try_from(CALLS).expect("a small number") * RECORDINGS;
    let url = receiver.url("/cb");
    thread::scope(|scope| {
        for number in 0..CALLS {
            let (client, url) = (daemon.client(), &url);
            scope.spawn(move || {
                let call = call_sid(number);
                let opened = client.open_call(&[("CallSid", &call)]).expect(201);
                let to = media_address(&opened.json(), "inbound").expect("an inbound port");
                let tape = Tape::noise(Law::Mu, 7, TAPE * 50 * PACKET);
                let method = ["POST", "GET"][usize::from(number % 2 == 1)];
                let playing = Sender::new().start(to, Voice::new(7).say(tape.codes()));
                playing.wait_until(0, 10);
                for _ in 0..RECORDINGS {
                    let begun = playing.sent(0);
                    let started = client.start(
                        &call,
                        &[
                            ("RecordingTrack", "inbound"),
                            ("RecordingStatusCallback", url),
                            ("RecordingStatusCallbackMethod", method),
                        ],
                    );
                    playing.wait_until(0, begun + 12);
                    client.stop(&started);
                }
                playing.stop();
            });
        }
    });
    let callbacks = receiver.wait(all);
    let fetched = fetched.lock().expect("nobody panics with it");
    assert_eq!(fetched.len(), all, "each came once");
    for (sid, bodies) in fetched.iter() {
        for (status, body) in bodies {
            assert_eq!(*status, 200, "{sid}: {}", String::from_utf8_lossy(body));
        }
        let [(_, wav), (_, mp3)] = bodies;
        let frames = Wav::read(wav).frames();
        let heard = samples_of(mp3);
        assert!(
            (frames..=frames + MP3_MORE).contains(&heard),
            "{sid}: {heard} samples in the MP3 of {frames}"
        );
        let json = daemon.client().recording(sid);
        // Rounded half up, of 8 frames a millisecond.
        let whole_ms = json["duration_ms"].as_u64().expect("a length");
        assert_eq!((frames as u64 + 4) / 8, whole_ms, "{sid}: {json}");
    }
    for callback in &callbacks {
        assert_eq!(callback.parameter("RecordingStatus"), "completed");
    }
    let by_get = callbacks.iter().filter(|callback| callback.method == "GET");
    assert_eq!(by_get.count(), all / 2, "half were asked for as GET");
    // What was delivered is gone from the outbox.
    let shown = daemon.callbacks("pending");
    assert!(
        shown.contains("callbacks of 0 recordings wait, 0 were given up on"),
        "{shown}"
    );
}

/// Status and body of a URL; the whole body, or status 0.
fn fetch(url: &str) -> (u16, Vec<u8>) {
    let client = reqwest::blocking::Client::builder().no_proxy().build();
    let reply = client.and_then(|client| client.get(url).send());
    let whole = reply.and_then(|reply| {
        let status = reply.status().as_u16();
        Ok((status, reply.bytes()?.to_vec()))
    });
    whole.unwrap_or_else(|error| (0, error.to_string().into_bytes()))
}

/// Samples of a mono MP3, decoded.
fn samples_of(mp3: &[u8]) -> usize {
    let mut decoder = minimp3::Decoder::new(mp3);
    let frames = std::iter::from_fn(|| decoder.next_frame().ok());
    frames.map(|frame| frame.data.len()).sum()
}
