//! Offers of ours, to who calls without one, and what an answer makes of them (RFC 3261 §13.2.1 and §14.2, RFC 6337 §5.2).
//!
//! Called by `siprec`. Such an offer is kept in the words of a client's: as the lines of one who sends all that
//! capture decodes. So what is told to capture, and what is written on the wire, is made of it as of any other.

use super::{Direction, Line, Offer, short};

/// What capture decodes, in the order of preference, and the payload type that each has where it is free (RFC 3551 §6;
/// the others are dynamic). G.711 first: every client has it.
const BUILT: [(u8, &str); 9] = [
    (0, "PCMU/8000"),
    (8, "PCMA/8000"),
    (9, "G722/8000"),
    (96, "opus/48000/2"),
    (97, "L16/16000"),
    (98, "L16/8000"),
    (13, "CN/8000"),
    (101, "telephone-event/8000"),
    (102, "telephone-event/48000"),
];

/// Dynamic payload types (RFC 3551 §3).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

impl Offer {
    /// An offer of lines that we receive, with these labels.
    pub(crate) fn of_ours(labels: &[Option<&str>]) -> Self {
        let lines = labels.iter().map(|label| {
            let mut line = Line {
                label: label.map(short),
                ..Line::read("audio 9 RTP/AVP", None, false, Direction::Sends)
                    .expect("it has a media, a port and a transport")
            };
            line.widen();
            line
        });
        Self {
            lines: lines.collect(),
            warnings: Vec::new(),
        }
    }

    /// What is offered in mid-call to who asks for an offer: the lines as they are, in which those that are
    /// recorded are received whatever the client had them be, with all that is decoded beside what it sends now.
    pub(crate) fn again(&self, tracks: [Option<usize>; 2]) -> Self {
        let mut again = self.clone();
        for index in tracks.into_iter().flatten() {
            if let Some(line) = again.lines.get_mut(index) {
                line.port = line.port.max(1);
                line.direction = Direction::Sends;
                line.is_nowhere = false;
                line.widen();
            }
        }
        again
    }

    /// What a client sends that answers this offer so: as if it had offered it.
    ///
    /// A line that the answer has not is switched off. What its payload types are is known from the offer, where
    /// the answer does not say (RFC 3264 §6.1: they are the same).
    pub(crate) fn answered_by(&self, answer: Self) -> Self {
        let mut answers = answer.lines.into_iter();
        let lines = self.lines.iter().map(|offered| match answers.next() {
            Some(mut line) => {
                line.media.clone_from(&offered.media);
                line.label = line.label.or_else(|| offered.label.clone());
                line.mid = line.mid.or_else(|| offered.mid.clone());
                for (payload_type, encoding) in offered.encodings() {
                    if line.has_format(payload_type) && line.encoding_of(payload_type).is_none() {
                        let map = format!("rtpmap:{payload_type} {encoding}");
                        line.attributes.push(map);
                    }
                }
                line
            }
            None => Line {
                port: 0,
                ..offered.clone()
            },
        });
        Self {
            lines: lines.collect(),
            warnings: answer.warnings,
        }
    }
}

impl Line {
    /// Puts what else is decoded behind what it has.
    fn widen(&mut self) {
        for (usual, encoding) in BUILT {
            let has_it = self
                .encodings()
                .iter()
                .any(|(_, known)| known.eq_ignore_ascii_case(encoding));
            let is_free = |payload_type: &u8| !self.has_format(*payload_type);
            if has_it {
                continue;
            }
            // A static type that the line has for something else leaves no other for its own.
            let Some(payload_type) = Some(usual)
                .filter(is_free)
                .or_else(|| DYNAMIC.rev().find(is_free))
            else {
                continue;
            };
            if !self.formats.is_empty() {
                self.formats.push(' ');
            }
            self.formats.push_str(&payload_type.to_string());
            self.attributes
                .push(format!("rtpmap:{payload_type} {encoding}"));
        }
    }

    fn has_format(&self, payload_type: u8) -> bool {
        let mut formats = self.formats.split(' ');
        formats.any(|format| format.parse() == Ok(payload_type))
    }

    /// What each of its payload types stands for, as far as that is known.
    fn encodings(&self) -> Vec<(u8, String)> {
        let types = self
            .formats
            .split(' ')
            .filter_map(|format| format.parse().ok());
        types
            .filter_map(|payload_type| {
                let usual = || {
                    let is_it = |(usual, _): &&(u8, &str)| {
                        *usual == payload_type && !DYNAMIC.contains(usual)
                    };
                    BUILT
                        .iter()
                        .find(is_it)
                        .map(|(_, encoding)| (*encoding).to_owned())
                };
                Some((payload_type, self.encoding_of(payload_type).or_else(usual)?))
            })
            .collect()
    }

    /// What its own rtpmap says of a payload type.
    fn encoding_of(&self, payload_type: u8) -> Option<String> {
        self.attributes.iter().find_map(|attribute| {
            let (number, encoding) = attribute.strip_prefix("rtpmap:")?.split_once(' ')?;
            (number.trim().parse() == Ok(payload_type)).then(|| encoding.trim().to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(offer: &Offer) -> Vec<&str> {
        offer
            .lines
            .iter()
            .map(|line| line.formats.as_str())
            .collect()
    }

    #[test]
    fn what_is_offered_anew_is_all_that_is_decoded() {
        let offer = Offer::of_ours(&[Some("a"), None]);
        assert_eq!(formats(&offer), ["0 8 9 96 97 98 13 101 102"; 2]);
        assert!(
            offer
                .lines
                .iter()
                .all(|line| line.fault().is_none() && line.is_used())
        );
        assert_eq!(offer.lines[0].label.as_deref(), Some("a"));
    }

    #[test]
    fn what_is_offered_in_mid_call_keeps_its_payload_types() {
        let offer = Offer::read(
            b"m=audio 0 RTP/AVP 18 0 96 101\r\na=rtpmap:96 PCMA/8000\r\na=rtpmap:101 opus/48000/2\r\na=inactive\r\n\
              m=video 0 RTP/AVP 97\r\nm=audio 4 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\n",
        )
        .unwrap();
        let again = offer.again([Some(0), Some(2)]);
        assert_eq!(
            formats(&again),
            [
                "18 0 96 101 9 97 98 13 127 102",
                "97",
                "8 0 9 96 97 98 13 101 102"
            ]
        );
        assert!([0, 2].into_iter().all(|index| {
            let line = &again.lines[index];
            line.is_used() && !line.is_paused() && line.fault().is_none()
        }));
        assert!(!again.lines[1].is_used());
        // Once more, it is the same.
        assert_eq!(again.again([Some(0), Some(2)]), again);
    }

    #[test]
    fn an_answer_is_read_by_the_offer_that_it_answers() {
        let offer = Offer::of_ours(&[Some("1"), Some("2")]);
        let answer =
            Offer::read(b"c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 96 101\r\na=sendonly\r\n")
                .unwrap();
        let answered = offer.answered_by(answer);
        let [first, second] = answered.lines.as_slice() else {
            panic!("{answered:?}")
        };
        assert_eq!(first.label.as_deref(), Some("1"));
        assert_eq!(
            first.attributes,
            ["rtpmap:96 opus/48000/2", "rtpmap:101 telephone-event/8000"]
        );
        assert!(first.fault().is_none() && first.address.is_some());
        assert!(!second.is_used());
    }
}
