//! What a further document changes.
//!
//! Called by `dialog` with each document that comes; part of [`super`].

use super::{Document, MOST_EXTENSIONS, MOST_OF_EACH, Metadata, Participant, Session, Stream};

impl Metadata {
    /// Takes what a further document says. Who is in no complete one any more has left. Whether it names somebody of
    /// whom no document says anything.
    pub(crate) fn merge(&mut self, document: &Document) -> bool {
        let mut names_unknown = false;
        let Document {
            metadata: new,
            is_complete,
            ..
        } = document;
        if *is_complete && !new.participants.is_empty() {
            for known in &mut self.participants {
                if !new.participants.iter().any(|new| new.id == known.id) {
                    known.left.get_or_insert_default();
                }
            }
        }
        for new in &new.participants {
            match self
                .participants
                .iter_mut()
                .find(|known| known.id == new.id)
            {
                Some(known) => known.merge(new, *is_complete),
                None if new.is_named_only => names_unknown = true,
                None => self.participants.push(new.clone()),
            }
        }
        for new in &new.streams {
            let is_it = |known: &Stream| known.id == new.id && !new.id.is_empty();
            match self.streams.iter().position(is_it) {
                Some(at) => {
                    let known = &mut self.streams[at];
                    known.is_mixed = new.is_mixed;
                    if new.label.is_some() {
                        known.label.clone_from(&new.label);
                    }
                }
                None if self.streams.contains(new) => {}
                None => self.streams.push(new.clone()),
            }
        }
        for new in &new.sessions {
            match self.sessions.iter_mut().find(|known| known.id == new.id) {
                Some(known) => {
                    let Session {
                        sip_ids,
                        group,
                        started,
                        stopped,
                        extensions,
                        ..
                    } = new.clone();
                    known.group = group.or(known.group.take());
                    known.started = started.or(known.started.take());
                    known.stopped = stopped.or(known.stopped.take());
                    if !sip_ids.is_empty() {
                        known.sip_ids = sip_ids;
                    }
                    add_all(&mut known.extensions, extensions);
                }
                None => self.sessions.push(new.clone()),
            }
        }
        add_all(&mut self.extensions, new.extensions.clone());
        self.caller = new.caller.clone().or(self.caller.take());
        // Of those that have left the first ones go, should there be ever more.
        while self.participants.len() > MOST_OF_EACH {
            let gone = self.participants.iter().position(|one| one.left.is_some());
            self.participants.remove(gone.unwrap_or(MOST_OF_EACH));
        }
        self.streams.truncate(MOST_OF_EACH);
        self.sessions.truncate(MOST_OF_EACH);
        names_unknown
    }
}

impl Participant {
    fn merge(&mut self, new: &Self, is_complete: bool) {
        let Self {
            names,
            sends,
            joined,
            left,
            is_caller,
            extensions,
            stops,
            ..
        } = new.clone();
        if !names.is_empty() {
            self.names = names;
        }
        // What is all there is takes the place of what was.
        if is_complete || !sends.is_empty() {
            self.sends = sends;
        }
        self.sends.retain(|sent| !stops.contains(sent));
        self.joined = joined.or(self.joined.take());
        self.left = left;
        self.is_caller = is_caller.or(self.is_caller);
        add_all(&mut self.extensions, extensions);
    }
}

fn add_all(known: &mut Vec<(String, String)>, new: Vec<(String, String)>) {
    for (name, value) in new {
        let has_room = known.len() < MOST_EXTENSIONS;
        match known.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None if has_room => known.push((name, value)),
            None => {}
        }
    }
}
