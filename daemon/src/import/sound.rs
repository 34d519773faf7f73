//! A WAV or MP3 file as a recording: the move from another recorder.
//!
//! Called by [`super::run`]; `codec` reads the files. One channel becomes a mono recording, two a
//! dual one, left inbound and right outbound. It is brought to 8 kHz, or keeps
//! its own rate where `capture.rate` is native. The file is streamed, twice: its checksum is the token by
//! which a repeat is known.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reeld_codec::resample::Resampler;
use reeld_codec::{mp3, wav};
use reeld_model::{
    CallSid, Channels, EndedBy, RecordingSid, SAMPLE_RATE, Summary, TrackSelection, Trim,
};
use reeld_store::{NewRecording, Origin, Parties};

use super::{Done, Progress, Refused, Shelf, made};
use crate::recorder::OpenTake;

/// Samples that are read at once, at most.
const PIECE: usize = 16_384;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Wav,
    Mp3,
}

/// Imports a sound file of `length` bytes that was last changed at `modified_ms`.
pub(super) fn import(
    shelf: &Shelf<'_>,
    kind: Kind,
    file: &mut File,
    length: u64,
    modified_ms: i64,
    progress: Progress<'_>,
    done: &mut Done,
) -> Result<(), String> {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(&mut *file)
        .map_err(|error| error.to_string())?;
    let start = || SeekFrom::Start(0);
    file.seek(start()).map_err(|error| error.to_string())?;
    let read = Arc::new(AtomicU64::new(0));
    let counted = Counted {
        file: &*file,
        read: Arc::clone(&read),
    };
    let mut reader = Reader::open(kind, counted).map_err(|error| error.to_string())?;
    let (channels, rate_hz, codec) = reader.format();
    let to_hz = match shelf.rate {
        reeld_capture::Rate::Narrow => SAMPLE_RATE,
        reeld_capture::Rate::Native => mp3::rate_for(rate_hz),
    };
    let mut rate = Rate::new(channels, rate_hz, to_hz).map_err(|error| error.to_string())?;
    let job = shelf.job;
    if let Some(wanted) = job.channels.filter(|wanted| *wanted != channels) {
        return Err(format!("it has {channels} channels, not {wanted}"));
    }
    let call = job
        .call
        .unwrap_or_else(|| CallSid::from_external(shelf.account, &job.name));
    let created_ms = job.created_ms.unwrap_or(modified_ms);
    // The same sound under another name is another recording, and so it is under another Sid.
    let token = format!(
        "reeld-import\0{}\0{call}\0{:?}\0{}",
        hasher.finalize().to_hex(),
        job.sid,
        job.name
    );
    let new = NewRecording {
        sid: shelf.sid()?,
        account: shelf.account,
        call,
        channels: if channels == 2 {
            Channels::Dual
        } else {
            Channels::Mono
        },
        track: TrackSelection::Both,
        trim: Trim::DoNotTrim,
        origin: Origin::Import,
        created_ms,
        parties: Parties::default(),
        tags: job.tags.clone(),
        signalling_json: String::new(),
        idempotency_token: Some(token),
        subscription: None,
        action: None,
    };
    let sid = match shelf.begin(new) {
        Ok(sid) => sid,
        Err(refused @ (Refused::Problem(_) | Refused::Note(_))) => {
            refused.tell("", done);
            return Ok(());
        }
    };
    let mut take = take_of(shelf, sid)?;
    take.begins_at(created_ms);
    take.set_rate(to_hz).map_err(|error| error.to_string())?;
    let mut stopped = false;
    let copied = copy(&mut reader, &mut take, &mut rate, &mut || {
        stopped = !progress(read.load(Ordering::Relaxed), length);
        !stopped
    });
    let frames = take.frames();
    let summary = Summary {
        ended_by: EndedBy::Imported,
        frames,
        digits: String::new(),
        tracks: Default::default(),
        quality: Default::default(),
        rate_hz: to_hz,
    };
    let duration_ms = i64::try_from(frames * 1_000 / u64::from(to_hz)).unwrap_or(0);
    let ended = take.end(summary, created_ms.saturating_add(duration_ms));
    if stopped {
        shelf.undo(ended);
        return Err("the import was stopped".to_owned());
    }
    let record = shelf.finish(ended)?;
    if record.frames > 0 {
        done.recordings.push(made(&record, codec));
    }
    match (copied, record.frames) {
        (Err(problem), _) => Err(problem),
        (Ok(()), 0) => Err("there is no sound in it".to_owned()),
        (Ok(()), _) => Ok(()),
    }
}

