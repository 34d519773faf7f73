//! AudioSocket clients that never read what they are sent, until the buffers of both ends are full: their sound is recorded as
//! if they did, and the daemon keeps nothing for them.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use reeld_tests::audiosocket::{Bed, Connection, FRAME, call_sid, frame, whole};
use reeld_tests::script::Law;
use reeld_tests::siprec::recordings;
use reeld_tests::{Setup, Tape};
use socket2::{Domain, Socket, Type};

/// Frames of 20 ms: as much silence is 258 KB at 8 kHz and 6 MB at 192 kHz, of which two buffers hold some 40 KB.
const FRAMES: usize = 800;

/// Frames after which all buffers are full.
const FULL: usize = 200;

/// The least receive buffer that Linux gives.
const RECEIVE_BUFFER: usize = 2_304;

/// Samples of a frame at 192 kHz, and its kind.
const WIDE: usize = 3_840;
const WIDE_KIND: u8 = 0x18;

/// A connection for the call of this number that has hardly room for what comes back.
fn deaf(bed: &Bed, number: u8) -> Connection {
    // Before it is connected, so that its window is as small from the start.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .set_recv_buffer_size(RECEIVE_BUFFER)
        .expect("a buffer");
    socket.connect(&bed.server.into()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("a socket");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a socket");
    let mut connection = Connection { stream };
    connection.send(&frame(0x01, &[number; 16]));
    connection
}

/// What came back once it hung up: frames of silence, cut where the connection was closed, and far less than it sent.
fn answered(mut connection: Connection, kind: u8, samples: usize) {
    connection.send(&frame(0x00, &[]));
    let answers = connection.closed();
    let all = frame(kind, &vec![0; 2 * samples]).repeat(FRAMES);
    let kept = answers.len();
    assert!(kept > 2_000, "it was answered: {kept} bytes");
    assert!(
        kept * 3 < all.len(),
        "{kept} bytes were kept of {}",
        all.len()
    );
    assert!(answers == all[..kept], "frames are whole up to the last");
}

#[test]
fn those_whose_buffers_are_full_are_recorded_whole_and_cost_no_memory() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let tape = Tape::noise(Law::Mu, 1, FRAMES * FRAME);
    let samples = tape.samples();
    let (mut narrow, mut wide) = (deaf(&bed, 1), deaf(&bed, 2));
    let mut full = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| narrow.say(&samples));
        let sound = vec![7; WIDE];
        let frames: Vec<_> = (0..FRAMES as u64).map(|at| (at * 20, &*sound)).collect();
        let began = Instant::now();
        let _ = wide.speak(WIDE_KIND, began, &frames[..FULL]);
        full = bed.daemon.resident_bytes();
        let _ = wide.speak(WIDE_KIND, began, &frames[FULL..]);
    });
    let grown = bed.daemon.resident_bytes().saturating_sub(full);
    // Had it kept what found no room since: 4.6 MB.
    assert!(grown < 2 << 20, "{grown} bytes more");
    answered(narrow, 0x10, FRAME);
    answered(wide, WIDE_KIND, WIDE);
    for (number, name) in [(1, "narrow"), (2, "wide")] {
        let json = recordings(&client, &call_sid(&client, number), 1).remove(0);
        let length = json["duration_ms"].as_u64().expect("a length");
        assert!((15_980..17_500).contains(&length), "{name}: {json}");
        if number == 1 {
            let wav = client.heard(&json);
            whole(wav.mono(), &tape);
        }
    }
}
