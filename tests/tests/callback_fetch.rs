//! A receiver that fetches the URL it is given at once gets 200 and the whole file, a thousand
//! times.

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

/// A RecordingSid, the status of its media and the body.
type Fetched = (String, u16, Vec<u8>);

fn the_url_of_a_callback_is_there_when_it_comes(media: MediaKind) {
    let daemon = Setup::new()
        .media(media)
        .set("callbacks.allow", vec!["loopback"])
        .start();
    let fetched: Arc<Mutex<Vec<Fetched>>> = Arc::default();
    let receiver = Receiver::start({
        let fetched = Arc::clone(&fetched);
        move |callback| {
            let reply = reqwest::blocking::Client::builder()
                .no_proxy()
                .build()
                .and_then(|client| client.get(callback.parameter("RecordingUrl")).send());
            let (status, body) = match reply {
                Ok(reply) => (
                    reply.status().as_u16(),
                    reply.bytes().map(|body| body.to_vec()).unwrap_or_default(),
                ),
                Err(error) => (0, error.to_string().into_bytes()),
            };
            let sid = callback.parameter("RecordingSid").to_owned();
            fetched
                .lock()
                .expect("nobody panics with it")
                .push((sid, status, body));
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
                let playing = Sender::new().start(to, Voice::new(7).say(tape.codes()));
                playing.wait_until(0, 10);
                for _ in 0..RECORDINGS {
                    let begun = playing.sent(0);
                    let started = client.start(
                        &call,
                        &[
                            ("RecordingTrack", "inbound"),
                            ("RecordingStatusCallback", url),
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
    for (sid, status, body) in fetched.iter() {
        assert_eq!(*status, 200, "{sid}: {}", String::from_utf8_lossy(body));
        let frames = Wav::read(body).frames();
        let json = daemon.client().recording(sid);
        // Rounded half up, of 8 frames a millisecond.
        let whole_ms = json["duration_ms"].as_u64().expect("a length");
        assert_eq!((frames as u64 + 4) / 8, whole_ms, "{sid}: {json}");
    }
    for callback in callbacks {
        assert_eq!(callback.parameter("RecordingStatus"), "completed");
    }
    // What was delivered is gone from the outbox.
    let shown = daemon.command(&["callbacks", "pending"]).success().text();
    assert!(
        shown.contains("callbacks of 0 recordings wait, 0 were given up on"),
        "{shown}"
    );
}
