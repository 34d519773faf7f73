//! Who is on which track, and what of it a recording keeps.
//!
//! Called by `agent`. Capture has two tracks: `inbound` is what the caller says, `outbound` what it
//! hears. rs-metadata has no word for who called, so this is the rule, by the first of these that says:
//!
//! 1. a vendor's word for the caller (`metadata`), if one of the offered lines is that participant's;
//! 2. the participant that the metadata list first, of those that send an offered line: in all that were
//!    seen that is who called, also where the first line is the callee's (Sonus);
//! 3. the first line, where nothing ties lines to participants.
//!
//! A line is a participant's by its label and `<send>`; where a document has streams and no such ties, by the
//! order of both; where the labels are others than the SDP's, streams are the lines' by their order.
//! Each of these is a warning. A line of a mixed stream, or the only one, is the inbound track.

use reeld_model::Track;
use serde_json::{Value, json};

use super::metadata::{Metadata, Participant};
use crate::offer::Offer;
use crate::work::By;

/// Bytes of what a recording keeps of its signalling: a record stays small (design.md, "Nothing lost").
const MOST_KEPT: usize = 24 * 1024;

/// Who sends each line.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    /// For each line of the offer, the participant's index.
    of_line: Vec<Option<usize>>,
    pub(crate) warnings: Vec<String>,
}

impl Senders {
    /// Ties lines to participants.
    pub(crate) fn find(metadata: &Metadata, offer: &Offer) -> Self {
        let mut senders = Self {
            of_line: vec![None; offer.lines.len()],
            warnings: Vec::new(),
        };
        if metadata.participants.is_empty() {
            return senders;
        }
        let mut warn = |warning: &str| senders.warnings.push(warning.to_owned());
        // The stream of each line.
        let used =
            |index: &usize| offer.lines[*index].is_used() && offer.lines[*index].media == "audio";
        let used: Vec<usize> = (0..offer.lines.len()).filter(used).collect();
        let by_label = |index: usize| {
            let label = offer.lines[index].label.as_deref()?;
            let of_label =
                |stream: &super::metadata::Stream| stream.label.as_deref() == Some(label);
            // The last one: a label that was another's before is the new one's now.
            metadata.streams.iter().rposition(of_label)
        };
        let mut streams: Vec<Option<usize>> = used.iter().map(|index| by_label(*index)).collect();
        if !metadata.streams.is_empty() && !used.is_empty() && streams.iter().all(Option::is_none) {
            warn("metadata: no stream has the label of an SDP line; taken in their order");
            for (place, stream) in streams.iter_mut().enumerate() {
                *stream = Some(place).filter(|place| *place < metadata.streams.len());
            }
        } else if !metadata.streams.is_empty() && streams.iter().any(Option::is_none) {
            warn("metadata: an SDP line has a label that no stream has");
        }
        let present: Vec<usize> = (0..metadata.participants.len())
            .filter(|index| metadata.participants[*index].left.is_none())
            .collect();
        let sends = |participant: usize, stream: usize| {
            let id = &metadata.streams[stream].id;
            metadata.participants[participant].sends.contains(id)
        };
        let has_ties = present
            .iter()
            .any(|participant| !metadata.participants[*participant].sends.is_empty());
        if !has_ties && used.len() > 1 && present.len() >= used.len() {
            warn(
                "metadata: nothing says who sends which stream; participants are taken in their order",
            );
        }
        for (place, (index, stream)) in used.iter().zip(&streams).enumerate() {
            senders.of_line[*index] = match stream {
                Some(stream) if has_ties => {
                    let mut all = present.iter().copied();
                    let sender = all.find(|participant| sends(*participant, *stream));
                    // What several send is mixed, and nobody's.
                    let is_shared = all.any(|participant| sends(participant, *stream));
                    sender.filter(|_| !is_shared && !metadata.streams[*stream].is_mixed)
                }
                _ if used.len() == 1 || has_ties => None,
                // By order: of the streams where there are some, else of the lines.
                Some(stream) => present.get(*stream).copied(),
                None => present.get(place).copied(),
            };
        }
        senders
    }

    /// The first line that is allotted, and its track; `lines` are those that may be.
    pub(crate) fn first(&self, metadata: &Metadata, lines: &[usize]) -> Option<(usize, Track)> {
        let sender = |line: &usize| self.of_line.get(*line).copied().flatten();
        let is_marked = |line: &&usize| {
            sender(line)
                .is_some_and(|index| metadata.is_marked_as_caller(&metadata.participants[index]))
        };
        let marked = lines.iter().find(is_marked);
        let listed = || {
            lines
                .iter()
                .filter(|line| sender(line).is_some())
                .min_by_key(|line| sender(line))
        };
        let line = marked.or_else(listed).or(lines.first())?;
        Some((*line, Track::Inbound))
    }

