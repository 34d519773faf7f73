//! What TCP does to messages, and what clients do to TCP: one message in many pieces, many in one, a length that is wrong
//! or missing, a client that comes back by another connection, or by UDP, to end its call. The call is as exact as any.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::siprec::{Bed, metadata, multipart, offer, ports, recordings};
use reeld_tests::{Sender, Setup, Tape, Voice, judge};

const BOUND: Duration = Duration::from_secs(20);

/// A message of the session, with what its headers and its body are.
fn message(method: &str, cseq: u32, to_tag: &str, headers: &str, body: &str) -> String {
    let text = format!(
        "{method} sip:rec@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{method}{cseq};rport\r\n\
         From: <sip:src@127.0.0.1>;tag=theirs\r\nTo: <sip:rec@127.0.0.1>{to_tag}\r\nCall-ID: pieces@127.0.0.1\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:src@127.0.0.1;transport=tcp>;+sip.src\r\n{headers}\r\n"
    );
    text + body
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).expect("it listens");
    stream.set_read_timeout(Some(BOUND)).expect("a time is set");
    stream.set_nodelay(true).expect("nothing is put together");
    stream
}

/// Reads until an answer of this status is there, whole.
fn answer(stream: &mut TcpStream, status: &str) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4_096];
    loop {
        let length = stream.read(&mut bytes).expect("an answer in time");
        assert!(length > 0, "closed before {status}: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        let Some(begin) = text.find(&format!("SIP/2.0 {status}")) else {
            continue;
        };
        let answer = &text[begin..];
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            continue;
        };
        let lengths = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let whole: usize = lengths.expect("a length").parse().expect("a number");
        if body.len() >= whole {
            return answer.to_owned();
        }
    }
}

fn to_tag(answer: &str) -> String {
    let to = answer
        .lines()
        .find(|line| line.starts_with("To:"))
        .expect("a To");
    to[to.find(";tag=").expect("a tag")..].to_owned()
}

fn invite(sid: &str, length: &str) -> String {
    let xml = metadata("eA==", &[("ann", "1"), ("bob", "2")]).replace('\n', "\r\n");
    let sdp = offer(&[("1", "sendonly"), ("2", "sendonly")]).replace('\n', "\r\n");
    let body = multipart(&sdp, &xml);
    let length = length.replace("{}", &body.len().to_string());
    let headers = format!(
        "Require: siprec\r\nX-Call-Sid: {sid}\r\nContent-Type: multipart/mixed;boundary=uniqueBoundary\r\n{length}"
    );
    message("INVITE", 1, "", &headers, &(body + "\r\n"))
}

#[test]
fn pieces_are_put_together_and_a_client_may_come_back_another_way() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(1);
    let mut stream = connect(bed.server);
    let invite = invite(&sid, "Content-Length: {}\r\n");
    for piece in invite.as_bytes().chunks(701) {
        stream.write_all(piece).expect("it is taken");
        std::thread::sleep(Duration::from_millis(5));
    }
    let tag = to_tag(&answer(&mut stream, "200"));
    // The ACK, a keep-alive, what tests the way and an INFO, in one.
    let options = message("OPTIONS", 2, &tag, "l: 0\r\n", "");
    let together = message("ACK", 1, &tag, "Content-Length: 0\r\n", "")
        + "\r\n\r\n"
        + &options
        + &message(
            "INFO",
            3,
            &tag,
            "Content-Type: text/plain\r\nContent-Length: 5\r\n",
            "hello",
        );
    stream.write_all(together.as_bytes()).expect("it is taken");
    let both = answer(&mut stream, "200");
    assert!(both.contains("CSeq: 2 OPTIONS"), "{both}");
    let to = ports(&client, &sid);
    let tape = Tape::noise(Law::Mu, 1, 50 * 160);
    let playing = Sender::new().start(to[0], Voice::new(1).say(tape.codes()));
    playing.wait_until(0, 20);
    // The connection breaks, and the call goes on.
    drop(stream);
    playing.finish();
    let mut stream = connect(bed.server);
    stream
        .write_all(message("UPDATE", 4, &tag, "Content-Length: 0\r\n", "").as_bytes())
        .expect("it is taken");
    answer(&mut stream, "200");
    drop(stream);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    socket.set_read_timeout(Some(BOUND)).expect("a time is set");
    let bye = message("BYE", 5, &tag, "", "");
    socket
        .send_to(bye.as_bytes(), bed.server)
        .expect("it is sent");
    let mut bytes = [0; 2_048];
    let length = socket.recv(&mut bytes).expect("an answer in time");
    assert!(bytes[..length].starts_with(b"SIP/2.0 200 "));
    let json = recordings(&client, &sid, 1).remove(0);
    assert_eq!(json["ended_by"], "call-completed", "{json}");
    assert_eq!(json["warnings"], serde_json::json!([]), "{json}");
    let wav = client.wav(json["sid"].as_str().expect("a Sid"));
    judge::exact(wav.dual()[0], &tape.samples());
}

#[test]
fn a_length_that_is_missing_or_too_short_costs_no_call() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    for (number, length) in [(2, ""), (3, "Content-Length: 420\r\n")] {
        let sid = call_sid(number);
        // Each is a call of its own.
        let of_it = |text: String| {
            let text = text.replace("pieces@", &format!("pieces{number}@"));
            text.replace("z9hG4bK", &format!("z9hG4bK{number}"))
        };
        let mut stream = connect(bed.server);
        let text = of_it(invite(&sid, length));
        stream.write_all(text.as_bytes()).expect("it is taken");
        let tag = to_tag(&answer(&mut stream, "200"));
        let _ = ports(&client, &sid);
        for (method, cseq) in [("ACK", 1), ("BYE", 2)] {
            let text = of_it(message(
                method,
                cseq,
                &tag,
                "Content-Length: 0
",
                "",
            ));
            stream.write_all(text.as_bytes()).expect("it is taken");
        }
        answer(&mut stream, "200");
        let json = recordings(&client, &sid, 1).remove(0);
        assert_eq!(json["status"], "absent", "{json}");
    }
}
