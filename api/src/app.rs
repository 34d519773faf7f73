//! What all requests share, and the two ways out of it: the store, and control.
//!
//! Handlers call [`App::store`] for anything that may touch the disk, so that it runs on tokio's
//! blocking threads, and [`App::ask`] for commands.

use std::sync::{Arc, OnceLock};

use reeld_callbacks::Figures;
use reeld_model::{
    Answer, CallView, Command, Control, Fork, Forks, Incoming, Load, NotForked, OpenCall,
    RecordingView, Refusal, Request,
};
use reeld_store::{Store, StoreError};
use tokio::sync::{Mutex, MutexGuard, Semaphore, oneshot};

use crate::audit::Trail;
use crate::auth::Gate;
use crate::encode::Encoder;
use crate::fault::Fault;
use crate::places::Places;
use crate::rates::Rates;
use crate::settings::{Clock, Settings};

/// The API's state, shared by all requests.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) control: Arc<dyn Control>,
    /// What forks media to us when it is asked, where there is one.
    pub(crate) forks: OnceLock<Arc<dyn Forks>>,
    /// What is refused for what there is to do.
    pub(crate) load: Load,
    /// Who may begin a recording on the disk.
    pub(crate) begins: Semaphore,
    /// What the sender of callbacks has counted.
    pub(crate) callbacks: Arc<Figures>,
    pub(crate) clock: Clock,
    pub(crate) gate: Gate,
    pub(crate) rates: Rates,
    pub(crate) trail: Arc<Trail>,
    /// What is counted of calls that come by themselves.
    pub(crate) incoming: Arc<Incoming>,
    /// Of connections.
    pub(crate) places: Arc<Places>,
    pub(crate) encoder: Encoder,
    /// Who may read a recording for its peaks.
    pub(crate) peaks: Arc<Semaphore>,
    pub(crate) turns: Turns,
}

/// Takes requests with the same idempotency token one after another, so that a repeat finds what
/// the first one came to. Other tokens may share a turn; none waits longer than a start takes.
#[derive(Default)]
pub(crate) struct Turns([Mutex<()>; 32]);

impl Turns {
    /// The turn of `token`, once nobody else has it.
    pub(crate) async fn take(&self, token: &str) -> MutexGuard<'_, ()> {
        let hash = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
        let place = std::hash::BuildHasher::hash_one(&hash, token) % self.0.len() as u64;
        self.0[usize::try_from(place).unwrap_or(0)].lock().await
    }
}

/// Why a command has no answer.
#[derive(Debug)]
pub(crate) enum Declined {
    /// It was not carried out.
    Refused(Refusal),
    /// `Limits::control` is over; the answer may still come.
    Late(oneshot::Receiver<Result<Answer, Refusal>>),
    /// It was dropped, against the rules of `model::control`.
    Dropped,
}

impl App {
    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// Runs `work` on the store where it may block.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let store = self.store.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&store)).await;
        outcome
            .map_err(|error| {
                tracing::error!(%error, "a store task died");
                Fault::internal()
            })?
            .map_err(Fault::from)
    }

    /// Gives a command on and waits for its answer, for a bounded time.
    pub(crate) async fn ask(&self, command: Command) -> Result<Answer, Declined> {
        let (reply, mut answer) = oneshot::channel();
        self.control.submit(Request {
            command,
            // Nobody waiting any more is the waiter's affair.
            reply: Box::new(move |outcome| drop(reply.send(outcome))),
        });
        match tokio::time::timeout(self.settings.limits.control, &mut answer).await {
            Ok(Ok(outcome)) => outcome.map_err(Declined::Refused),
            Ok(Err(_)) => Err(Declined::Dropped),
            Err(_) => Err(Declined::Late(answer)),
        }
    }

    /// [`App::ask`] for a command that is answered with a call.
    pub(crate) async fn ask_call(&self, command: Command) -> Result<CallView, Declined> {
        match self.ask(command).await? {
            Answer::Call(call) | Answer::Recording(_, call) => Ok(call),
        }
    }

    /// Has an rtpengine fork a call's media to this call, which is open then.
    pub(crate) async fn fork(&self, sip_call_id: String, open: OpenCall) -> Result<(), Fault> {
        let Some(forks) = self.forks.get() else {
            return Err(Fault::invalid(
                "Source",
                "no rtpengine is set up (rtpengine.ng)",
            ));
        };
        let (reply, answer) = oneshot::channel();
        forks.submit(Fork {
            sip_call_id,
            open,
            // Nobody waiting any more is the waiter's affair.
            reply: Box::new(move |outcome| drop(reply.send(outcome))),
        });
        match tokio::time::timeout(self.settings.limits.control, answer).await {
            Ok(Ok(outcome)) => outcome.map_err(Fault::from),
            Ok(Err(_)) | Err(_) => Err(Fault::unavailable("rtpengine did not answer in time")),
        }
    }

    /// [`App::ask`] for a command that is answered with a recording.
    pub(crate) async fn ask_recording(
        &self,
        command: Command,
    ) -> Result<(RecordingView, CallView), Declined> {
        match self.ask(command).await? {
            Answer::Recording(recording, call) => Ok((recording, call)),
            Answer::Call(_) => Err(Declined::Dropped),
        }
    }
}

impl From<NotForked> for Fault {
    fn from(why: NotForked) -> Self {
        match why {
            NotForked::Unknown
            | NotForked::Unanswered
            | NotForked::Elsewhere(_)
            | NotForked::Refused(_) => Self::invalid("SipCallId", why),
            NotForked::Busy(_) => Self::unavailable(why),
        }
    }
}

impl From<Declined> for Fault {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::Refused(refusal) => refusal.into(),
            Declined::Late(_) => Self::unavailable("the capture side did not answer in time"),
            Declined::Dropped => {
                tracing::error!("the capture side left a command without its answer");
                Self::internal()
            }
        }
    }
}
