//! After a crash: is all there that was promised, and nothing that was not?
//!
//! Called by the tortures with the daemon that has come up again. It looks at what any client sees,
//! at the names in the data folder, and at what `reeld verify` says. What is wrong comes back as
//! sentences, so that a run can count them, and keep its tally, before it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::caller::World;
use super::ledger::{Book, Entry, tape};
use super::tally::Tally;
use super::{Crash, Mark, was_late};
use crate::patience::wait_for;
use crate::tape::Dice;
use crate::{Client, Daemon, MediaKind, Wav, judge};

/// Callbacks that are due come within this: the retries of what a receiver refused too.
const TOLD_BOUND: Duration = Duration::from_secs(60);
/// What is tidied up beside the start is gone within this.
const TIDY_BOUND: Duration = Duration::from_secs(10);

/// How an inquest is held.
#[derive(Debug, Clone, Copy)]
pub struct Inquest {
    /// Where media lie.
    pub media: MediaKind,
    /// What the crash may cost a recording that was going on.
    pub most_lost: Duration,
    /// Of recordings that an earlier inquest found, how many are fetched again; all have to be listed.
    pub again: usize,
    /// Chooses those.
    pub seed: u64,
}

impl Inquest {
    /// Everything but callbacks: recordings, orphans, `verify`. What is wrong.
    ///
    /// # Panics
    /// When the daemon does not answer.
    #[must_use]
    pub fn hold(
        &self,
        daemon: &Daemon,
        world: &World,
        crash: Crash,
        tally: &mut Tally,
    ) -> Vec<String> {
        let client = daemon.client();
        let mut findings = std::mem::take(&mut world.ledger.book().findings);
        let listed = settled(client);
        let book = world.ledger.book().clone();
        let known = book.entries.values().filter(|entry| entry.judged).count();
        let mut dice = Dice::new(self.seed);
        for (&seed, entry) in &book.entries {
            let Some(sid) = entry.sid_before(crash.mark) else {
                continue;
            };
            let is_chosen = !entry.judged || dice.below(known.max(1)) < self.again;
            let status = listed.get(sid).map(String::as_str);
            let verdict = if is_chosen {
                tally.add("recordings checked", 1);
                self.recording(client, seed, entry, sid, status, crash)
            } else {
                presence(entry, status, crash.mark).map(|()| None)
            };
            match verdict {
                Ok(None) => world.ledger.note(seed, |entry| entry.judged = true),
                Ok(Some((hash, bytes))) => {
                    tally.add("bytes compared", bytes);
                    world.ledger.note(seed, |entry| {
                        entry.judged = true;
                        entry.wav = Some(hash);
                    });
                }
                Err(what) => {
                    tally.add("lost", 1);
                    findings.push(format!("{sid} (call {seed}): {what}"));
                }
            }
        }
        findings.extend(strangers(&book, crash.mark, &listed));
        findings.extend(self.orphans(daemon.data_dir(), &listed));
        let verify = daemon.command(&["verify"]);
        if !verify.status.success() {
            findings.push(format!("verify: {}{}", verify.text(), verify.stderr));
        }
        findings
    }

