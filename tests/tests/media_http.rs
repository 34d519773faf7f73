//! Media over HTTP: Range, HEAD, ETag, If-None-Match, Last-Modified on WAV and MP3, the channels
//! that are asked for, and DELETE during a slow download, which lets the download finish.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use reeld_tests::client::{Started, call_sid};
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{Client, MediaKind, Reply, Sender, Setup, Tape, Voice, Wav, for_each_media};
use reqwest::Method;

for_each_media!(
    parts_of_files_are_served,
    the_channels_asked_for_are_served,
    a_download_outlives_its_recording
);

/// A dual recording, both tracks spoken on; and a mono one of the inbound track.
fn record(client: &Client, seconds: usize) -> [Started; 2] {
    let dual = client.start(&call_sid(1), &[("RecordingChannels", "dual")]);
    let mono = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let part = |to, seed| Part {
        sender: Sender::new(),
        to,
        script: Voice::new(seed).say(Tape::noise(Law::Mu, seed, seconds * 8_000).codes()),
    };
    Playing::start(vec![part(dual.inbound(), 1), part(dual.outbound(), 2)]).finish();
    for started in [&dual, &mono] {
        client.stop(started);
        client.wait_completed(&started.sid);
    }
    [dual, mono]
}

fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Reply {
    client.send(Method::GET, path, headers, None)
}

fn parts_of_files_are_served(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let [dual, mono] = record(client, 2);
    for sid in [&dual.sid, &mono.sid] {
        for (extension, kind) in [("", "audio/x-wav"), (".mp3", "audio/mpeg")] {
            for version in [client.old_path(""), client.path("")] {
                judge_parts(
                    client,
                    &format!("{version}/Recordings/{sid}{extension}"),
                    kind,
                );
            }
        }
    }
}

fn judge_parts(client: &Client, path: &str, kind: &str) {
    let whole = client.get(path).expect(200);
    let length = whole.body.len();
    assert_eq!(whole.header("content-type"), Some(kind), "{path}");
    assert_eq!(whole.header("accept-ranges"), Some("bytes"), "{path}");
    let tag = whole
        .header("etag")
        .unwrap_or_else(|| panic!("{path} has no ETag"))
        .to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"'),
        "{tag} is strong"
    );
    let modified = whole
        .header("last-modified")
        .expect("a Last-Modified")
        .to_owned();

    let head = client.send(Method::HEAD, path, &[], None).expect(200);
    assert!(head.body.is_empty(), "{path}");
    for name in [
        "content-type",
        "content-length",
        "etag",
        "last-modified",
        "accept-ranges",
    ] {
        assert_eq!(head.header(name), whole.header(name), "{path}: {name}");
    }
    assert_eq!(
        head.header("content-length"),
        Some(length.to_string().as_str())
    );

    let last = length - 1;
    for (range, first, last) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=0-43".to_owned(), 0, 43),
        ("bytes=100-1099".to_owned(), 100, 1_099),
        ("bytes=1000-".to_owned(), 1_000, last),
        ("bytes=-100".to_owned(), length - 100, last),
        (format!("bytes=100-{}", length + 999), 100, last),
        (format!("bytes=-{}", length + 999), 0, last),
    ] {
        let part = get(client, path, &[("Range", &range)]).expect(206);
        assert!(part.body == whole.body[first..=last], "{path}: {range}");
        let said = format!("bytes {first}-{last}/{length}");
        assert_eq!(
            part.header("content-range"),
            Some(said.as_str()),
            "{path}: {range}"
        );
        assert_eq!(part.header("etag"), Some(tag.as_str()));
    }
    let beyond = get(client, path, &[("Range", &format!("bytes={length}-"))]).expect(416);
    assert_eq!(
        beyond.header("content-range"),
        Some(format!("bytes */{length}").as_str())
    );
    // RFC 9110 §14.2: what is no range is ignored; several may be answered whole.
    for range in ["bytes=5-1", "bytes=x-y", "lines=1-2"] {
        assert!(
            get(client, path, &[("Range", range)]).expect(200).body == whole.body,
            "{range}"
        );
    }
    let several = get(client, path, &[("Range", "bytes=0-1,4-5")]);
    assert!(matches!(several.status, 200 | 206), "{}", several.status);
    let same = [("Range", "bytes=0-9"), ("If-Range", tag.as_str())];
    assert_eq!(get(client, path, &same).expect(206).body.len(), 10);
    let other = [("Range", "bytes=0-9"), ("If-Range", "\"other\"")];
    assert_eq!(get(client, path, &other).expect(200).body.len(), length);

    for condition in [
        tag.clone(),
        format!("\"other\", {tag}"),
        format!("W/{tag}"),
        "*".to_owned(),
    ] {
        let reply = get(client, path, &[("If-None-Match", &condition)]).expect(304);
        assert!(reply.body.is_empty());
        assert_eq!(reply.header("etag"), Some(tag.as_str()), "{condition}");
    }
    get(client, path, &[("If-None-Match", "\"other\"")]).expect(200);
    get(client, path, &[("If-Modified-Since", &modified)]).expect(304);
    get(
        client,
        path,
        &[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")],
    )
    .expect(200);
}

