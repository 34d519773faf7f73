//! The sender: takes events from the outbox when they are due, and says what came of each.
//!
//! Called by the daemon, on tokio; the store's calls block, so they run where they may. Bounds:
//! `Settings::concurrency` rounds at once, a quarter of them to one host, so that a receiver that
//! hangs holds up its own events alone.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reeld_store::{Event, Link, Store, StoreError};
use secrecy::ExposeSecret as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::connect::Connector;
use crate::figures::Round;
use crate::{Allow, Figures, Target, round};

/// How long rounds that are under way may take when the daemon stops; what is cut off is sent
/// again after the next start.
const GRACE: Duration = Duration::from_secs(2);

/// How long the sender waits after the store has failed, milliseconds.
const STORE_PAUSE_MS: i64 = 1_000;

/// `[callbacks]`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where callbacks may go.
    pub allow: Allow,
    /// Rounds at once.
    pub concurrency: usize,
    /// How long `RecordingUrl` is a signed link for, from each round on; `None`: it is none.
    pub link_lifetime: Option<Duration>,
    /// How long after its first round an event is given up on.
    pub retry_for: Duration,
    /// The pause after the first round; each further one is twice as long. All are shortened by up
    /// to a half, each event's by another part, so that what failed at one instant comes back
    /// spread over a while.
    pub retry_first: Duration,
    /// The longest pause between rounds.
    pub retry_most: Duration,
}

struct Shared {
    store: Store,
    settings: Settings,
    figures: Arc<Figures>,
    connector: Connector,
    /// Rounds under way by host.
    hosts: Mutex<HashMap<String, usize>>,
}

/// Sends until `shutdown` resolves, and counts in `figures`.
pub async fn run(
    store: Store,
    settings: Settings,
    figures: Arc<Figures>,
    shutdown: impl Future<Output = ()>,
) {
    let wake = Arc::new(Notify::new());
    store.on_event({
        let wake = Arc::clone(&wake);
        move || wake.notify_one()
    });
    let shared = Arc::new(Shared {
        connector: Connector::new(settings.allow.clone()),
        store,
        settings,
        figures,
        hosts: Mutex::default(),
    });
    let mut rounds = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let now_ms = now_ms();
        let mut pause = None;
        while rounds.len() < shared.settings.concurrency.max(1) {
            match next(&shared, now_ms).await {
                Ok(Some(event)) => {
                    rounds.spawn(deliver(Arc::clone(&shared), event));
                }
                Ok(None) => {
                    let due_ms = shared.store.next_event_ms(now_ms);
                    pause = due_ms.map(|due_ms| due_ms.saturating_sub(now_ms));
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read");
                    pause = Some(STORE_PAUSE_MS);
                    break;
                }
            }
        }
        shared.figures.set_under_way(rounds.len());
        let until_due = async {
            match pause.and_then(|ms| u64::try_from(ms).ok()) {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut shutdown => break,
            () = wake.notified() => {}
            () = until_due => {}
            Some(ended) = rounds.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a callback's task died");
                }
            }
        }
    }
    let ending = async { while rounds.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ending).await.is_err() {
        rounds.shutdown().await;
        tracing::info!("callbacks that were under way are sent again after the next start");
    }
}

/// The next event that may go now, counted to its host.
async fn next(shared: &Arc<Shared>, now_ms: i64) -> Result<Option<Event>, StoreError> {
    let most = shared.settings.concurrency.div_ceil(4);
    let shared = Arc::clone(shared);
    let taking = tokio::task::spawn_blocking(move || {
        let mut hosts = shared.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = |host: &str| hosts.get(host).is_none_or(|count| *count < most);
        let event = shared.store.take_event(now_ms, &has_room)?;
        if let Some(event) = &event {
            *hosts.entry(event.host().to_owned()).or_default() += 1;
        }
        Ok(event)
    });
    taking
        .await
        .unwrap_or_else(|error| Err(StoreError::Catalog(format!("the outbox died: {error}"))))
}

/// One round, and what came of it.
async fn deliver(shared: Arc<Shared>, event: Event) {
    let host = event.host().to_owned();
    let outcome = match shared.store.auth_token(event.account) {
        None => Err(Outcome::Hopeless("its account is gone".to_owned())),
        Some(token) => match Target::parse(&event.subscription.url, &shared.settings.allow) {
            Err(reason) => Err(Outcome::Failed(reason)),
            Ok(target) => {
                let shown = with_link(&shared, &event);
                let token = token.expose_secret();
                round::send(&shared.connector, &target, &shown, token, &shared.figures)
                    .await
                    .map_err(Outcome::Failed)
            }
        },
    };
    {
        let mut hosts = shared.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                hosts.remove(&host);
            }
        }
    }
    let settling = tokio::task::spawn_blocking(move || settle(&shared, event, outcome));
    if let Err(error) = settling.await {
        tracing::error!(%error, "what came of a callback is not kept; it is sent again after the next start");
    }
}

/// The event as its receiver is shown it: the link of its URL is of now, and not kept.
fn with_link(shared: &Shared, event: &Event) -> Event {
    let mut shown = event.clone();
    if let Some(lifetime) = shared.settings.link_lifetime {
        let link = Link::to_sound(event.account, event.sid, now_ms(), lifetime);
        if let Some(query) = shared.store.signed_query(&link) {
            let url = &mut shown.subscription.recording_url;
            url.push('?');
            url.push_str(&query);
        }
    }
    shown
}

/// Why an event has not arrived.
enum Outcome {
    /// This time.
    Failed(String),
    /// And never will.
    Hopeless(String),
}

