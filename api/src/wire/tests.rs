use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::mender::{MAX_HEAD_BYTES, Mender};
use super::*;

fn mended(input: &[u8]) -> String {
    let mut out = Vec::new();
    Mender::default().feed(input, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The status that a request is refused with, if it is.
fn refused(input: &[u8]) -> Option<u16> {
    let mut out = Vec::new();
    let mut mender = Mender::default();
    mender.feed(input, &mut out).unwrap();
    mender.has_refused().then(|| {
        let text = String::from_utf8(out).unwrap();
        let at = text.find("REFUSED /").unwrap() + 9;
        text[at..at + 3].parse().unwrap()
    })
}

#[test]
fn raw_angle_brackets_are_encoded_in_the_target_only() {
    assert_eq!(
        mended(
            b"GET /x?DateCreated>=2009-07-06&DateCreated<=2009-07-08 HTTP/1.1\r\nX: <a>\r\n\r\n"
        ),
        "GET /x?DateCreated%3E=2009-07-06&DateCreated%3C=2009-07-08 HTTP/1.1\r\nX: <a>\r\n\r\n"
    );
    assert_eq!(
        mended(b"GET //a? HTTP/1.0\r\n\r\n"),
        "GET //a? HTTP/1.0\r\n\r\n"
    );
}

#[test]
fn each_request_of_a_pipeline_is_mended_and_no_body_is() {
    let body = "GET /<>?> HTTP/1.1\r\n\r\n";
    let post = format!(
        "POST /<1 HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let chunked = format!(
        "POST /<2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:X}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let out = mended(format!("{post}{chunked}\r\nGET /<3 HTTP/1.1\n\n").as_bytes());
    assert_eq!(out.matches(body).count(), 2);
    assert_eq!(out.matches("/%3C").count(), 3);
    assert!(out.ends_with("GET /%3C3 HTTP/1.1\r\n\r\n"), "{out}");
}

#[test]
fn framing_that_two_readers_could_take_two_ways_is_refused() {
    for (head, status) in [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked", 400),
        ("Content-Length: 3\r\nContent-Length: 3", 400),
        ("Content-Length: 3, 3", 400),
        ("Content-Length: +3", 400),
        ("Content-Length: 0x3", 400),
        ("Content-Length: ", 400),
        ("Content-Length: 99999999999999999999", 400),
        ("Content-Length: 1\r\n : 2", 400),
        ("Content-Length : 3", 400),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            400,
        ),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: \x0bchunked", 400),
        ("X: 1\r\n folded", 400),
    ] {
        let request = format!("POST / HTTP/1.1\r\n{head}\r\n\r\nabc");
        assert_eq!(refused(request.as_bytes()), Some(status), "{head:?}");
    }
    assert_eq!(
        refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Some(400)
    );
    assert_eq!(refused(b"CONNECT a:1 HTTP/1.1\r\n\r\n"), Some(405));
    assert_eq!(refused(b"REFUSED /200 HTTP/1.1\r\n\r\n"), Some(400));
    assert_eq!(refused(b"GET /a b HTTP/1.1\r\n\r\n"), Some(400));
    assert_eq!(refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(400));
    assert_eq!(
        refused(b"GET /ok HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"),
        None
    );
}

#[test]
fn a_head_has_a_bound() {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD_BYTES));
    assert_eq!(refused(long.as_bytes()), Some(431));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: 1\r\n".repeat(97));
    assert_eq!(refused(many.as_bytes()), Some(431));
    assert_eq!(refused("\r\n".repeat(100_000).as_bytes()), None);
}

#[test]
fn an_odd_chunked_body_breaks_the_connection() {
    for body in [
        "3;ext=1\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "\r\nabc",
        "-1\r\n",
        "0x3\r\nabc\r\n",
        "0\r\nTrailer: 1\r\n\r\n",
        "123456789\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let mut out = Vec::new();
        assert!(
            Mender::default()
                .feed(request.as_bytes(), &mut out)
                .is_err(),
            "{body:?}"
        );
    }
}

/// A request of any shape that is legal, and what is mended of it.
fn request() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let body = proptest::collection::vec(any::<u8>(), 0..300);
    (body, 0..3_u8, "[a-z<>=&]{0,20}", 1..60_usize).prop_map(|(body, kind, query, piece)| {
        let mut raw = format!("POST /x?{query} HTTP/1.1\r\n").into_bytes();
        let mended = query.replace('<', "%3C").replace('>', "%3E");
        let mut clean = format!("POST /x?{mended} HTTP/1.1\r\n").into_bytes();
        let mut tail = Vec::new();
        match kind {
            0 => tail.extend_from_slice(b"\r\n"),
            1 => {
                tail.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
                tail.extend_from_slice(&body);
            }
            _ => {
                tail.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                for chunk in body.chunks(piece) {
                    tail.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    tail.extend_from_slice(chunk);
                    tail.extend_from_slice(b"\r\n");
                }
                tail.extend_from_slice(b"0\r\n\r\n");
            }
        }
        raw.extend_from_slice(&tail);
        clean.extend_from_slice(&tail);
        (raw, clean)
    })
}

proptest! {
    #[test]
    fn any_pipeline_in_any_pieces_comes_out_the_same(
        requests in proptest::collection::vec(request(), 1..6),
        pieces in proptest::collection::vec(1..50_usize, 1..40),
    ) {
        let raw: Vec<u8> = requests.iter().flat_map(|(raw, _)| raw.clone()).collect();
        let clean: Vec<u8> = requests.iter().flat_map(|(_, clean)| clean.clone()).collect();
        let mut mender = Mender::default();
        let mut out = Vec::new();
        let (mut rest, mut sizes) = (raw.as_slice(), pieces.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap().min(&rest.len()).to_owned());
            mender.feed(piece, &mut out).unwrap();
            rest = after;
        }
        prop_assert!(!mender.has_refused());
        prop_assert_eq!(out, clean);
    }

    #[test]
    fn what_comes_out_is_canonical_for_any_bytes_at_all(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        request in request(),
        at in any::<prop::sample::Index>(),
    ) {
        // Random bytes, then the same in the middle of a request, which gets further.
        let mut damaged = request.0;
        let place = at.index(damaged.len());
        damaged.splice(place..place, bytes.iter().take(4).copied());
        for input in [bytes, damaged] {
            let mut once = Vec::new();
            let mut mender = Mender::default();
            if mender.feed(&input, &mut once).is_ok() && !mender.has_refused() {
                let mut twice = Vec::new();
                Mender::default().feed(&once, &mut twice).unwrap();
                prop_assert_eq!(once, twice);
            }
        }
    }
}

#[tokio::test]
async fn a_writer_that_stalls_is_an_error() {
    let (stream, _peer) = tokio::io::duplex(16);
    let mut mended = Mended::new(stream, Duration::from_millis(20));
    let error = mended.write_all(&[0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn reading_ends_with_the_stream() {
    let (stream, mut peer) = tokio::io::duplex(1024);
    let mut mended = Mended::new(stream, Duration::from_secs(1));
    peer.write_all(b"GET /> HTTP/1.1\r\n\r\n").await.unwrap();
    drop(peer);
    let mut text = String::new();
    mended.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "GET /%3E HTTP/1.1\r\n\r\n");
}
