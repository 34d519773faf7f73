//! The seed document, example by example, with curl as the client. Recordings of its dates do not
//! exist, so its date examples are also asked about the day of recordings made now.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{Client, Daemon, Reply, Sender, Setup, Tape, Voice, peer, script::Law};
use roxmltree::{Document, Node};

/// The properties of a Recording, in the order of the document's examples.
const PROPERTIES: [&str; 6] = [
    "Sid",
    "AccountSid",
    "CallSid",
    "Duration",
    "DateCreated",
    "DateUpdated",
];

/// A daemon with three recordings of one second, one call each; their Sids, newest first.
fn with_three() -> (Daemon, Vec<String>) {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let started: Vec<_> = (1..=3)
        .map(|number| client.start(&call_sid(number), &[("RecordingTrack", "inbound")]))
        .collect();
    let parts = started.iter().zip(1..).map(|(started, seed)| Part {
        sender: Sender::new(),
        to: started.inbound(),
        script: Voice::new(seed).say(Tape::noise(Law::Mu, seed, 8_000).codes()),
    });
    Playing::start(parts.collect()).finish();
    for started in &started {
        client.stop(started);
        client.wait_completed(&started.sid);
    }
    (
        daemon,
        started
            .into_iter()
            .rev()
            .map(|started| started.sid)
            .collect(),
    )
}

/// The list's attributes and its recordings' Sids.
fn read_list(reply: &Reply) -> (Vec<(String, String)>, Vec<String>) {
    let text = reply.text();
    let document = Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(document.root_element().tag_name().name(), "TwilioResponse");
    let list = document
        .root_element()
        .first_element_child()
        .expect("a list");
    assert_eq!(list.tag_name().name(), "Recordings");
    let attributes = list
        .attributes()
        .map(|one| (one.name().to_owned(), one.value().to_owned()))
        .collect();
    let recordings = list.children().filter(Node::is_element).map(|recording| {
        assert_eq!(recording.tag_name().name(), "Recording");
        properties(recording)[0].1.clone()
    });
    (attributes, recordings.collect())
}

/// A Recording's properties; they are the document's, in its order.
fn properties(recording: Node<'_, '_>) -> Vec<(String, String)> {
    let found: Vec<(String, String)> = recording
        .children()
        .filter(Node::is_element)
        .map(|one| {
            (
                one.tag_name().name().to_owned(),
                one.text().unwrap_or("").to_owned(),
            )
        })
        .collect();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, PROPERTIES);
    found
}

fn attribute<'a>(attributes: &'a [(String, String)], name: &str) -> &'a str {
    let found = attributes.iter().find(|(known, _)| known == name);
    found.map_or_else(|| panic!("no {name} in {attributes:?}"), |(_, value)| value)
}

fn list(client: &Client, query: &str) -> (Vec<(String, String)>, Vec<String>) {
    read_list(
        &client
            .curl_signed(&[], &client.old_path(&format!("/Recordings{query}")))
            .expect(200),
    )
}

/// `YYYY-MM-DD` in UTC, by coreutils, of any date that they read.
fn day(date: &str) -> String {
    let args = ["-u", "+%F", "-d", date];
    peer::run("date", args, &[], Duration::from_secs(10))
        .success()
        .text()
        .trim()
        .to_owned()
}

/// The error's status and message, in the form that 2008's clients read.
fn rest_exception(reply: &Reply, status: u16) -> String {
    assert_eq!(reply.status, status, "{}", reply.text());
    let text = reply.text();
    let document = Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let child = |node: Node<'_, '_>, name: &str| {
        let found = node.children().find(|child| child.has_tag_name(name));
        found.unwrap_or_else(|| panic!("no {name} in {text}")).id()
    };
    let root = document.root_element();
    assert!(root.has_tag_name("TwilioResponse"), "{text}");
    let exception = document
        .get_node(child(root, "RestException"))
        .expect("it was found");
    let field = |name| {
        document
            .get_node(child(exception, name))
            .and_then(|node| node.text())
    };
    assert_eq!(field("Status"), Some(status.to_string().as_str()), "{text}");
    field("Message").unwrap_or_default().to_owned()
}

