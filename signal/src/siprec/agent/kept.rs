//! Sessions between two processes: a restart in mid-call goes on with them, as capture does with their calls.
//!
//! MessagePack would do; JSON it is, since a state that cannot be read should be seen by a person. What is new in
//! it needs `#[serde(default)]`. Transactions are not kept: a request that was under way comes again.

use super::*;

impl Agent {
    /// All sessions that are open, as bytes.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep(&self) -> Result<Vec<u8>, serde_json::Error> {
        let open = self.sessions.values().filter(|known| {
            let is_opening =
                matches!(&known.under_way, Some(UnderWay::Asked(asked)) if asked.is_first);
            !known.ends && !is_opening
        });
        let dialogs: Vec<&Dialog> = open.map(|known| &known.dialog).collect();
        serde_json::to_vec(&dialogs)
    }

    /// Takes up what [`Agent::keep`] wrote, of the calls that `is_open` says go on; how many sessions that are.
    ///
    /// # Errors
    /// The bytes are none of these.
    pub fn take_up(
        &mut self,
        bytes: &[u8],
        is_open: impl Fn(AccountSid, CallSid) -> bool,
        now: Mono,
    ) -> Result<usize, serde_json::Error> {
        let mut dialogs: Vec<Dialog> = serde_json::from_slice(bytes)?;
        dialogs.retain(|dialog| is_open(dialog.account, dialog.call));
        let count = dialogs.len();
        for mut dialog in dialogs {
            // A connection did not outlive its process; the client makes another one.
            if let Peer::Stream { connection, .. } = &mut dialog.peer {
                *connection = 0;
            }
            dialog.is_taken_up = true;
            if dialog
                .awaited
                .as_ref()
                .is_some_and(|awaited| awaited.is_first)
            {
                // Whoever died before his ACK leaves a session that nothing else would end.
                let most = now + GIVEN_UP;
                let due = dialog.refresh_due.map_or(most, |due| due.min(most));
                dialog.refresh_due = Some(due);
            }
            self.next += 1;
            let session = self.next;
            self.by_tag.insert(dialog.own_tag.clone(), session);
            self.by_invite
                .insert((dialog.call_id.clone(), dialog.their_tag.clone()), session);
            self.by_call.insert((dialog.account, dialog.call), session);
            for (recording, _) in &dialog.recordings {
                self.by_recording.insert(*recording, session);
            }
            self.settings.incoming.taken_up(dialog.bringer());
            let mut known = Session::new(dialog, None);
            known.is_taken = true;
            self.sessions.insert(session, known);
            self.schedule(session);
        }
        Ok(count)
    }
}
