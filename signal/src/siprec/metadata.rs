//! rs-metadata: who takes part in a recorded call, and which stream is whose (RFC 7865, RFC 9806).
//!
//! Called by `session`; calls [`super::xml`]. The chain by the letter: an SDP line's `a=label` is a `<stream>`'s
//! `<label>`; a `<participantstreamassoc>`'s `<send>` names the stream that a participant sends; a `<participant>`'s
//! `<nameID aor>` says who that is. No fault of it refuses a call: what cannot be read is a warning.
//!
//! What else is taken, as clients send it (<https://www.rfc-editor.org/rfc/rfc7865>):
//! - any namespace and root; elements in any order; `id` and `session` where RFC 7865 has `stream_id`,
//!   `participant_id`, `session_id` (Acme, Avaya, Metaswitch);
//! - `<send>` within `<participant>`; `<aor>` and `<name>` as elements (BroadWorks); an AOR without `sip:` (Sonus);
//! - `<mode>mixed</mode>` (BroadWorks); `dataMode` and `datamode`;
//! - who called, by a vendor's word: `callingParty` (Acme), `role` (Intrado), `fromhdr` (Sonus),
//!   `callingPartyNumber` (BroadWorks).

use serde::{Deserialize, Serialize};

use super::xml::{self, Element};

mod merge;

/// Bytes of metadata that are read.
const MOST_BYTES: usize = 64 * 1024;
/// Participants, streams and sessions that are kept, of each.
const MOST_OF_EACH: usize = 32;
/// Addresses of a participant, and SIP session ids of a session.
const MOST_NAMES: usize = 8;
/// Vendors' words that are kept of one thing.
const MOST_EXTENSIONS: usize = 32;
/// Bytes of anything that is kept.
const MOST_TEXT: usize = 256;

/// What one or several documents say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) sessions: Vec<Session>,
    pub(crate) participants: Vec<Participant>,
    pub(crate) streams: Vec<Stream>,
    /// Vendors' words of the whole.
    pub(crate) extensions: Vec<(String, String)>,
    /// Who called, as a vendor says it of the whole: an address or a number.
    caller: Option<String>,
}

/// A `<session>`: the communication session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// `<sipSessionID>`s.
    pub(crate) sip_ids: Vec<String>,
    pub(crate) group: Option<String>,
    pub(crate) started: Option<String>,
    pub(crate) stopped: Option<String>,
    pub(crate) extensions: Vec<(String, String)>,
}

/// A `<participant>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Participant {
    pub(crate) id: String,
    /// Addresses of record, and the name at each.
    pub(crate) names: Vec<(String, Option<String>)>,
    /// The streams that it sends.
    pub(crate) sends: Vec<String>,
    pub(crate) joined: Option<String>,
    /// When it left; empty where nothing says when.
    pub(crate) left: Option<String>,
    /// Whether a vendor says that it is who called.
    pub(crate) is_caller: Option<bool>,
    pub(crate) extensions: Vec<(String, String)>,
    /// In a document that is a change: the streams that it sends no more, and whether nothing but associations
    /// names it.
    #[serde(skip)]
    stops: Vec<String>,
    #[serde(skip)]
    is_named_only: bool,
}

/// A `<stream>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) label: Option<String>,
    /// Whether all parties are in it (`<mode>mixed</mode>`).
    pub(crate) is_mixed: bool,
}

/// A document, and what was wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) metadata: Metadata,
    /// Whether it says that it is all there is, and not a change (`<datamode>`).
    is_complete: bool,
    pub(crate) warnings: Vec<String>,
}

