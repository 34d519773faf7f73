//! What rtpengine's answers say.
//!
//! Called by `follower`. Nothing is trusted to be there: what lacks is as if it said nothing.
//!
//! Bounds: an answer is a datagram; [`MOST_TAGS`] of a call are read.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Tags of a call that are read, in their order: parties, those before them, and subscribers.
const MOST_TAGS: usize = 128;

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// There is no such call.
    UnknownCall,
    /// Something else is wrong; what.
    Error(String),
}

/// Reads how it ended.
pub(super) fn verdict(reply: &Map<String, Value>) -> Verdict {
    if reply.get("result").and_then(Value::as_str) == Some("ok") {
        return Verdict::Ok;
    }
    let reason = reply.get("error-reason").and_then(Value::as_str);
    match reason {
        // `query` writes "call-id", the others "call-ID".
        Some(reason) if reason.eq_ignore_ascii_case("unknown call-id") => Verdict::UnknownCall,
        Some(reason) => Verdict::Error(reason.chars().take(256).collect()),
        None => Verdict::Error("an answer without a reason".to_owned()),
    }
}

/// The calls of a `list`.
pub(super) fn calls(reply: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let calls = reply.get("calls").and_then(Value::as_array);
    calls.into_iter().flatten().filter_map(Value::as_str)
}

/// A call as `query` has it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When something was last signalled, in seconds of rtpengine's clock.
    pub(super) last_signal: u64,
    pub(super) tags: Vec<Tag>,
}

/// A party, or a subscriber.
#[derive(Debug, Default)]
pub(super) struct Tag {
    pub(super) tag: String,
    pub(super) label: Option<String>,
    /// Whom it talks with, the newest first.
    peers: Vec<String>,
    /// Whom it is subscribed to.
    pub(super) subscribed: Vec<String>,
    has_audio: bool,
    /// Whether its ports are closed: its party was deleted, and something holds the rest of the call.
    is_closed: bool,
}

impl Seen {
    pub(super) fn read(reply: &Map<String, Value>) -> Self {
        let tags = reply.get("tags").and_then(Value::as_object);
        let read = |value: &Value| {
            let tag = value.as_object()?;
            Some(Tag::read(tag))
        };
        let tags = tags.into_iter().flat_map(Map::values).take(MOST_TAGS);
        let mut tags: Vec<Tag> = tags.filter_map(read).collect();
        if tags.iter().all(|tag| tag.is_closed) {
            // Ports are not told at all.
            tags.iter_mut().for_each(|tag| tag.is_closed = false);
        }
        let last_signal = reply.get("last signal").and_then(Value::as_u64);
        Self {
            last_signal: last_signal.unwrap_or(0),
            tags,
        }
    }

    /// Whether a party was deleted and nobody is left who talks with another: the call has ended, but for what we hold.
    ///
    /// In rtpengine 10.5 each offer and answer ties its party to all that are subscribed to it, as to a party, and a
    /// `delete` that names a tag takes away only those that are tied to nobody else
    /// (`__fix_other_tags`, `__monologue_destroy` in its daemon/call.c). So after a re-INVITE a call with a
    /// subscription outlives its `delete`.
    pub(super) fn is_over(&self) -> bool {
        self.parties().is_none() && self.tags.iter().any(|tag| tag.is_closed)
    }

    /// Who talks with whom now, the caller first: of the first that has somebody, the newest.
    pub(super) fn parties(&self) -> Option<[&Tag; 2]> {
        let named = |name: &str| self.tags.iter().find(|tag| tag.tag == name);
        self.tags
            .iter()
            .filter(|tag| tag.is_party())
            .find_map(|one| {
                let mut peers = one.peers.iter().filter_map(|peer| named(peer));
                let other = peers.find(|peer| peer.is_party() && peer.peers.contains(&one.tag))?;
                Some([one, other])
            })
    }

    /// The tag of this name.
    pub(super) fn tag(&self, name: &str) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.tag == name)
    }
}

impl Tag {
    fn read(tag: &Map<String, Value>) -> Self {
        let text = |name: &str| tag.get(name).and_then(Value::as_str);
        let medias = || {
            tag.get("medias")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let mut read = Self {
            tag: text("tag").unwrap_or_default().to_owned(),
            label: text("label").map(|label| label.chars().take(256).collect()),
            peers: Vec::new(),
            subscribed: Vec::new(),
            has_audio: medias().any(|media| media["type"] == "audio"),
            is_closed: {
                let streams = medias().filter_map(|media| media["streams"].as_array());
                !streams
                    .flatten()
                    .any(|stream| stream.get("local port").is_some())
            },
        };
        // Later versions have them in each media.
        let of_medias = medias().filter_map(|media| media.get("subscriptions"));
        for one in tag
            .get("subscriptions")
            .into_iter()
            .chain(of_medias)
            .filter_map(Value::as_array)
            .flatten()
        {
            let Some(name) = one["tag"].as_str().filter(|name| !name.is_empty()) else {
                continue;
            };
            let to = match one["type"].as_str() {
                Some("offer/answer") => &mut read.peers,
                Some("pub/sub") => &mut read.subscribed,
                _ => continue,
            };
            if !to.iter().any(|known| known == name) {
                to.push(name.to_owned());
            }
        }
        read
    }

    fn is_party(&self) -> bool {
        self.has_audio && !self.tag.is_empty() && !self.is_closed
    }
}

/// What a `subscribe request` came to.
#[derive(Debug)]
pub(super) struct Subscription<'a> {
    pub(super) sdp: &'a str,
    /// Whose a line is, by its label.
    labels: HashMap<&'a str, &'a str>,
    /// Whose all lines are, where it is of one party: their labels are others then.
    from_tag: Option<&'a str>,
}

impl<'a> Subscription<'a> {
    pub(super) fn read(reply: &'a Map<String, Value>) -> Option<Self> {
        let labels = reply.get("media-labels").and_then(Value::as_object);
        let label =
            |(label, of): (&'a String, &'a Value)| Some((label.as_str(), of["tag"].as_str()?));
        Some(Self {
            sdp: reply.get("sdp")?.as_str()?,
            labels: labels.into_iter().flatten().filter_map(label).collect(),
            from_tag: reply.get("from-tag").and_then(Value::as_str),
        })
    }

    /// Whose a line is.
    pub(super) fn sender(&self, label: Option<&str>) -> Option<&'a str> {
        let by_label = || self.labels.get(label?).copied();
        self.from_tag.or_else(by_label)
    }
}