fn settle(shared: &Shared, event: Event, outcome: Result<(), Outcome>) {
    let now_ms = now_ms();
    let (recording, status) = (event.sid, event.name());
    let kept = match outcome {
        Ok(()) => {
            tracing::debug!(%recording, status, "a callback has arrived");
            shared.figures.ended(Round::Delivered);
            shared.store.event_delivered(&event, now_ms)
        }
        Err(Outcome::Failed(reason)) => match next_round_ms(&shared.settings, &event, now_ms) {
            Some(next_ms) => {
                tracing::info!(%recording, status, reason, "a callback has failed and is tried again");
                shared.figures.ended(Round::Delayed);
                shared.store.event_delayed(event, now_ms, next_ms, &reason)
            }
            None => give_up(shared, event, now_ms, &reason),
        },
        Err(Outcome::Hopeless(reason)) => give_up(shared, event, now_ms, &reason),
    };
    if let Err(error) = kept {
        tracing::error!(%recording, status, %error, "what came of a callback cannot be kept");
    }
}

fn give_up(shared: &Shared, event: Event, now_ms: i64, reason: &str) -> Result<(), StoreError> {
    tracing::warn!(
        recording = %event.sid, status = event.name(), reason,
        "a callback is given up on; `reeld callbacks dead` shows it and `reeld callbacks retry` sends it again"
    );
    shared.figures.ended(Round::Dead);
    shared.store.event_died(event, now_ms, reason)
}

/// When an event that has just failed is tried again; `None` where its time is over.
fn next_round_ms(settings: &Settings, event: &Event, now_ms: i64) -> Option<i64> {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let end_ms = event
        .first_ms
        .unwrap_or(now_ms)
        .saturating_add(ms(settings.retry_for));
    if now_ms >= end_ms {
        return None;
    }
    let factor = 1_u32.checked_shl(event.attempts).unwrap_or(u32::MAX);
    let pause = settings.retry_first.saturating_mul(factor);
    let pause = pause.min(settings.retry_most);
    let spread = spread(event);
    let next_ms = now_ms.saturating_add(ms(pause.mul_f64(1.0 - spread / 2.0)));
    // The last round is at the end and not before it; those of one end come spread after it.
    let last_ms = end_ms.saturating_add(ms(settings.retry_first.mul_f64(spread)));
    Some(if next_ms < end_ms { next_ms } else { last_ms })
}

/// From 0 to 1, by chance, which is in the Sid: another for each event, and in each round.
fn spread(event: &Event) -> f64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let hash = hasher.hash_one((event.sid.as_bytes(), event.status.as_str(), event.attempts));
    f64::from(u32::try_from(hash >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use reeld_model::{Channels, TrackSelection};
    use reeld_store::{EventMethod, EventStatus, Origin, Subscription};

    use super::*;

    fn event(attempts: u32, first_ms: Option<i64>) -> Event {
        Event {
            sid: "RE00000000000000000000000000000001".parse().unwrap(),
            account: "AC00000000000000000000000000000002".parse().unwrap(),
            call: "CA00000000000000000000000000000003".parse().unwrap(),
            status: EventStatus::Completed,
            made_ms: 0,
            duration_seconds: 1,
            channels: Channels::Mono,
            track: TrackSelection::Both,
            origin: Origin::ControlApi,
            started_ms: 0,
            subscription: Subscription {
                url: "http://h/".to_owned(),
                method: EventMethod::Post,
                events: vec![EventStatus::Completed],
                recording_url: String::new(),
            },
            attempts,
            first_ms,
            next_ms: 0,
            last_error: String::new(),
            verb: None,
        }
    }

    fn settings() -> Settings {
        Settings {
            allow: Allow::default(),
            concurrency: 1,
            link_lifetime: None,
            retry_for: Duration::from_secs(100),
            retry_first: Duration::from_secs(10),
            retry_most: Duration::from_secs(30),
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_the_last_round_is_at_the_end() {
        let next = |attempts, first_ms, now_ms| {
            next_round_ms(&settings(), &event(attempts, first_ms), now_ms).unwrap()
        };
        assert!((10_000..=15_000).contains(&next(0, None, 5_000)));
        assert!((20_000..=30_000).contains(&next(1, Some(0), 10_000)));
        assert!((45_000..=60_000).contains(&next(2, Some(0), 30_000)));
        assert!((75_000..=90_000).contains(&next(40, Some(0), 60_000)));
        assert!((100_000..=110_000).contains(&next(41, Some(0), 99_000)));
        let over = next_round_ms(&settings(), &event(42, Some(0)), 100_000);
        assert_eq!(over, None);
        let once = Settings {
            retry_for: Duration::ZERO,
            ..settings()
        };
        assert_eq!(next_round_ms(&once, &event(0, None), 5_000), None);
    }

    /// A thousand events that fail at one instant, as when their receiver goes: in none of the
    /// tenths of the time that they come back in are more than twice as many as in an even one.
    #[test]
    fn what_failed_at_one_instant_comes_back_spread() {
        for (attempts, now_ms, from_ms, over_ms) in [
            (0, 0, 5_000, 5_000),
            (9, 20_000, 35_000, 15_000),
            (9, 95_000, 100_000, 10_000),
        ] {
            let mut tenths = [0; 10];
            for n in 0..1_000_u128 {
                let mut event = event(attempts, Some(0));
                event.sid = reeld_model::RecordingSid::from_bytes(n.to_be_bytes());
                let next_ms = next_round_ms(&settings(), &event, now_ms).unwrap();
                let place = (next_ms - from_ms) * 10 / over_ms;
                tenths[usize::try_from(place).unwrap().min(9)] += 1;
            }
            assert!(tenths.iter().all(|count| *count <= 200), "{tenths:?}");
        }
    }
}