impl Document {
    /// Reads a document; whatever it is, something comes of it.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut document = Self::default();
        let cut = &bytes[..bytes.len().min(MOST_BYTES)];
        if cut.len() < bytes.len() {
            document.warn(format!(
                "metadata: longer than {MOST_BYTES} bytes, the rest is not read"
            ));
        }
        let text = xml::decoded(cut);
        if text.contains('\u{fffd}') {
            document.warn("metadata: characters that are none of its encoding".to_owned());
        }
        let read = xml::read(&text);
        for fault in &read.faults {
            document.warn(format!("metadata: {fault}"));
        }
        let Some(root) = read.top.children.first() else {
            document.warn("metadata: no XML element in it".to_owned());
            return document;
        };
        if !root.kind().starts_with("recording") {
            document.warn(format!(
                "metadata: <{}> where <recording> was awaited",
                short(&root.name)
            ));
        }
        // BroadWorks and others put things deeper than RFC 7865 has them.
        let all = read.top.all();
        let mode = all.iter().find(|element| element.kind() == "datamode");
        let mode = mode.and_then(|mode| mode.said());
        document.is_complete = !mode.is_some_and(|mode| mode.eq_ignore_ascii_case("partial"));
        if mode.is_none() {
            document.warn("metadata: no datamode; taken as complete".to_owned());
        }
        for element in &all {
            document.take(element);
        }
        document.associate(&all);
        document.metadata.take_extensions(root);
        document.complain();
        document
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    fn take(&mut self, element: &Element) {
        let metadata = &mut self.metadata;
        match element.kind().as_str() {
            "session" if metadata.sessions.len() < MOST_OF_EACH => {
                metadata.sessions.extend(session(element));
            }
            "participant" if metadata.participants.len() < MOST_OF_EACH => {
                metadata.participants.push(participant(element));
            }
            "stream" if metadata.streams.len() < MOST_OF_EACH => {
                let id = id(element, "stream_id").unwrap_or_default();
                let label = element.child("label").and_then(Element::said);
                let mode = element.child("mode").and_then(Element::said);
                metadata.streams.push(Stream {
                    id,
                    label: label.or_else(|| element.attribute("label")).map(short),
                    is_mixed: mode.is_some_and(|mode| mode.eq_ignore_ascii_case("mixed")),
                });
            }
            "session" | "participant" | "stream" => {
                let warning = format!(
                    "metadata: more than {MOST_OF_EACH} <{}>s",
                    short(&element.name)
                );
                if !self.warnings.contains(&warning) {
                    self.warn(warning);
                }
            }
            "fromhdr" | "callingpartynumber" | "callingpartyaddress"
                if metadata.caller.is_none() =>
            {
                metadata.caller = element.said().map(short);
            }
            _ => {}
        }
    }

    /// The elements that join a participant to what it sends and when it was there.
    fn associate(&mut self, all: &[&Element]) {
        for element in all {
            let kind = element.kind();
            if kind != "participantstreamassoc" && kind != "participantsessionassoc" {
                continue;
            }
            let Some(of) = id(element, "participant_id") else {
                self.warn(format!(
                    "metadata: a <{}> names no participant",
                    short(&element.name)
                ));
                continue;
            };
            let participants = &mut self.metadata.participants;
            let mut place = participants.iter().position(|known| known.id == of);
            if place.is_none() && !self.is_complete && participants.len() < MOST_OF_EACH {
                // A change names those of the documents before.
                place = Some(participants.len());
                participants.push(Participant {
                    id: of,
                    is_named_only: true,
                    ..Participant::default()
                });
            }
            let Some(known) = place.and_then(|place| participants.get_mut(place)) else {
                self.warn(format!(
                    "metadata: <{}> names a participant that is not there",
                    short(&element.name)
                ));
                continue;
            };
            if kind == "participantstreamassoc" {
                take_sends(known, element);
            } else {
                take_times(known, element);
            }
        }
    }