fn take_of(shelf: &Shelf<'_>, sid: RecordingSid) -> Result<OpenTake, String> {
    OpenTake::of(shelf.store, sid).map_err(|error| error.to_string())
}

/// Copies all samples while `go_on` says so; what came before an error stays.
fn copy(
    reader: &mut Reader<'_>,
    take: &mut OpenTake,
    rate: &mut Rate,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<(), String> {
    let channels = rate.channels();
    let mut samples = Vec::new();
    let mut more = Ok(true);
    while matches!(more, Ok(true)) && go_on() {
        samples.clear();
        more = reader.read(&mut samples);
        let brought = rate.bring(&samples, !matches!(more, Ok(true)));
        let kept = take.frames() + (brought.len() / channels) as u64;
        if !brought.is_empty() {
            take.append(brought, kept)
                .map_err(|error| error.to_string())?;
        }
    }
    if let Err(error) = more {
        let at = take.frames();
        return Err(format!("{error}; {at} frames before that are imported"));
    }
    let damaged = reader.damaged();
    if damaged > 0 {
        return Err(format!(
            "{damaged} of its MP3 frames are damaged: silence is in their place"
        ));
    }
    Ok(())
}

/// Interleaved samples on their way to the recording's rate.
struct Rate {
    /// One for each channel.
    resamplers: Vec<Resampler>,
    /// A channel's samples, and what came of them.
    channel: Vec<i16>,
    brought: Vec<i16>,
    interleaved: Vec<i16>,
}

impl Rate {
    fn new(channels: u16, from_hz: u32, to_hz: u32) -> Result<Self, reeld_codec::Error> {
        let resampler = Resampler::new(from_hz, to_hz)?;
        Ok(Self {
            resamplers: vec![resampler; usize::from(channels)],
            channel: Vec::new(),
            brought: Vec::new(),
            interleaved: Vec::new(),
        })
    }

    fn channels(&self) -> usize {
        self.resamplers.len()
    }

    /// Whole frames of `samples` at the recording's rate; with `is_last` all that is left too. A file
    /// that ends within a frame has the whole ones before.
    fn bring(&mut self, samples: &[i16], is_last: bool) -> &[i16] {
        let channels = self.channels();
        self.interleaved.clear();
        for (at, resampler) in self.resamplers.iter_mut().enumerate() {
            let frames = samples.chunks_exact(channels);
            self.channel.clear();
            self.channel.extend(frames.map(|frame| frame[at]));
            self.brought.clear();
            resampler.process(&self.channel, &mut self.brought);
            if is_last {
                resampler.flush(&mut self.brought);
            }
            // Every channel has as much.
            self.interleaved.resize(self.brought.len() * channels, 0);
            let places = self.interleaved.iter_mut().skip(at).step_by(channels);
            for (place, sample) in places.zip(&self.brought) {
                *place = *sample;
            }
        }
        &self.interleaved
    }
}

/// Either kind of file, sample by sample.
enum Reader<'f> {
    Wav(Box<wav::AnyReader<BufReader<Counted<'f>>>>),
    Mp3(Box<mp3::Decoder<'f>>),
}

impl<'f> Reader<'f> {
    fn open(kind: Kind, file: Counted<'f>) -> Result<Self, reeld_codec::Error> {
        Ok(match kind {
            Kind::Wav => Self::Wav(Box::new(wav::AnyReader::new(BufReader::new(file))?)),
            Kind::Mp3 => Self::Mp3(Box::new(mp3::Decoder::new(BufReader::new(file))?)),
        })
    }

    /// Channels, rate in Hz, and what it is called.
    fn format(&self) -> (u16, u32, String) {
        match self {
            Self::Wav(wav) => (wav.channels(), wav.rate_hz(), wav.kind().to_owned()),
            Self::Mp3(mp3) => (mp3.channels(), mp3.rate_hz(), "MP3".to_owned()),
        }
    }

    /// Appends some samples; false at the end.
    fn read(&mut self, samples: &mut Vec<i16>) -> Result<bool, reeld_codec::Error> {
        match self {
            Self::Wav(wav) => wav.read(samples, PIECE),
            Self::Mp3(mp3) => mp3.next_into(samples),
        }
    }

    fn damaged(&self) -> u64 {
        match self {
            Self::Wav(_) => 0,
            Self::Mp3(mp3) => mp3.damaged(),
        }
    }
}

/// A file that counts the bytes that are read of it.
struct Counted<'f> {
    file: &'f File,
    read: Arc<AtomicU64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}
