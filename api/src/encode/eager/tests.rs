//! What is made before it is asked for, and that no request waits for it.

use std::collections::HashMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use reeld_codec::mp3;
use reeld_model::Load;
use tempfile::TempDir;

use super::*;
use crate::encode::tests::{BOUND, key, read_all, wav_of};
use crate::encode::{Encoder, Source, Wav};

/// Four pieces.
const FRAMES: u64 = 100_000;

/// Long against what a thread takes to begin a piece that it may begin.
const LOOK: Duration = Duration::from_millis(200);

/// A WAV that says so each time that a piece of its sound is read, and then waits for leave.
struct Stepped {
    at: Sender<()>,
    leave: Receiver<()>,
    wav: Wav,
}

impl Read for Stepped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // The header is read by itself.
        if buf.len() > 44 {
            self.at.send(()).map_err(io::Error::other)?;
            self.leave.recv().map_err(io::Error::other)?;
        }
        self.wav.read(buf)
    }
}

/// The steps of a [`Stepped`].
struct Steps {
    at: Receiver<()>,
    leave: Sender<()>,
}

impl Steps {
    /// Waits until a piece is to be read.
    fn wait(&self) {
        self.at.recv_timeout(BOUND).unwrap();
    }

    /// Lets so many be read, waiting for none.
    fn leave(&self, pieces: usize) {
        (0..pieces).for_each(|_| self.leave.send(()).unwrap());
    }

    /// Whether none is to be read.
    fn stands_still(&self) -> bool {
        self.at.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout)
    }
}

fn stepped() -> (Wav, Steps) {
    let (at, is_at) = channel();
    let (give, leave) = channel();
    let wav = Stepped {
        at,
        leave,
        wav: wav_of(FRAMES),
    };
    (
        Box::new(wav),
        Steps {
            at: is_at,
            leave: give,
        },
    )
}

/// A pool of one, and the recordings that its eager thread finds, each once.
struct House {
    encoder: Encoder,
    found: Arc<Mutex<HashMap<RecordingSid, Wav>>>,
    dir: TempDir,
}

impl House {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let found: Arc<Mutex<HashMap<RecordingSid, Wav>>> = Arc::default();
        let shelf = Arc::clone(&found);
        let find = move |ended: Ended, format| {
            let wav = shelf.lock().unwrap().remove(&ended.sid);
            Ok(wav.map(|wav| Plan {
                key: crate::encode::Key {
                    format,
                    ..key(ended.sid.as_bytes()[0])
                },
                rate_hz: 8_000,
                frames: FRAMES,
                open: Box::new(|| Ok(wav)),
            }))
        };
        let eager = Eager {
            formats: vec![Format::Mp3],
            find: Box::new(find),
        };
        let (one, path) = (NonZeroUsize::MIN, dir.path().into());
        Self {
            encoder: Encoder::new(one, 4, 1 << 20, path, Load::default(), Some(eager), false)
                .unwrap(),
            found,
            dir,
        }
    }

    /// The end of recording `n`, of which `wav` is found.
    fn end(&self, n: u8, wav: Wav) {
        self.found.lock().unwrap().insert(key(n).sid, wav);
        self.tell(n);
    }

    fn tell(&self, n: u8) {
        self.encoder.ended(Ended {
            account: AccountSid::from_bytes([1; 16]),
            sid: key(n).sid,
        });
    }

    fn fetch(&self, n: u8, wav: Wav) -> Source {
        self.encoder
            .fetch(key(n), 8_000, FRAMES, || Ok(wav))
            .unwrap()
    }

    /// A request that must be given what is made, or was.
    fn fetch_made(&self, n: u8) -> Source {
        let again = || unreachable!("it is made a second time");
        self.encoder.fetch(key(n), 8_000, FRAMES, again).unwrap()
    }

    fn result(&self, name: &str) -> u64 {
        let results = self.encoder.eager().results();
        results.into_iter().find(|(is, _)| *is == name).unwrap().1
    }

    #[track_caller]
    fn wait_for(&self, name: &str, count: u64) {
        let deadline = Instant::now() + BOUND;
        while self.result(name) != count {
            let all = self.encoder.eager().results();
            assert!(Instant::now() < deadline, "no {name} {count} in {all:?}");
            std::thread::yield_now();
        }
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.dir.path()).unwrap().count()
    }
}

fn length() -> u64 {
    mp3::encoded_len(1, 8_000, FRAMES).unwrap()
}

