//! What a call that comes by itself asks for, done: the call by `model`'s commands, the record by the store.
//!
//! Called by `siprec`, `rtpengine` and `audiosocket` for each piece of work, and by `open`, whose calls are open before. A
//! call's beginning is what a start by the API is (`api::control`), in the same order, so that each step leaves a recording
//! or none:
//!
//! 1. There may be too much to do, or to wait for: refused.
//! 2. The call is opened, its ports known. Refused: nothing is left.
//! 3. `store.begin`: a durable record and its take. It cannot: the call is ended.
//! 4. The command to capture. Refused: `store.abort`, and the call is ended.
//! 5. Paused, where the session begins so.

use std::sync::Arc;
use std::time::Duration;

use reeld_model::{
    AccountSid, Answer, CallSid, CallView, ChangeRecording, Command, Control, Ending, OpenCall,
    PauseBehavior, RecordingRef, RecordingSid, Refusal, Request, Rules, StartRecording, Trim,
};
use reeld_signal::work::{Begin, By, Change, Failure, Outcome, Wanted, Work};
use reeld_store::{Begun, NewRecording, Origin, Parties, Store, StoreError};
use tokio::sync::{Semaphore, oneshot};

use crate::clock;
use crate::ledger::Ledger;

/// Recordings that are being begun at once, as of the API: each holds a blocking thread.
const BEGINS: usize = 256;

/// How long a command may take; SIPREC clients repeat an INVITE for 32 s.
const ANSWERED: Duration = Duration::from_secs(20);

/// What does it.
pub(crate) struct Worker {
    store: Store,
    control: Arc<dyn Control>,
    origin: Origin,
    pause: PauseBehavior,
    ledger: Ledger,
    begins: Semaphore,
}

impl Worker {
    /// For calls of this origin, and what a pause of theirs leaves in the file.
    pub(crate) fn new(
        store: Store,
        control: Arc<dyn Control>,
        origin: Origin,
        pause: PauseBehavior,
        ledger: Ledger,
    ) -> Self {
        Self {
            store,
            control,
            origin,
            pause,
            ledger,
            begins: Semaphore::new(BEGINS),
        }
    }

    /// The only account that there is.
    pub(crate) async fn sole_account(&self) -> Option<AccountSid> {
        let accounts = self.store(|store| store.accounts()).await.ok()?;
        match accounts.as_slice() {
            [account] => Some(account.sid),
            _ => None,
        }
    }