    /// Who is on a track.
    pub(crate) fn on<'a>(
        &self,
        track: Track,
        tracks: [Option<usize>; 2],
        metadata: &'a Metadata,
    ) -> Option<&'a Participant> {
        let line = tracks[track.index()]?;
        let index = self.of_line.get(line).copied().flatten()?;
        metadata.participants.get(index)
    }

    /// Who called and who was called, as addresses: who is on the tracks; where nobody is tied to one, the
    /// caller by a vendor's word or the first of the list, and the next one.
    pub(crate) fn addresses(
        &self,
        tracks: [Option<usize>; 2],
        metadata: &Metadata,
    ) -> [Option<String>; 2] {
        let on = Track::ALL.map(|track| self.on(track, tracks, metadata));
        let [inbound, outbound] = on;
        let mut others = metadata
            .present()
            .filter(|one| !on.iter().flatten().any(|on| on == one));
        let marked = metadata
            .present()
            .find(|one| metadata.is_marked_as_caller(one));
        let (from, to) = match (inbound, outbound) {
            (None, None) => {
                let from = marked.or_else(|| others.next());
                let to = metadata.present().find(|one| Some(*one) != from);
                (from, to)
            }
            (from, to) => (from.or_else(|| others.next()), to.or_else(|| others.next())),
        };
        [from, to].map(|one| one.and_then(Participant::aor).map(str::to_owned))
    }
}

/// What a recording keeps of its signalling beside the SDP.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) senders: &'a Senders,
    pub(crate) offer: &'a Offer,
    pub(crate) tracks: [Option<usize>; 2],
    pub(crate) warnings: &'a [String],
    /// The recording session's Call-ID.
    pub(crate) sip_call_id: &'a str,
    /// The recording client, as its From says.
    pub(crate) client: &'a str,
    /// As its address and its User-Agent do.
    pub(crate) by: By,
}

impl Kept<'_> {
    /// As JSON text, of [`MOST_KEPT`] bytes at most: what vendors add goes first, then all but the parties.
    pub(crate) fn json(&self) -> String {
        let mut json = self.value();
        for dropped in ["extensions", "sessions", "streams"] {
            let text = json.to_string();
            if text.len() <= MOST_KEPT {
                return text;
            }
            if let Some(object) = json.as_object_mut() {
                object.remove(dropped);
            }
            if dropped == "extensions" {
                let participants = json["participants"].as_array_mut();
                for one in participants.into_iter().flatten() {
                    one["extensions"] = json!({});
                }
            }
            let warnings = json["warnings"].as_array_mut();
            if let Some(warnings) = warnings {
                warnings.push(json!(format!("too much to keep: {dropped} left out")));
            }
        }
        let text = json.to_string();
        if text.len() <= MOST_KEPT {
            text
        } else {
            json!({
                "source": self.by.bringer.as_str(),
                "address": self.by.address,
                "warnings": ["metadata: too much to keep"],
            })
            .to_string()
        }
    }

    fn value(&self) -> Value {
        let Self {
            metadata,
            senders,
            offer,
            tracks,
            ..
        } = self;
        let extensions = |all: &[(String, String)]| -> Value {
            let pairs = all.iter().map(|(name, value)| (name.clone(), json!(value)));
            Value::Object(pairs.collect())
        };
        let track_of = |line: usize| {
            let track = Track::ALL
                .into_iter()
                .find(|track| tracks[track.index()] == Some(line));
            track.map(Track::as_str)
        };
        let participants = metadata.participants.iter().enumerate().map(|(index, participant)| {
            let lines = senders.of_line.iter().enumerate();
            let own: Vec<usize> = lines.filter(|(_, sender)| **sender == Some(index)).map(|(line, _)| line).collect();
            let names = participant.names.iter();
            json!({
                "id": participant.id,
                "aor": participant.aor(),
                "name": participant.names.first().and_then(|(_, name)| name.clone()),
                "names": names.map(|(aor, name)| json!({"aor": aor, "name": name})).collect::<Vec<_>>(),
                "track": own.iter().find_map(|line| track_of(*line)),
                "labels": own.iter().filter_map(|line| offer.lines[*line].label.clone()).collect::<Vec<_>>(),
                "joined": participant.joined,
                "left": participant.left.as_ref().map(|left| if left.is_empty() { Value::Bool(true) } else { json!(left) }),
                "extensions": extensions(&participant.extensions),
            })
        });
        let streams = offer.lines.iter().enumerate().map(|(index, line)| {
            let stream = metadata
                .streams
                .iter()
                .rfind(|stream| stream.label.is_some() && stream.label == line.label);
            json!({
                "label": line.label,
                "id": stream.map(|stream| stream.id.clone()),
                "mixed": stream.is_some_and(|stream| stream.is_mixed),
                "track": track_of(index),
            })
        });
        let sessions = metadata.sessions.iter().map(|session| {
            json!({
                "id": session.id,
                "sip_session_ids": session.sip_ids,
                "group": session.group,
                "started": session.started,
                "stopped": session.stopped,
                "extensions": extensions(&session.extensions),
            })
        });
        json!({
            "source": self.by.bringer.as_str(),
            "sip_call_id": self.sip_call_id,
            "session_id": metadata.session_id(),
            "client": self.client,
            "address": self.by.address,
            "user_agent": self.by.agent,
            "participants": participants.collect::<Vec<_>>(),
            "sessions": sessions.collect::<Vec<_>>(),
            "streams": streams.collect::<Vec<_>>(),
            "extensions": extensions(&metadata.extensions),
            "warnings": self.warnings,
        })
    }
}

#[cfg(test)]
mod tests;