#[tokio::test]
async fn what_has_ended_is_there_before_anybody_asks() {
    let house = House::new();
    house.end(1, wav_of(FRAMES));
    house.wait_for("made", 1);
    assert_eq!(house.encoder.eager().waiting(), 0);
    let made = read_all(house.fetch_made(1), length()).await.unwrap();
    let other = House::new();
    let asked = read_all(other.fetch(1, wav_of(FRAMES)), length()).await;
    assert_eq!(made, asked.unwrap());
}

#[tokio::test]
async fn it_stands_still_while_a_request_is_at_work_and_goes_on_then() {
    let house = House::new();
    let (wav, eager) = stepped();
    house.end(1, wav);
    eager.wait();
    // In the middle of a file that nobody asked for, somebody asks for another one.
    let (wav, asked) = stepped();
    let source = house.fetch(2, wav);
    asked.wait();
    eager.leave(4);
    assert!(eager.stands_still(), "a second piece beside a request");
    asked.leave(4);
    read_all(source, length()).await.unwrap();
    house.wait_for("made", 1);
}

#[test]
fn it_does_not_begin_while_a_request_is_at_work() {
    let house = House::new();
    let (wav, asked) = stepped();
    house.fetch(1, wav);
    asked.wait();
    let (wav, eager) = stepped();
    house.end(2, wav);
    assert!(eager.stands_still(), "it began beside a request");
    assert_eq!(house.files(), 1, "the request's");
    asked.leave(4);
    eager.wait();
    eager.leave(4);
    house.wait_for("made", 1);
}

#[tokio::test]
async fn a_request_for_what_is_being_made_joins_it_and_hurries_it() {
    let house = House::new();
    let (wav, eager) = stepped();
    house.end(1, wav);
    eager.wait();
    let (wav, other) = stepped();
    house.fetch(2, wav);
    other.wait();
    eager.leave(4);
    assert!(eager.stands_still());
    let joined = house.fetch_made(1);
    // The other request still has the only encoder.
    read_all(joined, length()).await.unwrap();
    other.leave(4);
}

#[tokio::test]
async fn a_request_for_what_still_waits_is_an_ordinary_one() {
    let house = House::new();
    let (wav, eager) = stepped();
    house.end(1, wav);
    eager.wait();
    let (unread, steps) = stepped();
    house.end(2, unread);
    read_all(house.fetch(2, wav_of(FRAMES)), length())
        .await
        .unwrap();
    eager.leave(4);
    house.wait_for("made", 1);
    house.wait_for("skipped", 1);
    assert!(steps.at.try_recv().is_err(), "it was read a second time");
}

#[test]
fn a_deletion_ends_it() {
    let house = House::new();
    let (wav, eager) = stepped();
    house.end(1, wav);
    eager.wait();
    house.encoder.forget(key(1).sid);
    eager.leave(4);
    house.wait_for("skipped", 1);
    // One that is deleted while it waits is not found.
    house.tell(2);
    house.wait_for("skipped", 2);
    assert_eq!(house.files(), 0);
}

#[test]
fn a_full_backlog_drops_and_counts() {
    let house = House::new();
    let (wav, eager) = stepped();
    house.end(1, wav);
    eager.wait();
    for _ in 0..MOST + 3 {
        house.tell(2);
    }
    let eager_of = house.encoder.eager();
    assert_eq!(
        (eager_of.waiting(), house.result("dropped")),
        (MOST as u64, 3)
    );
    eager.leave(4);
    house.wait_for("skipped", MOST as u64);
    assert_eq!(eager_of.waiting(), 0);
}

#[test]
fn sound_that_ends_early_is_a_failure_and_leaves_nothing() {
    let house = House::new();
    house.end(1, wav_of(FRAMES / 2));
    house.wait_for("failed", 1);
    assert_eq!(house.files(), 0);
}

#[test]
fn the_pool_ends_while_it_stands_still() {
    let house = House::new();
    let (wav, eager) = stepped();
    house.end(1, wav);
    eager.wait();
    let (wav, asked) = stepped();
    house.fetch(2, wav);
    asked.wait();
    (3..9).for_each(|n| house.tell(n));
    eager.leave(4);
    assert!(eager.stands_still());
    // The request's thread is let go once the end has begun: this thread waits for it.
    let leave = std::thread::spawn(move || {
        std::thread::sleep(LOOK);
        asked.leave(4);
    });
    drop(house.encoder);
    leave.join().unwrap();
    assert_eq!(std::fs::read_dir(house.dir.path()).unwrap().count(), 0);
}