    /// Does it.
    pub(crate) async fn carry_out(&self, work: Work) -> Outcome {
        let done = match work {
            Work::Begin(begin) => self.begin(*begin).await,
            Work::Change(change) => self.change(*change).await,
            Work::End {
                account,
                call,
                ending,
            } => {
                self.end(account, call, ending).await;
                Ok((None, None))
            }
            Work::Look { account, call } => {
                match self.call(Command::DescribeCall { account, call }).await {
                    Ok(view) => {
                        let packets = view.streams.iter().map(|stream| stream.stats.packets);
                        return Outcome::Seen {
                            packets: packets.sum(),
                        };
                    }
                    Err(failure) => Err(failure),
                }
            }
        };
        match done {
            Ok((sdp, recording)) => Outcome::Done { sdp, recording },
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn begin(&self, begin: Begin) -> Result<(Option<String>, Option<RecordingSid>), Failure> {
        let Begin {
            open,
            by,
            wanted,
            paused,
            signalling,
        } = begin;
        self.check_load()?;
        self.check_account(open.account).await?;
        let view = self.call(Command::OpenCall(open.clone())).await?;
        let Some(wanted) = wanted else {
            return Ok((view.sdp, None));
        };
        let begun = self.record(&open, &by, wanted, signalling).await;
        let recording = match begun {
            Ok(recording) => recording,
            Err(failure) => {
                // One that others record goes on.
                if view.recordings.is_empty() {
                    self.end(open.account, open.call, Ending::Now).await;
                }
                return Err(failure);
            }
        };
        if paused {
            self.pause(&open, &[recording], true).await;
        }
        tracing::info!(call = %open.call, %recording, origin = ?self.origin, paused, "a call is recorded as it is signalled");
        Ok((view.sdp, Some(recording)))
    }

    /// Begins a recording of a call that is open by itself.
    pub(crate) async fn record_open(
        &self,
        open: &OpenCall,
        by: &By,
        wanted: Wanted,
        signalling: String,
    ) -> Result<RecordingSid, Failure> {
        self.check_account(open.account).await?;
        let recording = self.record(open, by, wanted, signalling).await?;
        tracing::info!(call = %open.call, %recording, "a call that came by itself");
        Ok(recording)
    }

    async fn check_account(&self, account: AccountSid) -> Result<(), Failure> {
        let is_known =
            self.store(move |store| Ok(store.accounts()?.iter().any(|known| known.sid == account)));
        if is_known.await? {
            return Ok(());
        }
        tracing::error!(%account, "a call is of an account that there is not, by the configuration");
        Err(Failure::NoAccount)
    }

    async fn change(
        &self,
        change: Change,
    ) -> Result<(Option<String>, Option<RecordingSid>), Failure> {
        let Change {
            open,
            by,
            mut recordings,
            paused,
            wanted,
            signalling,
        } = change;
        let mut sdp = None;
        if open.sdp.is_some() {
            let command = Command::UpdateCall {
                account: open.account,
                call: open.call,
                sdp: open.sdp.clone(),
                source: None,
            };
            sdp = self.call(command).await?.sdp;
        }
        let mut recording = None;
        if let Some(wanted) = wanted {
            // What comes beside is not worth the session: without room for it the rest goes on.
            match self
                .record(
                    &open,
                    &by,
                    wanted,
                    signalling.clone().unwrap_or_else(|| "{}".to_owned()),
                )
                .await
            {
                Ok(begun) => {
                    recording = Some(begun);
                    recordings.push(begun);
                }
                Err(failure) => {
                    tracing::warn!(call = %open.call, ?failure, "a further track is not recorded")
                }
            }
        }
        if let Some(paused) = paused {
            self.pause(&open, &recordings, paused).await;
        }
        if let Some(signalling) = signalling {
            self.keep(&recordings, signalling).await;
        }
        Ok((sdp, recording))
    }

    /// A recording begun: durable, and told to capture.
    async fn record(
        &self,
        open: &OpenCall,
        by: &By,
        wanted: Wanted,
        signalling: String,
    ) -> Result<RecordingSid, Failure> {
        self.check_load()?;
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            tracing::error!(%error, "the system gives no randomness");
            Failure::Broken
        })?;
        let sid = RecordingSid::from_bytes(bytes);
        let Wanted { channels, track } = wanted;
        let new = NewRecording {
            sid,
            account: open.account,
            call: open.call,
            parties: Parties {
                from: open.from.clone(),
                to: open.to.clone(),
                external_id: open.external_id.clone(),
            },
            channels,
            track,
            trim: Trim::DoNotTrim,
            origin: self.origin,
            created_ms: clock::unix_ms(),
            tags: Default::default(),
            signalling_json: signalling,
            idempotency_token: None,
            subscription: None,
            action: None,
        };
        {
            let _room = self.begins.try_acquire().map_err(|_| {
                Failure::Busy(format!("{BEGINS} recordings wait for the disk to be begun"))
            })?;
            match self.store(move |store| store.begin(new)).await? {
                Begun::New(_) => {}
                // Without a token nothing is a repeat.
                Begun::Repeated(_) => return Err(Failure::Broken),
            }
        }
        let command = Command::StartRecording {
            call: OpenCall {
                sdp: None,
                ..open.clone()
            },
            may_open: false,
            start: StartRecording {
                sid,
                channels,
                track,
                trim: Trim::DoNotTrim,
                rules: Rules::default(),
                beep: None,
            },
        };
        match self.ask(command).await {
            Ok(_) => {
                self.ledger.recorded(by, open, sid);
                Ok(sid)
            }
            Err(refusal) => {
                if let Err(failure) = self.store(move |store| store.abort(sid)).await {
                    // The record stays live without a recording; the next start recovers it as absent.
                    tracing::error!(recording = %sid, ?failure, "a refused recording could not be taken back");
                }
                Err(failure_of(refusal))
            }
        }
    }