    /// One recording that was acknowledged. The hash of its file and its bytes, where it has one.
    fn recording(
        &self,
        client: &Client,
        seed: u64,
        entry: &Entry,
        sid: &str,
        status: Option<&str>,
        crash: Crash,
    ) -> Result<Option<([u8; 32], u64)>, String> {
        presence(entry, status, crash.mark)?;
        let before = |mark: Option<Mark>| mark.is_some_and(|mark| mark <= crash.mark);
        let heard = self.heard(entry, crash);
        match status {
            None => return Ok(None),
            Some("absent") if heard > 0 => {
                return Err(format!("absent, and {heard} samples were sent in time"));
            }
            Some("absent") => return Ok(None),
            Some(_) => {}
        }
        let reply = client.get_public(&client.old_path(&format!("/Recordings/{sid}")));
        if reply.status != 200 {
            return Err(format!(
                "listed, and its audio is answered with {}",
                reply.status
            ));
        }
        let hash = *blake3::hash(&reply.body).as_bytes();
        if (entry.judged || before(entry.completed)) && entry.wav.is_some_and(|wav| wav != hash) {
            return Err("its finished file has changed".to_owned());
        }
        if !entry.judged {
            let wav = Wav::read(&reply.body);
            let channels = if entry.dual { 2 } else { 1 };
            if wav.channels.len() != channels {
                return Err(format!("{} channels", wav.channels.len()));
            }
            for (channel, track) in wav.channels.iter().zip(0..) {
                let tape = tape(seed, track, entry.samples);
                if before(entry.completed) && !was_late(&entry.sent) {
                    judge::exact(channel, &tape.samples());
                    continue;
                }
                let pieces = judge::pieces(channel, &tape);
                let first = pieces.first();
                // Holes are what a loss of power may leave, where no sync had been: zeros.
                let had = first.map_or(0, |piece| usize::from(piece.tape == 0) * piece.length);
                // A track that began later has its place behind some silence.
                let shift = first.map_or(0, |piece| piece.at.saturating_sub(piece.tape));
                if was_late(&entry.sent) {
                    continue;
                }
                let is_straight = pieces.iter().all(|piece| piece.at == piece.tape + shift);
                if !is_straight || (track == 0 && !entry.dual && shift != 0) || had < heard {
                    return Err(format!(
                        "{heard} samples were sent in time; it has {pieces:?}"
                    ));
                }
            }
        }
        if let Some(mp3) = entry.mp3
            && before(entry.completed)
        {
            let reply = client.get_public(&client.old_path(&format!("/Recordings/{sid}.mp3")));
            if reply.status != 200 || *blake3::hash(&reply.body).as_bytes() != mp3 {
                return Err(format!("another MP3 than before ({})", reply.status));
            }
        }
        Ok(Some((hash, reply.body.len() as u64)))
    }

    /// Samples of the tape that were sent so long before the crash that they must be there. An earlier
    /// crash has judged of what it has met.
    fn heard(&self, entry: &Entry, crash: Crash) -> usize {
        if entry.judged || was_late(&entry.sent) {
            return 0;
        }
        let in_time = |sent: &&std::time::Instant| **sent + self.most_lost < crash.at;
        160 * entry.sent.iter().filter(in_time).count()
    }

