//! A restart in mid-call: calls and their sockets go to the next daemon by way of systemd's descriptor store.
//!
//! Called by `run`, at its end ([`Leaving`]) and at its start ([`Passed`]); calls `notify`. What is in a call is
//! `ingest`'s and `capture`'s to say, and its recordings' takes are `store`'s to park and resume.
//!
//! Three descriptors are stored (sd_notify(3), FDSTORE=1), whatever the number of calls:
//!
//! | name | what it is |
//! | --- | --- |
//! | `reeld-state` | a memory file: what is known of each call |
//! | `reeld-sockets` | one end of a socket pair, in which the calls' sockets lie as SCM_RIGHTS (unix(7)), [`AT_ONCE`] a message |
//! | `reeld-api` | the API's listener: who connects meanwhile waits |
//!
//! systemd compares each descriptor that it stores with all it has: thousands of sockets would keep it busy
//! for half a minute (docs/design/decisions/0024-calls-outlive-a-restart.md).

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use reeld_ingest::{HandedCall, TakenCall};
use reeld_store::{GoesOn, Store};
use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};

use crate::{clock, notify};

const STATE: &str = "reeld-state";
const SOCKETS: &str = "reeld-sockets";
const API: &str = "reeld-api";

/// What systemd calls the API's listener where a socket unit has it: `FileDescriptorName=api`, and the unit's
/// name where it has none.
const ACTIVATED: [&str; 2] = ["api", "reeld.socket"];

/// Descriptors in a message, the most that Linux takes (SCM_MAX_FD).
const AT_ONCE: usize = 253;

/// What the state's form is called. It is by names: what is new in it is read by older ones and the other way
/// round, so this changes only where the meaning of what is there does.
const VERSION: u32 = 1;

/// What is known of all calls.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    calls: Vec<HandedCall>,
}

/// What systemd has passed to this process.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    state: Option<OwnedFd>,
    sockets: Option<OwnedFd>,
    /// The API's listener, and whether a socket unit has it.
    api: Option<(TcpListener, bool)>,
}

impl Passed {
    /// Takes what was passed, the first time it is asked for; what is not known is closed, and the log says so.
    pub(crate) fn take() -> Self {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let mut passed = Self::default();
        if TAKEN.swap(true, Ordering::Relaxed) {
            return passed;
        }
        let descriptors = sd_listen_fds::get().unwrap_or_else(|error| {
            tracing::error!(%error, "what systemd passes cannot be read");
            Vec::new()
        });
        for (name, descriptor) in descriptors {
            let (name, descriptor) = (name.unwrap_or_default(), descriptor.into_std());
            // Programs that this one starts have no use for it.
            if let Err(error) = rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
                tracing::error!(name, %error, "a descriptor that was passed is of no use");
                continue;
            }
            match name.as_str() {
                STATE if passed.state.is_none() => passed.state = Some(descriptor),
                SOCKETS if passed.sockets.is_none() => passed.sockets = Some(descriptor),
                API if passed.api.is_none() => passed.api = Some((descriptor.into(), false)),
                name if ACTIVATED.contains(&name) => passed.api = Some((descriptor.into(), true)),
                _ => tracing::warn!(
                    name,
                    "a descriptor without a state was passed; it is closed"
                ),
            }
        }
        // What is here is not to be passed again.
        for (name, is_there) in [
            (STATE, passed.state.is_some()),
            (SOCKETS, passed.sockets.is_some()),
            (
                API,
                passed
                    .api
                    .as_ref()
                    .is_some_and(|(_, is_activated)| !is_activated),
            ),
        ] {
            if is_there {
                notify::forget(name);
            }
        }
        passed
    }

    /// The API's listener, where it listens to `wanted` or a socket unit has it; and whether one has.
    pub(crate) fn api(&mut self, wanted: SocketAddr) -> Option<(TcpListener, bool)> {
        let (listener, is_activated) = self.api.take()?;
        match listener.local_addr() {
            Ok(address) if is_activated => {
                tracing::info!(%address, "the API listens where its socket unit says");
                Some((listener, is_activated))
            }
            Ok(address) if address == wanted => Some((listener, is_activated)),
            _ => None,
        }
    }

    /// The calls that the daemon before this one handed over. One that cannot be taken up is closed, and the log
    /// says why; its recordings are finished by recovery.
    pub(crate) fn calls(&mut self) -> Vec<TakenCall> {
        let (state, sockets) = match (self.state.take(), self.sockets.take()) {
            (Some(state), Some(sockets)) => (state, sockets),
            (None, None) => return Vec::new(),
            (state, sockets) => {
                let (state, sockets) = (state.is_some(), sockets.is_some());
                tracing::error!(
                    state,
                    sockets,
                    "of calls that were handed over only a part came"
                );
                return Vec::new();
            }
        };
        let read = read_state(state)
            .and_then(|state| Ok((state, receive(&UnixStream::from(sockets))?)))
            .and_then(|(state, sockets)| allot(state, sockets));
        let calls = read.unwrap_or_else(|error| {
            tracing::error!(
                error = format!("{error:#}"),
                "calls that were handed over are lost"
            );
            Vec::new()
        });
        let taken = calls.into_iter().filter_map(|call| {
            TakenCall::read(call)
                .inspect_err(|error| tracing::error!(%error, "its recordings end"))
                .ok()
        });
        taken.collect()
    }
}