fn the_channels_asked_for_are_served(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let [dual, mono] = record(client, 1);
    let path = client.old_path(&format!("/Recordings/{}", dual.sid));
    let mixed = client
        .get(&format!("{path}?RequestedChannels=1"))
        .expect(200);
    let wav = client.wav(&dual.sid);
    let [left, right] = wav.dual();
    let sum: Vec<i16> = left
        .iter()
        .zip(right)
        .map(|(one, two)| one.saturating_add(*two))
        .collect();
    assert!(
        Wav::read(&mixed.body).mono() == sum,
        "a downmix is the saturated sum"
    );
    let both = client
        .get(&format!("{path}?RequestedChannels=2"))
        .expect(200);
    assert!(
        Wav::read(&both.body) == wav,
        "two of two is the file as it is"
    );
    let mixed = client
        .get(&format!("{path}.mp3?RequestedChannels=1"))
        .expect(200);
    assert_eq!(mixed.body[3] >> 6, 3, "the MP3 of one channel is mono");

    let path = client.old_path(&format!("/Recordings/{}", mono.sid));
    for query in [
        "RequestedChannels=2",
        "RequestedChannels=0",
        "RequestedChannels=both",
    ] {
        let reply = client.get(&format!("{path}?{query}")).expect(400);
        assert!(
            reply.text().contains("RequestedChannels"),
            "{}",
            reply.text()
        );
    }
}

fn a_download_outlives_its_recording(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let [dual, _] = record(client, 8);
    let path = client.old_path(&format!("/Recordings/{}", dual.sid));
    let whole = client.get(&path).expect(200).body;
    assert!(
        whole.len() > 250_000,
        "more than the sockets between can hold"
    );

    let mut slow = slow_download(client.base(), &path);
    let mut body = vec![0; 1_000];
    slow.read_exact(&mut body).expect("it has begun");
    client.delete(&dual.sid).expect(204);
    for extension in ["", ".wav", ".mp3", ".xml"] {
        client.get_public(&format!("{path}{extension}")).expect(404);
    }
    assert_eq!(client.recording_status(&dual.sid), 404);
    slow.read_to_end(&mut body).expect("it goes on");
    assert!(body == whole, "{} of {} bytes", body.len(), whole.len());
    let verify = daemon.command(&["verify"]);
    assert!(
        verify.status.success(),
        "{}{}",
        verify.text(),
        verify.stderr
    );
}

/// A download over a connection that takes a few kilobytes at a time, read up to its body.
fn slow_download(base: &str, path: &str) -> TcpStream {
    let address: SocketAddr = base
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("sockets can be made");
    socket
        .set_recv_buffer_size(4_096)
        .expect("buffers can be small");
    socket.connect(&address.into()).expect("the daemon listens");
    let mut stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout can be set");
    let request = format!("GET {path} HTTP/1.1\r\nHost: reeld\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .expect("it takes a request");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}