    /// What is missing or names what is not there.
    fn complain(&mut self) {
        let Metadata {
            sessions,
            participants,
            streams,
            ..
        } = &self.metadata;
        let mut found = Vec::new();
        if self.is_complete && sessions.is_empty() {
            found.push("metadata: no session with an id".to_owned());
        }
        if self.is_complete && participants.is_empty() {
            found.push("metadata: no participant".to_owned());
        }
        if participants
            .iter()
            .any(|participant| participant.names.is_empty() && !participant.is_named_only)
        {
            found.push("metadata: a participant without an AOR".to_owned());
        }
        for (position, participant) in participants.iter().enumerate() {
            if participant.id.is_empty() {
                found.push("metadata: a participant without an id".to_owned());
            } else if participants[..position]
                .iter()
                .any(|other| other.id == participant.id)
            {
                found.push("metadata: two participants of one id".to_owned());
            }
            for sent in &participant.sends {
                if self.is_complete && !streams.iter().any(|stream| stream.id == *sent) {
                    found.push(
                        "metadata: a participant sends a stream that is not there".to_owned(),
                    );
                }
            }
        }
        if streams.iter().any(|stream| stream.label.is_none()) {
            found.push("metadata: a stream without a label".to_owned());
        }
        found.dedup();
        self.warnings.append(&mut found);
    }
}

impl Metadata {
    /// The id that names the call: the first session's that has not stopped, else the first one's.
    pub(crate) fn session_id(&self) -> Option<&str> {
        let goes_on = self
            .sessions
            .iter()
            .find(|session| session.stopped.is_none());
        goes_on
            .or(self.sessions.first())
            .map(|session| session.id.as_str())
    }

    /// The participants that have not left.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Participant> {
        self.participants.iter().filter(|one| one.left.is_none())
    }

    /// Whether a vendor's word says that this one called.
    pub(crate) fn is_marked_as_caller(&self, participant: &Participant) -> bool {
        let by_number = || {
            let caller = self.caller.as_deref().map(user);
            caller.is_some_and(|caller| {
                let names = participant.names.iter();
                !caller.is_empty() && names.clone().any(|(aor, _)| user(aor) == caller)
            })
        };
        participant.is_caller.unwrap_or_else(by_number)
    }

    fn take_extensions(&mut self, root: &Element) {
        for child in &root.children {
            let known = ["session", "participant", "stream"].contains(&child.kind().as_str());
            if !known && child.kind() != "datamode" && !child.kind().ends_with("assoc") {
                collect(child, "", &mut self.extensions);
            }
        }
    }
}

impl Participant {
    /// Its address and its name.
    pub(crate) fn aor(&self) -> Option<&str> {
        self.names.first().map(|(aor, _)| aor.as_str())
    }
}

fn session(element: &Element) -> Option<Session> {
    let mut session = Session {
        id: id(element, "session_id")?,
        ..Session::default()
    };
    for child in &element.children {
        let said = child.said().map(short);
        match child.kind().as_str() {
            "sipsessionid" if session.sip_ids.len() < MOST_NAMES => session.sip_ids.extend(said),
            "group-ref" => session.group = said,
            "start-time" | "associate-time" => session.started = said,
            "stop-time" => session.stopped = said,
            _ => collect(child, "", &mut session.extensions),
        }
    }
    Some(session)
}

fn participant(element: &Element) -> Participant {
    let mut participant = Participant {
        id: id(element, "participant_id").unwrap_or_default(),
        ..Participant::default()
    };
    let (mut aor, mut name) = (None, None);
    for child in &element.children {
        match child.kind().as_str() {
            "nameid" if participant.names.len() < MOST_NAMES => {
                let aor = child
                    .attribute("aor")
                    .or_else(|| child.child("aor")?.said());
                let name = child.child("name").and_then(Element::said);
                if let Some(aor) = aor {
                    participant.names.push((short(aor), name.map(short)));
                }
            }
            "aor" => aor = child.said().map(short),
            "name" => name = child.said().map(short),
            "send" | "recv" => take_sends_of(&mut participant, child),
            "associate-time" | "disassociate-time" => {}
            _ => {
                note_caller(&mut participant, child);
                for below in child.all() {
                    note_caller(&mut participant, below);
                }
                collect(child, "", &mut participant.extensions);
            }
        }
    }
    if participant.names.is_empty()
        && let Some(aor) = aor
    {
        participant.names.push((aor, name));
    }
    take_times(&mut participant, element);
    participant
}

