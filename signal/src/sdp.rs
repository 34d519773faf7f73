//! SDP bodies of SIP messages: where each side wants its RTP, and what a track is told of it.
//!
//! Called by [`crate::pcap`]; calls sdp-types. Both sides' bodies are known here, while `capture`
//! takes one offer for a call: [`offer`] makes the one that says what was agreed, a line a track.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Origin, Session, Time};

/// The largest body that is read, in bytes.
const MOST_BYTES: usize = 64 * 1024;

/// Audio lines of one body that are looked at.
const MOST_LINES: usize = 4;

/// What one side says of one audio line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it wants RTP.
    pub(crate) at: SocketAddr,
    /// Whether it wants it encrypted.
    pub(crate) encrypted: bool,
    media: Media,
}

/// The audio lines of a body that are in use and say where.
pub(crate) fn lines(body: &[u8]) -> Vec<Line> {
    if body.len() > MOST_BYTES {
        return Vec::new();
    }
    let Ok(session) = Session::parse(body) else {
        return Vec::new();
    };
    let used = session
        .medias
        .iter()
        .filter(|media| media.media == "audio" && media.port != 0);
    used.filter_map(|media| {
        let connection = media.connections.first().or(session.connection.as_ref())?;
        let address: IpAddr = connection
            .connection_address
            .split('/')
            .next()?
            .parse()
            .ok()?;
        let has = |name: &str| {
            let mut all = media.attributes.iter().chain(&session.attributes);
            all.any(|attribute| attribute.attribute == name)
        };
        // The unspecified address says hold (RFC 3264 §8.4), not where.
        (!address.is_unspecified()).then(|| Line {
            at: SocketAddr::new(address, media.port),
            encrypted: media.proto.contains("SAVP") || has("crypto") || has("fingerprint"),
            media: media.clone(),
        })
    })
    .take(MOST_LINES)
    .collect()
}

/// What a track hears: RTP from `source`, in the payload types that the receiving side gave, and,
/// behind those, the sending side's (who sends by its own numbers is understood where they do not
/// contradict the receiver's).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) source: IpAddr,
    pub(crate) receiver: Option<&'a Line>,
    pub(crate) sender: Option<&'a Line>,
}

/// An offer with a line for each track.
pub(crate) fn offer<'a>(tracks: impl Iterator<Item = Heard<'a>>) -> String {
    let unspecified = IpAddr::from([0, 0, 0, 0]);
    let mut session = Session::new(Origin::with_ip_addr(0_u64, 0_u64, unspecified), "import");
    session.add_time(Time::new(0, 0));
    for heard in tracks {
        session.medias.push(line(heard));
    }
    let mut text = Vec::new();
    // Writing into memory cannot fail.
    if session.write(&mut text).is_err() {
        text.clear();
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn line(heard: Heard<'_>) -> Media {
    let mut formats: Vec<&str> = Vec::new();
    let mut attributes: Vec<Attribute> = Vec::new();
    for said in [heard.receiver, heard.sender].into_iter().flatten() {
        let known = formats.clone();
        for format in said.media.fmt.split_ascii_whitespace() {
            if !known.contains(&format) && format.parse::<u8>().is_ok() {
                formats.push(format);
            }
        }
        for attribute in &said.media.attributes {
            let kept = ["rtpmap", "fmtp"].contains(&&*attribute.attribute);
            let number = attribute
                .value
                .as_deref()
                .and_then(|value| value.split(' ').next());
            if kept && number.is_some_and(|number| !known.contains(&number)) {
                attributes.push(attribute.clone());
            }
        }
    }
    let mut media = heard.receiver.or(heard.sender).map_or_else(
        || {
            Media::new(
                sdp_types::MediaType::Audio,
                9,
                sdp_types::TransportProto::RtpAvp,
                "",
            )
        },
        |said| said.media.clone(),
    );
    // The rest of what was offered (ICE, keys of an SRTP that was not taken) has come to nothing.
    "RTP/AVP".clone_into(&mut media.proto);
    media.fmt = formats.join(" ");
    media.connections = vec![Connection::from_ip_addr(heard.source)];
    media.attributes = attributes;
    media.bandwidths.clear();
    media.media_title = None;
    media.num_ports = None;
    media.key = None;
    media
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=ice-ufrag:x\r\n";
    const B: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nt=0 0\r\n\
        m=audio 5000 RTP/AVP 97 96\r\nc=IN IP4 192.0.2.2\r\na=rtpmap:97 PCMA/8000\r\n\
        a=rtpmap:96 CN/8000\r\nm=audio 0 RTP/AVP 0\r\nm=video 6 RTP/AVP 1\r\n";

    #[test]
    fn lines_say_where_and_hold_says_nothing() {
        let a = lines(A.as_bytes());
        assert_eq!(a.len(), 1);
        assert_eq!(a[0].at, "192.0.2.1:4000".parse().unwrap());
        assert!(!a[0].encrypted);
        assert_eq!(lines(B.as_bytes()).len(), 1);
        assert!(
            lines(
                A.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0")
                    .as_bytes()
            )
            .is_empty()
        );
        assert!(lines(A.replace("RTP/AVP", "RTP/SAVP").as_bytes())[0].encrypted);
    }

    #[test]
    fn a_tracks_line_has_the_receivers_numbers_first() {
        let (a, b) = (lines(A.as_bytes()), lines(B.as_bytes()));
        let heard = Heard {
            source: "192.0.2.9".parse().unwrap(),
            receiver: b.first(),
            sender: a.first(),
        };
        let text = offer([heard].into_iter());
        assert!(text.contains("m=audio 5000 RTP/AVP 97 96 0\r\n"), "{text}");
        assert!(text.contains("c=IN IP4 192.0.2.9"), "{text}");
        assert!(text.contains("a=rtpmap:96 CN/8000"), "{text}");
        assert!(
            !text.contains("telephone-event") && !text.contains("ice"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(lines_of in proptest::collection::vec("[a-z]=[ -~]{0,40}", 0..12)) {
            let text = format!("v=0\r\n{}", lines_of.join("\r\n"));
            for line in lines(text.as_bytes()) {
                let heard = Heard { source: line.at.ip(), receiver: Some(&line), sender: None };
                let _ = offer([heard].into_iter());
            }
        }
    }
}