/// Makes the recordings of calls that were taken up this process's. To be called before recovery, which
/// finishes the others.
pub(crate) fn resume(store: &Store, calls: &[TakenCall]) {
    let mut recordings = 0;
    for given in calls.iter().flat_map(|call| &call.recordings) {
        let goes_on = GoesOn {
            frames: given.frames,
            keep_frames: given.keep_frames,
            rate_hz: given.rate_hz,
            started_ms: given.started.map(clock::unix_ms_of),
        };
        match store.resume(given.recording, goes_on) {
            Ok(()) => recordings += 1,
            Err(error) => {
                tracing::error!(recording = %given.recording, %error, "a recording does not go on");
            }
        }
    }
    if !calls.is_empty() {
        tracing::info!(
            calls = calls.len(),
            recordings,
            "calls of the daemon before go on"
        );
    }
}

/// What the next daemon is given, on its way to systemd.
#[derive(Debug)]
pub(crate) struct Leaving {
    api: Option<OwnedFd>,
}

impl Leaving {
    /// Nothing given yet. `api` is the API's listener, where no socket unit has it.
    pub(crate) fn new(api: Option<BorrowedFd<'_>>) -> Self {
        let api = api.map(|api| api.try_clone_to_owned());
        let api = api.transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "who connects during the restart is refused");
            None
        });
        Self { api }
    }

    /// Stores calls and listener with systemd.
    ///
    /// # Errors
    /// Where it does not take them: then the calls end here.
    pub(crate) fn give(self, calls: Vec<HandedCall>) -> anyhow::Result<()> {
        if let Some(api) = &self.api {
            notify::store(API, api.as_fd()).context("the API's listener")?;
        }
        if calls.is_empty() {
            return Ok(());
        }
        let count = calls.len();
        let state = State {
            version: VERSION,
            calls,
        };
        let (mine, stored) = UnixStream::pair().context("a socket pair")?;
        send(&mine, &state.calls).context("the calls' sockets")?;
        let memory = write_state(&state).context("the calls' state")?;
        notify::store(SOCKETS, stored.as_fd())?;
        notify::store(STATE, memory.as_fd())?;
        tracing::info!(calls = count, "calls are handed to the next daemon");
        Ok(())
    }
}

fn write_state(state: &State) -> anyhow::Result<File> {
    let memory = rustix::fs::memfd_create(STATE, MemfdFlags::CLOEXEC)?;
    let mut memory = File::from(memory);
    memory.write_all(&rmp_serde::to_vec_named(state)?)?;
    Ok(memory)
}

fn read_state(memory: OwnedFd) -> anyhow::Result<State> {
    let mut memory = File::from(memory);
    let mut bytes = Vec::new();
    memory.rewind()?;
    memory.read_to_end(&mut bytes)?;
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let Head { version } = rmp_serde::from_slice(&bytes).context("the calls' state")?;
    anyhow::ensure!(
        version == VERSION,
        "their state is of version {version}, and this is version {VERSION}"
    );
    rmp_serde::from_slice(&bytes).context("the calls' state")
}

/// Puts the sockets of calls into a socket, in their order.
fn send(into: &UnixStream, calls: &[HandedCall]) -> anyhow::Result<()> {
    into.set_nonblocking(true)?;
    let sockets: Vec<_> = calls
        .iter()
        .flat_map(|call| &call.sockets)
        .map(|socket| socket.as_fd())
        .collect();
    for some in sockets.chunks(AT_ONCE) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        anyhow::ensure!(
            control.push(SendAncillaryMessage::ScmRights(some)),
            "{} descriptors are too many for a message",
            some.len()
        );
        let sent = rustix::net::sendmsg(
            into,
            &[IoSlice::new(&[0])],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        anyhow::ensure!(sent == 1, "a message was cut");
    }
    Ok(())
}

/// Takes out all that lies in a socket.
fn receive(from: &UnixStream) -> anyhow::Result<Vec<OwnedFd>> {
    from.set_nonblocking(true)?;
    let mut sockets = Vec::new();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = rustix::net::recvmsg(
            from,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        match received {
            // The other end went with the process that sent.
            Ok(message) if message.bytes == 0 => return Ok(sockets),
            Err(rustix::io::Errno::AGAIN) => return Ok(sockets),
            Ok(_) => {
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(some) = message {
                        sockets.extend(some);
                    }
                }
            }
            Err(error) => return Err(error).context("the calls' sockets"),
        }
    }
}

/// Gives each call its sockets.
fn allot(state: State, sockets: Vec<OwnedFd>) -> anyhow::Result<Vec<HandedCall>> {
    let wanted: usize = state.calls.iter().map(HandedCall::sockets).sum();
    anyhow::ensure!(
        wanted == sockets.len(),
        "{} sockets came, and the calls have {wanted}",
        sockets.len()
    );
    let mut sockets = sockets.into_iter();
    let mut calls = state.calls;
    for call in &mut calls {
        call.sockets = sockets.by_ref().take(call.sockets()).collect();
    }
    Ok(calls)
}
