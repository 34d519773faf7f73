//! A supervisor that speaks systemd's notify protocol, since tests have no systemd: it hears what the daemon
//! says, keeps the descriptors that it is given, and passes them to the next one (sd_notify(3),
//! sd_listen_fds(3)).
//!
//! Called by [`crate::daemon`] for a daemon that [`crate::setup::Setup::supervised`] asks it for.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

/// The first descriptor that is passed (SD_LISTEN_FDS_START).
const FIRST: i32 = 3;

/// Descriptors in a message at most (SCM_MAX_FD).
const AT_ONCE: usize = 253;

/// A supervisor; it hears until it is dropped.
#[derive(Debug)]
pub struct Supervisor {
    path: PathBuf,
    heard: Arc<Heard>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    stop: AtomicBool,
    kept: Mutex<Vec<(String, OwnedFd)>>,
    said: Mutex<Vec<String>>,
}

impl Supervisor {
    /// One whose socket is in `folder`.
    ///
    /// # Panics
    /// When there is no socket.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("the temporary folder can be written");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout that is not 0");
        let heard = Arc::<Heard>::default();
        let hears = Arc::clone(&heard);
        let thread = std::thread::spawn(move || {
            while !hears.stop.load(Ordering::Relaxed) {
                hears.hear(&socket);
            }
        });
        Self {
            path,
            heard,
            thread: Some(thread),
        }
    }

    /// Where the daemon finds it: NOTIFY_SOCKET.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the descriptors that are kept, in their order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let kept = self.kept();
        kept.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What is kept, to be changed.
    ///
    /// # Panics
    /// Never.
    pub fn kept(&self) -> MutexGuard<'_, Vec<(String, OwnedFd)>> {
        self.heard
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// All messages so far.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        let said = self.heard.said.lock();
        said.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has `command` started with what is kept.
    ///
    /// # Panics
    /// When there are no descriptors left.
    pub(crate) fn pass(&self, command: &Command) -> Command {
        let kept = self.kept();
        // Who is started is known to itself alone.
        let mut shell = Command::new("sh");
        shell.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let names: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
        shell
            .env("NOTIFY_SOCKET", &self.path)
            .env("LISTEN_FDS", kept.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"));
        let mappings = (FIRST..)
            .zip(kept.iter())
            .map(|(child_fd, (_, descriptor))| {
                let parent_fd = descriptor.try_clone().expect("there are descriptors");
                FdMapping {
                    parent_fd,
                    child_fd,
                }
            });
        shell
            .fd_mappings(mappings.collect())
            .expect("each has its own number");
        shell
    }
}

impl Heard {
    fn hear(&self, socket: &UnixDatagram) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4_096];
        let received = rustix::net::recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        let Ok(received) = received else {
            return;
        };
        // Those of a barrier are closed at the end of this.
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                descriptors.extend(some);
            }
        }
        let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines.find_map(|(name, value)| (name == key).then_some(value))
        };
        let name = value("FDNAME").unwrap_or("stored").to_owned();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if value("FDSTORE") == Some("1") {
            kept.extend(descriptors.into_iter().map(|one| (name.clone(), one)));
        } else if value("FDSTOREREMOVE") == Some("1") {
            kept.retain(|(known, _)| *known != name);
        }
        drop(kept);
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.heard.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics nowhere; a test that has failed says so itself.
            let _ = thread.join();
        }
    }
}
