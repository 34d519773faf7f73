//! RFC 4733 telephone-events: keys.
//!
//! Called by [`crate::track`]. Each key once, whatever of it is repeated or lost: an event is known
//! by its time stamp (RFC 4733 §2.2, all packets of an event carry the stamp of its beginning), so
//! the first packet of a new stamp is the key, and its updates and the three end packets are not.

/// The keys, by event code (RFC 4733 §3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// The events of one stream.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Stamp and code of the last event.
    last: Option<(u32, u8)>,
}

impl Events {
    /// Reads one packet; the key, if this is the first packet of one.
    pub(crate) fn read(&mut self, timestamp: u32, payload: &[u8]) -> Option<char> {
        let [code, _, _, _, ..] = *payload else {
            return None;
        };
        let key = char::from(*KEYS.get(usize::from(code))?);
        if let Some((last, last_code)) = self.last {
            // A packet of an event that is over, overtaken by the next event's.
            let older = timestamp.wrapping_sub(last) > u32::MAX / 2;
            if older || (timestamp == last && code == last_code) {
                return None;
            }
        }
        self.last = Some((timestamp, code));
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_once() {
        let mut events = Events::default();
        let pound = |end: u8| [11, end << 7 | 10, 0, 160];
        assert_eq!(events.read(1_000, &pound(0)), Some('#'));
        assert_eq!(events.read(1_000, &pound(0)), None);
        assert_eq!(events.read(1_000, &pound(1)), None);
        assert_eq!(
            events.read(9_000, &pound(1)),
            Some('#'),
            "only its end came"
        );
        assert_eq!(events.read(1_000, &pound(1)), None, "late");
        assert_eq!(events.read(17_000, &[16, 0, 0, 0]), None, "flash is no key");
        assert_eq!(events.read(17_000, &[1]), None);
        assert_eq!(events.read(25_000, &[0, 0, 0, 0]), Some('0'));
    }
}