#[test]
fn the_list_is_protected_paged_and_newest_first() {
    let (daemon, sids) = with_three();
    let client = daemon.client();
    let path = client.old_path("/Recordings");

    let refused = client.curl(&[], &path);
    rest_exception(&refused, 401);
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Basic realm="), "{challenge}");
    let wrong = format!("{}:{}", client.account(), "0".repeat(32));
    rest_exception(&client.curl(&["-u", &wrong], &path), 401);

    let reply = client.curl_signed(&[], &path).expect(200);
    assert!(
        reply
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/xml"))
    );
    let (attributes, found) = read_list(&reply);
    let expected = [
        ("page", "0"),
        ("numpages", "1"),
        ("pagesize", "50"),
        ("total", "3"),
        ("start", "0"),
        ("end", "2"),
    ];
    for (place, (name, value)) in expected.into_iter().enumerate() {
        assert_eq!(attributes[place], (name.to_owned(), value.to_owned()));
    }
    assert_eq!(found, sids);

    // Pages, and the links from one to the next.
    let (attributes, found) = list(client, "?num=2");
    assert_eq!(found, sids[..2]);
    assert_eq!(attribute(&attributes, "numpages"), "2");
    assert_eq!(attribute(&attributes, "previouspageuri"), "");
    let next = attribute(&attributes, "nextpageuri");
    let (attributes, found) = read_list(&client.curl_signed(&[], next).expect(200));
    assert_eq!(found, sids[2..]);
    for (name, value) in [
        ("page", "1"),
        ("start", "2"),
        ("end", "2"),
        ("nextpageuri", ""),
    ] {
        assert_eq!(attribute(&attributes, name), value, "{name}");
    }
    let previous = attribute(&attributes, "previouspageuri");
    assert_eq!(
        read_list(&client.curl_signed(&[], previous).expect(200)).1,
        sids[..2]
    );
    let (attributes, found) = list(client, "?num=2&Page=7");
    assert!(found.is_empty(), "a page past the end is empty");
    assert_eq!(attribute(&attributes, "total"), "3");

    // The call's own list, and the document's other spellings of the path.
    let (attributes, found) = list(client, &format!("?CallSid={}", call_sid(2)));
    assert_eq!(
        (attribute(&attributes, "total"), &found[..]),
        ("1", &sids[1..2])
    );
    let of_call = client.old_path(&format!("/Calls/{}/Recordings", call_sid(2)));
    assert_eq!(
        read_list(&client.curl_signed(&[], &of_call).expect(200)).1,
        sids[1..2]
    );
    let alias = path.replace("/Accounts/", "/Account/");
    assert_eq!(
        read_list(&client.curl_signed(&[], &alias).expect(200)).1,
        sids
    );
    assert_eq!(
        read_list(&client.curl_signed(&[], &format!("/{path}?")).expect(200)).1,
        sids
    );
}

#[test]
fn dates_filter_as_the_document_says() {
    let (daemon, sids) = with_three();
    let client = daemon.client();
    let none: &[String] = &[];

    // The document's own examples: nothing is that old, all is younger.
    assert_eq!(list(client, "?DateCreated=2009-07-06").1, none);
    assert_eq!(list(client, "?DateCreated>=2009-07-06").1, sids);
    assert_eq!(
        list(client, "?DateCreated>=2009-07-04&DateCreated<=2009-07-06").1,
        none
    );

    let created = client.recording(&sids[0])["date_created"]
        .as_str()
        .map(day)
        .expect("a date");
    let oldest = client.recording(&sids[2])["date_created"]
        .as_str()
        .map(day)
        .expect("a date");
    if oldest == created {
        let tomorrow = day(&format!("{created} + 1 day"));
        let yesterday = day(&format!("{created} - 1 day"));
        for (query, found) in [
            (format!("?DateCreated={created}"), &sids[..]),
            (format!("?DateCreated={yesterday}"), none),
            (format!("?DateCreated={tomorrow}"), none),
            (format!("?DateCreated>={created}"), &sids[..]),
            (format!("?DateCreated>={tomorrow}"), none),
            // "On or before midnight": the day itself is not in it.
            (format!("?DateCreated<={created}"), none),
            (format!("?DateCreated<={tomorrow}"), &sids[..]),
            (
                format!("?DateCreated>={created}&DateCreated<={tomorrow}"),
                &sids[..],
            ),
        ] {
            assert_eq!(list(client, &query).1, found, "{query}");
            let encoded = query.replace('<', "%3C").replace('>', "%3E");
            assert_eq!(list(client, &encoded).1, found, "{encoded}");
        }
    } else {
        eprintln!("skipped: midnight fell between the recordings");
    }

    // "Parameters are case-sensitive": another case is another name, and no filter is ignored.
    for (query, named) in [
        ("?datecreated=2009-07-06", "datecreated"),
        ("?DateCreatedAfter=2009-07-06", "DateCreatedAfter"),
        ("?DateCreated>2009-07-06", "DateCreated>2009-07-06"),
        ("?DateCreated=2009-02-29", "DateCreated"),
        (
            "?DateCreated>=2009-07-06&DateCreated<=2009-07-04",
            "DateCreated",
        ),
        ("?num=0", "num"),
        ("?num=many", "num"),
    ] {
        let reply = client.curl_signed(&[], &client.old_path(&format!("/Recordings{query}")));
        let message = rest_exception(&reply, 400);
        assert!(message.contains(named), "{query}: {message}");
    }
    let too_many = client.curl_signed(&[], &client.old_path("/Recordings?num=1001"));
    rest_exception(&too_many, 400);
    assert!(
        too_many.text().contains("<Code>20007</Code>"),
        "{}",
        too_many.text()
    );
}

