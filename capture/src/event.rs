//! RFC 4733 telephone-events: keys.
//!
//! Called by [`crate::track`]. Each key once, whatever of it is repeated or lost: an event is known
//! by its time stamp (RFC 4733 §2.2, all packets of an event carry the stamp of its beginning), so
//! the first packet of a new stamp is the key, and its updates and the three end packets are not.

use serde::{Deserialize, Serialize};

/// The keys, by event code (RFC 4733 §3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// What one packet says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// Which key.
    pub(crate) key: char,
    /// Whether this is the first packet of it.
    pub(crate) is_new: bool,
    /// Whether it is over: such packets come thrice, and take no time.
    pub(crate) is_over: bool,
    /// Its length so far, in units of the stamp as it is read, in samples as it is placed.
    pub(crate) length: i64,
    /// Its level in dBm0, less than nought (RFC 4733 §2.3.4).
    pub(crate) volume: u8,
}

/// The events of one stream.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Events {
    /// Stamp and code of the last event.
    last: Option<(u32, u8)>,
}

impl Events {
    /// Reads one packet; nothing if it is no key, or one that is over.
    pub(crate) fn read(&mut self, timestamp: u32, payload: &[u8]) -> Option<Event> {
        let [code, flags, high, low, ..] = *payload else {
            return None;
        };
        let key = char::from(*KEYS.get(usize::from(code))?);
        let mut is_new = true;
        if let Some((last, last_code)) = self.last {
            // A packet of an event that is over, overtaken by the next event's.
            if timestamp.wrapping_sub(last) > u32::MAX / 2 {
                return None;
            }
            is_new = timestamp != last || code != last_code;
        }
        self.last = Some((timestamp, code));
        Some(Event {
            key,
            is_new,
            is_over: flags & 0x80 != 0,
            length: i64::from(u16::from_be_bytes([high, low])),
            volume: flags & 0x3F,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_once() {
        let mut all = Events::default();
        let mut read = |stamp, payload: &[u8]| {
            let event = all.read(stamp, payload)?;
            event.is_new.then_some(event.key)
        };
        let pound = |end: u8| [11, end << 7 | 10, 0, 160];
        assert_eq!(read(1_000, &pound(0)), Some('#'));
        assert_eq!(read(1_000, &pound(0)), None);
        assert_eq!(read(1_000, &pound(1)), None);
        assert_eq!(read(9_000, &pound(1)), Some('#'), "only its end came");
        assert_eq!(read(1_000, &pound(1)), None, "late");
        assert_eq!(read(17_000, &[16, 0, 0, 0]), None, "flash is no key");
        assert_eq!(read(17_000, &[1]), None);
        assert_eq!(read(25_000, &[0, 0, 0, 0]), Some('0'));
    }
}