    /// Names in the data folder that are nobody's. What is tidied up after the start has a moment.
    fn orphans(&self, data: &Path, listed: &BTreeMap<String, String>) -> Vec<String> {
        let start = Instant::now();
        loop {
            let found = self.orphans_now(data, listed);
            if found.is_empty() || start.elapsed() > TIDY_BOUND {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn orphans_now(&self, data: &Path, listed: &BTreeMap<String, String>) -> Vec<String> {
        let is_whole = |sid: &str| listed.get(sid).is_some_and(|status| status == "completed");
        let mut found = Vec::new();
        let mut media = BTreeSet::new();
        for path in names(data) {
            let parts: Vec<&str> = path.split('/').collect();
            let sid = parts
                .last()
                .map_or("", |name| name.get(..34).unwrap_or(name));
            let is_right = match parts[..] {
                ["lock" | "key" | "reserve" | "scrub" | "credentials.toml" | "reeld.sock"] => true,
                // The next writing of the same name begins with its removal.
                ["probe.partial" | "scrub.partial" | "credentials.toml.part"] => true,
                ["catalog", ..] => true,
                ["media", ..] => media.insert(sid.to_owned()) && is_whole(sid),
                ["cache", ..] => is_whole(sid),
                _ => false,
            };
            if !is_right {
                found.push(format!("an orphan in the data folder: {path}"));
            }
        }
        if self.media == MediaKind::Local {
            let missing = listed
                .keys()
                .filter(|sid| is_whole(sid) && !media.contains(*sid));
            found.extend(missing.map(|sid| format!("{sid}: no media")));
        }
        found
    }
}

/// Whether it is there, gone or absent as it must.
fn presence(entry: &Entry, status: Option<&str>, mark: Mark) -> Result<(), String> {
    let before = |at: Option<Mark>| at.is_some_and(|at| at <= mark);
    match status {
        Some(status) if before(entry.deleted) => Err(format!("deleted, and {status} again")),
        None if entry.deleting.is_none_or(|at| at > mark) => Err("gone".to_owned()),
        Some("absent") if before(entry.completed) => Err("completed before, and absent".to_owned()),
        Some("absent" | "completed") | None => Ok(()),
        Some(other) => Err(format!("still {other}")),
    }
}

/// Every recording there is, once none is being worked on: its Sid and status.
fn settled(client: &Client) -> BTreeMap<String, String> {
    wait_for("end of all recordings", TOLD_BOUND, || {
        let mut listed = BTreeMap::new();
        let mut next = client.path("/Recordings.json?PageSize=1000");
        loop {
            let page = client.get(&next).expect(200).json();
            for one in page["recordings"].as_array()? {
                let (sid, status) = (one["sid"].as_str()?, one["status"].as_str()?);
                listed.insert(sid.to_owned(), status.to_owned());
            }
            match page["next_page_uri"].as_str() {
                Some(uri) => next = uri.to_owned(),
                None => break,
            }
        }
        let is_settled = |status: &String| matches!(status.as_str(), "completed" | "absent");
        listed.values().all(is_settled).then_some(listed)
    })
}

/// Recordings that are there and that nobody was told of: each has to be a start that was sent and
/// not answered.
fn strangers(book: &Book, mark: Mark, listed: &BTreeMap<String, String>) -> Vec<String> {
    let entries = || book.entries.values();
    let known: BTreeSet<&str> = entries().filter_map(|e| e.sid_before(mark)).collect();
    let open = entries().filter(|e| e.asked <= mark && e.sid_before(mark).is_none());
    let strangers: Vec<&String> = listed
        .keys()
        .filter(|sid| !known.contains(sid.as_str()))
        .collect();
    let open = open.count();
    if strangers.len() > open {
        vec![format!(
            "{strangers:?} are there; {open} starts were not answered"
        )]
    } else {
        Vec::new()
    }
}

/// Files below a folder, by their paths within it.
fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        // A folder or file that went meanwhile is no orphan.
        for entry in fs::read_dir(one).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(inside) = path.strip_prefix(folder) {
                found.push(inside.display().to_string());
            }
        }
    }
    found
}

/// Waits until no callback is due any more: then each recording that was acknowledged before the
/// crash was told of, its beginning before its end, and with the end that it has. What is wrong.
///
/// # Panics
/// When callbacks stay due.
#[must_use]
pub fn told(daemon: &Daemon, world: &World, mark: Mark, tally: &mut Tally) -> Vec<String> {
    wait_for("end of all callbacks", TOLD_BOUND, || {
        let text = daemon.callbacks("pending");
        text.contains("callbacks of 0 recordings wait")
            .then_some(())
    });
    let mut findings = Vec::new();
    let listed = settled(daemon.client());
    let mut book = world.ledger.book();
    findings.append(&mut book.findings);
    for (seed, entry) in &book.entries {
        let Some(sid) = entry.sid_before(mark) else {
            continue;
        };
        let at = |wanted: &[&str]| {
            let mut told = entry.told.iter();
            told.position(|(_, status)| wanted.contains(&status.as_str()))
        };
        let end = match listed.get(sid).map(String::as_str) {
            Some("absent") => at(&["absent"]),
            Some(_) => at(&["completed"]),
            None => at(&["completed", "absent"]),
        };
        tally.add("callbacks checked", 2);
        match (at(&["in-progress"]), end) {
            (Some(begin), Some(end)) if begin < end => {}
            _ => findings.push(format!("{sid} (call {seed}): told {:?}", entry.told)),
        }
    }
    let dead = daemon.callbacks("dead");
    if !dead.contains(" 0 were given up on") {
        findings.push(format!("callbacks were given up on: {dead}"));
    }
    tally.add("callbacks repeated", std::mem::take(&mut book.repeated));
    tally.add(
        "bytes fetched by receivers",
        std::mem::take(&mut book.fetched),
    );
    findings
}
