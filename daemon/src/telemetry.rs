//! Logs: to standard error, a line for a person or a JSON object for a machine.
//!
//! `cli::serve` calls [`start`] once, before anything logs. Levels and targets are the
//! configuration's; what may be logged at all is style.md rule 34's matter, at each place.
//!
//! A line is written by a thread of its own. Standard error may be a file on the disk that stands still,
//! or a journal that writes to it, and who logs is often who may not wait for a disk: a media thread, or
//! the judge of the load. Of `LINES` that wait, more are dropped, and how many is said when there is
//! room again. [`Logging`] waits for the rest at the end, for a bounded time.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use reeld_config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written: some hundred bytes each.
const LINES: usize = 4_096;

/// How long the end waits for lines to be written, and how often it asks for room.
const LAST_WAIT: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_millis(2);

/// Starts logging, for the whole process.
///
/// # Errors
/// The level is none, logging has been started already, or the system gives no thread.
pub fn start(log: &Log) -> anyhow::Result<Logging> {
    let filter = EnvFilter::try_new(&log.level).context("log.level")?;
    let on_terminal = io::stderr().is_terminal();
    let (lines, logging) = write_to(io::stderr())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        .with_ansi(on_terminal);
    let started = if is_json(log.format, on_terminal, under_systemd()) {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    started.map_err(|error| anyhow!(error)).context("logging")?;
    Ok(logging)
}

/// Logging as it runs. Dropped, it waits until what was logged is written.
#[derive(Debug)]
pub struct Logging {
    lines: SyncSender<Entry>,
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (written, is_written) = sync_channel(1);
        let until = Instant::now() + LAST_WAIT;
        let mut last = Entry::Last(written);
        // A full queue has no wait with a bound.
        while let Err(TrySendError::Full(back)) = self.lines.try_send(last) {
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(LAST_RETRY);
            last = back;
        }
        // Late or with the thread gone: there is nobody left to tell.
        let _ = is_written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// What the thread is given.
#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// All before it is to be written, and that is to be said.
    Last(SyncSender<()>),
}

/// Takes lines and never waits.
#[derive(Debug, Clone)]
struct Lines {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // `tracing_subscriber` writes an event with one call.
        if self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Starts the thread that writes lines to `to`.
fn write_to(to: impl Write + Send + 'static) -> anyhow::Result<(Lines, Logging)> {
    let (queue, entries) = sync_channel(LINES);
    let lines = Lines {
        queue,
        dropped: Arc::default(),
    };
    let dropped = Arc::clone(&lines.dropped);
    std::thread::Builder::new()
        .name("reeld-log".to_owned())
        .spawn(move || write_lines(&entries, &dropped, to))
        .context("cannot start the thread reeld-log")?;
    let logging = Logging {
        lines: lines.queue.clone(),
    };
    Ok((lines, logging))
}

fn write_lines(entries: &Receiver<Entry>, dropped: &AtomicU64, mut to: impl Write) {
    for entry in entries {
        // A log that cannot be written has nowhere to say so.
        let _ = match entry {
            Entry::Line(line) => to.write_all(&line),
            Entry::Last(written) => {
                let flushed = to.flush();
                let _ = written.try_send(());
                flushed
            }
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                to,
                "{lost} lines of the log were dropped: it could not be written"
            );
        }
    }
}

/// A terminal is a person's even when a service has opened it, as desktops do.
fn is_json(format: LogFormat, on_terminal: bool, under_systemd: bool) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => under_systemd && !on_terminal,
    }
}

/// systemd.exec(5): set for every process of a unit.
fn under_systemd() -> bool {
    std::env::var_os("INVOCATION_ID").is_some() || std::env::var_os("JOURNAL_STREAM").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes once it is let.
    struct Gate(Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_what_is_dropped_is_said() {
        let (open, is_open) = sync_channel(2 * LINES);
        let (written, has_written) = sync_channel(2 * LINES);
        let (mut lines, logging) = write_to(Gate(is_open, written)).unwrap();
        for line in 0..LINES + 10 {
            lines.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        for _ in 0..LINES + 10 {
            open.send(()).unwrap();
        }
        drop((open, lines));
        let mut text = Vec::new();
        while let Ok(part) = has_written.recv_timeout(Duration::from_millis(500)) {
            text.extend(part);
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("0\n"), "{}", &text[..20]);
        assert!(text.contains(" lines of the log were dropped"));
        assert!(text.contains(&format!("\n{}\n", LINES - 1)));
        drop(logging);
    }

    #[test]
    fn the_end_waits_for_the_last_line() {
        let (written, has_written) = sync_channel(8);
        let (open, is_open) = sync_channel(8);
        open.send(()).unwrap();
        let (mut lines, logging) = write_to(Gate(is_open, written)).unwrap();
        lines.write_all(b"the last\n").unwrap();
        drop(logging);
        assert_eq!(has_written.try_recv().unwrap(), b"the last\n");
    }

    #[test]
    fn people_get_lines_and_the_journal_gets_json() {
        for (format, on_terminal, under_systemd, json) in [
            (LogFormat::Auto, false, false, false),
            (LogFormat::Auto, false, true, true),
            (LogFormat::Auto, true, true, false),
            (LogFormat::Json, true, false, true),
            (LogFormat::Human, false, true, false),
        ] {
            assert_eq!(is_json(format, on_terminal, under_systemd), json);
        }
    }
}