/// Who called, by a vendor's word for it.
fn note_caller(participant: &mut Participant, element: &Element) {
    let Some(said) = element.said().map(str::to_ascii_lowercase) else {
        return;
    };
    let is_caller = match element.kind().as_str() {
        "callingparty" => Some(said == "true"),
        "role" | "participant-role" | "participantrole" => match said.as_str() {
            "calling" | "caller" | "originator" | "originating" => Some(true),
            "called" | "callee" | "terminator" | "terminating" => Some(false),
            _ => None,
        },
        _ => None,
    };
    participant.is_caller = participant.is_caller.or(is_caller);
}

fn take_sends(participant: &mut Participant, element: &Element) {
    let has_stopped = element.child("disassociate-time").is_some();
    for child in &element.children {
        if !has_stopped {
            take_sends_of(participant, child);
        } else if child.kind() == "send" && participant.stops.len() < MOST_NAMES {
            participant.stops.extend(child.said().map(short));
        }
    }
}

fn take_sends_of(participant: &mut Participant, child: &Element) {
    if child.kind() == "send"
        && let Some(said) = child.said().map(short)
        && participant.sends.len() < MOST_NAMES
        && !participant.sends.contains(&said)
    {
        participant.sends.push(said);
    }
}

fn take_times(participant: &mut Participant, element: &Element) {
    let said = |kind| {
        element
            .child(kind)
            .map(|time| short(time.said().unwrap_or_default()))
    };
    if let Some(joined) = said("associate-time").filter(|joined| !joined.is_empty()) {
        participant.joined.get_or_insert(joined);
    }
    participant.left = said("disassociate-time").or(participant.left.take());
}

/// An id, by RFC 7865's name or the short one.
fn id(element: &Element, name: &str) -> Option<String> {
    element
        .attribute(name)
        .or_else(|| element.attribute("id"))
        .map(short)
}

/// Vendors' words: each element's text under its own name, with those above it within the vendor's part.
fn collect(element: &Element, above: &str, into: &mut Vec<(String, String)>) {
    let kind = element.kind();
    let is_wrapper = kind.starts_with("extensiondata") || kind == "value";
    let own = match element
        .attribute("label")
        .or_else(|| element.attribute("name"))
    {
        Some(label) => format!("{}[{label}]", element.name),
        None => element.name.clone(),
    };
    let path = match (is_wrapper, above.is_empty()) {
        (true, _) => above.to_owned(),
        (false, true) => own,
        (false, false) => format!("{above}/{own}"),
    };
    if let Some(said) = element.said()
        && into.len() < MOST_EXTENSIONS
    {
        let name = if path.is_empty() {
            &element.name
        } else {
            &path
        };
        into.push((short(name), short(said)));
    }
    for child in &element.children {
        collect(child, &path, into);
    }
}

/// The user of an address, or a bare number: what two spellings of one party share.
fn user(address: &str) -> &str {
    let inner = address.split_once('<').map_or(address, |(_, rest)| rest);
    let inner = inner.split(['>', ';', '?']).next().unwrap_or(inner).trim();
    let bare = ["sips:", "sip:", "tel:"]
        .iter()
        .find_map(|scheme| inner.strip_prefix(scheme));
    let bare = bare.unwrap_or(inner);
    bare.split('@')
        .next()
        .unwrap_or(bare)
        .trim_start_matches('+')
}

fn short(text: &str) -> String {
    let text = text.trim();
    text[..text.floor_char_boundary(MOST_TEXT.min(text.len()))].to_owned()
}

#[cfg(test)]
mod tests;