    fn check_load(&self) -> Result<(), Failure> {
        match self.control.load().verdict().refuses_recordings() {
            Some(cause) => {
                tracing::warn!(%cause, origin = ?self.origin, "a call is refused for want of strength");
                Err(Failure::Busy(format!("no new recordings: {cause}")))
            }
            None => Ok(()),
        }
    }

    async fn pause(&self, open: &OpenCall, recordings: &[RecordingSid], paused: bool) {
        for recording in recordings {
            let change = if paused {
                ChangeRecording::Pause(self.pause)
            } else {
                ChangeRecording::Resume
            };
            let command = Command::ChangeRecording {
                account: open.account,
                call: open.call,
                recording: RecordingRef::Sid(*recording),
                change,
            };
            match self.ask(command).await {
                // One that has ended, by the API perhaps, has nothing to pause.
                Ok(_) | Err(Refusal::RecordingUnknown | Refusal::CallUnknown) => {}
                Err(refusal) => {
                    tracing::error!(%recording, %refusal, paused, "a pause is not as it was asked for")
                }
            }
        }
    }

    async fn keep(&self, recordings: &[RecordingSid], signalling: String) {
        for recording in recordings.iter().copied() {
            let signalling = signalling.clone();
            let kept = self.store(move |store| store.set_signalling(recording, &signalling));
            if let Err(failure) = kept.await {
                tracing::error!(%recording, ?failure, "changed metadata are not kept");
            }
        }
    }

    /// Ends a call, if it is there: one that others have ended is over too.
    pub(crate) async fn end(&self, account: AccountSid, call: CallSid, ending: Ending) {
        let command = Command::CompleteCall {
            account,
            call,
            ending,
        };
        match self.ask(command).await {
            Ok(_) | Err(Refusal::CallUnknown) => {}
            Err(refusal) => tracing::error!(%call, %refusal, "a call does not end"),
        }
    }

    async fn call(&self, command: Command) -> Result<CallView, Failure> {
        match self.ask(command).await {
            Ok(Answer::Call(view) | Answer::Recording(_, view)) => Ok(view),
            Err(refusal) => Err(failure_of(refusal)),
        }
    }

    async fn ask(&self, command: Command) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.control.submit(Request {
            command,
            // Nobody waiting any more is the waiter's affair.
            reply: Box::new(move |outcome| drop(reply.send(outcome))),
        });
        match tokio::time::timeout(ANSWERED, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => {
                tracing::error!("the capture side did not answer in time");
                Err(Refusal::Overloaded)
            }
        }
    }

    async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|error| {
            tracing::error!(%error, "a store task died");
            Failure::Broken
        })?
        .map_err(|error| {
            let passes = matches!(
                error,
                StoreError::NoSpace { .. }
                    | StoreError::ReadOnly { .. }
                    | StoreError::Failing { .. }
                    | StoreError::DiskFull { .. }
            );
            if passes {
                tracing::warn!(%error, "a call is refused");
                Failure::Busy(error.to_string())
            } else {
                tracing::error!(%error, "the store");
                Failure::Broken
            }
        })
    }
}

/// What a refusal is to whoever brings a call.
fn failure_of(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Sdp(why) | Refusal::Source(why) | Refusal::Beep(why) => Failure::Offer(why),
        Refusal::NoPort(_)
        | Refusal::TooManyRecordings(_)
        | Refusal::Overloaded
        | Refusal::ShuttingDown => Failure::Busy(refusal.to_string()),
        Refusal::CallUnknown | Refusal::RecordingUnknown => Failure::Gone,
        Refusal::CurrentIsAmbiguous(_) | Refusal::IllegalStep { .. } | Refusal::TrackNotOpen(_) => {
            tracing::error!(%refusal, "a call that came by itself");
            Failure::Broken
        }
    }
}