#[test]
fn what_is_not_supported_is_405() {
    let (daemon, sids) = with_three();
    let client = daemon.client();
    let list_path = client.old_path("/Recordings");
    let instance = client.old_path(&format!("/Recordings/{}", sids[0]));
    for (path, methods, allowed) in [
        (
            &list_path,
            &["POST", "PUT", "DELETE"][..],
            &["GET", "HEAD"][..],
        ),
        (
            &instance,
            &["POST", "PUT"][..],
            &["GET", "HEAD", "DELETE"][..],
        ),
    ] {
        for method in methods {
            let reply = client.curl_signed(&["-X", method], path);
            rest_exception(&reply, 405);
            let allow = reply.header("allow").expect("an Allow header");
            let allow: Vec<&str> = allow.split(',').map(str::trim).collect();
            for method in allowed {
                assert!(allow.contains(method), "{method} in {allow:?}");
            }
            assert_eq!(allow.len(), allowed.len(), "{allow:?}");
        }
    }
    assert_eq!(list(client, "").1, sids, "and nothing was changed");
}

#[test]
fn an_instance_is_public_in_each_representation_until_it_is_deleted() {
    let (daemon, sids) = with_three();
    let client = daemon.client();
    let [first, second, third] = [&sids[0], &sids[1], &sids[2]];

    // With the document's "/Account/" and with "/Accounts/", with no credentials at all.
    for alias in ["Account", "Accounts"] {
        let stem = format!(
            "/2008-08-01/{alias}/{}/Recordings/{first}",
            client.account()
        );
        let plain = client.curl(&[], &stem).expect(200);
        let wav = client.curl(&[], &format!("{stem}.wav")).expect(200);
        for reply in [&plain, &wav] {
            assert_eq!(reply.header("content-type"), Some("audio/x-wav"));
            assert_eq!(&reply.body[..4], b"RIFF");
        }
        assert!(
            plain.body == wav.body,
            "with and without .wav it is the same file"
        );
        let mp3 = client.curl(&[], &format!("{stem}.mp3")).expect(200);
        assert_eq!(mp3.header("content-type"), Some("audio/mpeg"));
        assert_eq!(mp3.body[0], 0xff, "a frame's sync word");
        let xml = client.curl(&[], &format!("{stem}.xml")).expect(200);
        let text = xml.text();
        let document = Document::parse(&text).expect("well-formed XML");
        let recording = document
            .root_element()
            .first_element_child()
            .expect("a Recording");
        let found = properties(recording);
        assert_eq!(found[0].1, *first);
        assert_eq!(found[1].1, client.account());
        assert_eq!(found[2].1, call_sid(3));
        assert_eq!(found[3].1, "1");
        for (_, date) in &found[4..] {
            // "Tue, 01 Apr 2008 01:07:15 -0400"
            assert_eq!(date.len(), 31, "{date}");
            assert!(
                date.ends_with(" +0000"),
                "{date}: api.timezone is UTC by default"
            );
            assert!(!day(date).is_empty());
        }
    }
    // Metadata in any other form needs credentials.
    rest_exception(
        &client.curl(&[], &client.path(&format!("/Recordings/{first}.xml"))),
        401,
    );
    assert_eq!(
        client
            .curl(&[], &client.path(&format!("/Recordings/{first}.json")))
            .status,
        401
    );

    for stranger in [
        "RE00000000000000000000000000000000",
        "RE1",
        "../../etc/passwd",
        "RE%00",
    ] {
        for extension in ["", ".wav", ".mp3", ".xml"] {
            let path = client.old_path(&format!("/Recordings/{stranger}{extension}"));
            rest_exception(&client.curl(&[], &path), 404);
        }
    }

    let path = client.old_path(&format!("/Recordings/{first}"));
    rest_exception(&client.curl(&["-X", "DELETE"], &path), 401);
    client.curl(&[], &path).expect(200);
    let deleted = client.curl_signed(&["-X", "DELETE"], &path).expect(204);
    assert!(deleted.body.is_empty());
    for extension in ["", ".wav", ".mp3", ".xml"] {
        rest_exception(&client.curl(&[], &format!("{path}{extension}")), 404);
    }
    rest_exception(&client.curl_signed(&["-X", "DELETE"], &path), 404);
    // 2008's override of the method.
    let path = client.old_path(&format!("/Recordings/{second}?_method=DELETE"));
    assert!(
        client
            .curl_signed(&["-X", "POST", "-d", ""], &path)
            .expect(204)
            .body
            .is_empty()
    );
    let (attributes, found) = list(client, "");
    assert_eq!(
        (attribute(&attributes, "total"), found),
        ("1", vec![third.clone()])
    );
}
