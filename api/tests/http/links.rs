//! Signed links and API keys: who is let in by them, to what, and until when.

use std::time::Duration;

use reeld_api::MediaAuth;
use reeld_model::Channels;
use reeld_store::{Link, Reach};
use secrecy::ExposeSecret;

use crate::harness::{
    AC, Answer, CA, House, OTHER_AC, SEED_MS, account, credentials, full, sid, sound,
};

const NOW_S: u64 = SEED_MS as u64 / 1_000;

fn house() -> House {
    let house = House::with(|settings| settings.media_auth = MediaAuth::Required);
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(8_000));
    house
}

/// The query of a link to the recording, an hour long.
fn query(house: &House, n: u8, reach: Reach) -> String {
    let link = Link {
        account: account(),
        sid: sid(n).parse().unwrap(),
        reach,
        expires_s: NOW_S + 3_600,
    };
    house.store.signed_query(&link).unwrap()
}

fn ask(house: &House, method: &str, path: &str, headers: &str) -> Answer {
    house.ask(method, &full(path), headers, "")
}

#[test]
fn one_link_opens_each_format_of_the_sound_and_nothing_else() {
    let house = house();
    let link = query(&house, 1, Reach::Sound);
    for version in ["2008", "2010"] {
        for resource in ["Recordings".to_owned(), format!("Calls/{CA}/Recordings")] {
            for extension in ["", ".wav", ".mp3", ".opus", ".peaks.json"] {
                let path = format!("{version}/{resource}/{}{extension}", sid(1));
                assert_eq!(house.get_public(&path).status, 401, "{path}");
                let linked = house.get_public(&format!("{path}?{link}"));
                assert_eq!(linked.status, 200, "{path}");
                assert!(linked.body == house.get(&path).body, "{path}");
                let head = ask(&house, "HEAD", &format!("{path}?{link}"), "");
                assert_eq!(head.status, 200, "HEAD {path}");
            }
            for extension in [".json", ".csv", ".html", ".xml"] {
                let path = format!("{version}/{resource}/{}{extension}?{link}", sid(1));
                assert_eq!(house.get_public(&path).status, 403, "{path}");
            }
        }
    }
    let path = format!("2010/Recordings/{}.opus?{link}", sid(1));
    let part = ask(&house, "GET", &path, "Range: bytes=28-35\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &b"OpusHead"[..]));
    let both = format!("{path}&RequestedChannels=2");
    assert_eq!(
        house.get_public(&both).status,
        400,
        "its other parameters are read"
    );
    assert_eq!(
        house
            .post(&format!("2010/Recordings/{}?{link}", sid(1)), "")
            .status,
        405
    );
    assert_eq!(
        ask(&house, "DELETE", &path, "").status,
        401,
        "a link is for reading"
    );
    assert_eq!(
        house
            .get_public(&format!("2010/Recordings.json?{link}"))
            .status,
        401
    );
}

#[test]
fn a_link_to_metadata_opens_metadata() {
    let house = house();
    let link = query(&house, 1, Reach::Metadata);
    for path in [
        "2010/Recordings/{}.json",
        "2010/Recordings/{}.xml",
        "2008/Recordings/{}.xml",
    ] {
        let path = format!("{}?{link}", path.replace("{}", &sid(1)));
        assert_eq!(house.get_public(&path).status, 200, "{path}");
    }
    for extension in ["", ".mp3", ".peaks.json"] {
        let path = format!("2010/Recordings/{}{extension}?{link}", sid(1));
        assert_eq!(house.get_public(&path).status, 403, "{path}");
    }
}

#[test]
fn a_wrong_link_is_403_before_anything_is_looked_up_and_counts() {
    let house = house();
    let link = query(&house, 1, Reach::Sound);
    let expires = NOW_S + 3_600;
    let signature = link.split_once("signature=").unwrap().1;
    let path = |n: u8| format!("2010/Recordings/{}.wav", sid(n));
    for (path, query) in [
        (
            path(1),
            format!("expires={}&signature={signature}", expires + 1),
        ),
        (
            path(1),
            format!("expires={expires}&signature={}", "0".repeat(32)),
        ),
        (path(1), format!("signature={signature}")),
        (path(1), format!("expires=soon&signature={signature}")),
        (path(1), format!("expires={expires}&signature=")),
        // Another's, one that is not there, and another account's.
        (path(2), link.clone()),
        (
            format!("/2010-04-01/Accounts/{OTHER_AC}/Recordings/{}.wav", sid(1)),
            link.clone(),
        ),
    ] {
        let answer = house.get_public(&format!("{path}?{query}"));
        let (status, code, message) = answer.fault();
        assert_eq!((status, code), (403, Some(20006)), "{path}?{query}");
        assert_eq!(message, "The link is not right");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    let twice = format!("{}?{link}&signature={}", path(1), "0".repeat(32));
    assert_eq!(house.get_public(&twice).status, 400);
    // A right one to what is not there, or is there no more.
    let gone = format!("{}?{}", path(9), query(&house, 9, Reach::Sound));
    assert_eq!(house.get_public(&gone).status, 404);
    assert_eq!(house.get_public(&format!("{}?{link}", path(1))).status, 200);
    // Seven were wrong; 60 may be.
    let wrong = format!("{}?expires=1&signature=0", path(1));
    for n in 8..=60 {
        assert_eq!(house.get_public(&wrong).status, 403, "{n}");
    }
    assert_eq!(house.get_public(&wrong).status, 429);
    assert_eq!(house.get_public(&format!("{}?{link}", path(1))).status, 429);
    assert_eq!(
        house.get(&path(1)).status,
        429,
        "they are counted with the rest"
    );
    house.set_clock(SEED_MS + 2_000);
    assert_eq!(house.get(&path(1)).status, 200);
    assert_eq!(house.delete(&path(1)).status, 204);
    assert_eq!(house.get_public(&format!("{}?{link}", path(1))).status, 404);
}

#[test]
fn a_link_ends_at_its_second_and_costs_nobody_a_lockout() {
    let house = house();
    let path = format!(
        "2010/Recordings/{}.mp3?{}",
        sid(1),
        query(&house, 1, Reach::Sound)
    );
    house.set_clock(SEED_MS + 3_599_999);
    assert_eq!(house.get_public(&path).status, 200);
    house.set_clock(SEED_MS + 3_600_000);
    for _ in 0..70 {
        let (status, code, message) = house.get_public(&path).fault();
        assert_eq!((status, code), (403, Some(20006)));
        assert_eq!(message, "The link has expired");
    }
    // Who has credentials needs no link.
    assert_eq!(house.get(&path).status, 200);
    let headers = credentials(AC, "wrong");
    assert_eq!(ask(&house, "GET", &path, &headers).status, 401);
}

#[test]
fn a_link_that_is_wrong_is_refused_where_media_are_public_too() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800));
    let path = format!("2008/Recordings/{}", sid(1));
    assert_eq!(house.get_public(&path).status, 200);
    let wrong = format!("{path}?expires=9999999999&signature=00");
    assert_eq!(house.get_public(&wrong).status, 403);
    // No link, but a parameter that some player has added.
    assert_eq!(house.get_public(&format!("{path}?expires=5")).status, 200);
}

#[test]
fn links_are_made_for_who_has_credentials() {
    let house = house();
    let links = format!("2010/Recordings/{}/Links", sid(1));
    let made = house.post(&format!("{links}.json"), "Format=mp3&ExpiresIn=60");
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(made["recording_sid"], sid(1));
    assert_eq!(made["date_expires"], "Tue, 01 Apr 2008 05:08:15 +0000");
    let url = made["url"].as_str().unwrap();
    let path = url.strip_prefix("http://api.test").unwrap();
    let beginning = format!(
        "/2010-04-01/Accounts/{AC}/Recordings/{}.mp3?expires={}&",
        sid(1),
        NOW_S + 60
    );
    assert!(path.starts_with(&beginning), "{url}");
    assert_eq!(
        house.get_public(path).header("content-type"),
        Some("audio/mpeg")
    );
    for (form, extension, status) in [
        ("", "", 200),
        ("Format=wav", ".wav", 200),
        ("Format=opus", ".opus", 200),
        ("Format=peaks.json", ".peaks.json", 200),
        ("Format=json", ".json", 200),
        ("Format=xml", ".xml", 200),
    ] {
        let made = house.post(&format!("{links}.json"), form).json();
        let url = made["url"].as_str().unwrap().to_owned();
        let path = url.strip_prefix("http://api.test").unwrap();
        let (before, query) = path.split_once('?').unwrap();
        assert!(before.ends_with(&format!("{}{extension}", sid(1))), "{url}");
        assert!(
            query.starts_with(&format!("expires={}&", NOW_S + 3_600)),
            "{url}"
        );
        assert_eq!(house.get_public(path).status, status, "{url}");
    }
    for (form, name) in [
        ("Format=flac", "Format"),
        ("ExpiresIn=0", "ExpiresIn"),
        ("ExpiresIn=604801", "ExpiresIn"),
        ("Expires=60", "Expires"),
    ] {
        let fault = house.post(&links, form).fault();
        assert!(
            fault.0 == 400 && fault.2.starts_with(name),
            "{form}: {fault:?}"
        );
    }
    let old = house.post(&format!("2008/Recordings/{}/Links", sid(1)), "Format=mp3");
    assert!(
        old.text().contains("<Link><RecordingSid>"),
        "{}",
        old.text()
    );
    assert_eq!(house.post(&links.replace(&sid(1), &sid(9)), "").status, 404);
    assert_eq!(house.get(&links).status, 405);
    assert_eq!(ask(&house, "POST", &links, "").status, 401);
    let elsewhere = links.replace("2010/", &format!("/2010-04-01/Accounts/{OTHER_AC}/"));
    assert_eq!(house.post(&elsewhere, "").status, 404);
}

#[test]
fn media_urls_are_links_where_they_are_to_be() {
    let house = House::with(|settings| {
        settings.media_auth = MediaAuth::Required;
        settings.public_url = Some("https://rec.example.org/here".to_owned());
        settings.link_lifetime = Some(Duration::from_secs(3_600));
    });
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800));
    let instance = house.get(&format!("2010/Recordings/{}.json", sid(1)));
    let list = house.get("2010/Recordings.json").json();
    let url = instance.json()["media_url"].as_str().unwrap().to_owned();
    assert_eq!(list["recordings"][0]["media_url"], url);
    let path = url.strip_prefix("https://rec.example.org/here").unwrap();
    assert_eq!(
        house.get_public(path).header("content-type"),
        Some("audio/x-wav")
    );
    // As applications written for Twilio make a file's name of it.
    for (extension, content_type) in [
        (".mp3", "audio/mpeg"),
        (".wav", "audio/x-wav"),
        (".opus", "audio/ogg; codecs=opus"),
    ] {
        let answer = house.get_public(&format!("{path}{extension}"));
        assert_eq!(answer.header("content-type"), Some(content_type));
    }
    for appended in [".json", ".peaks.json", ".xml"] {
        assert_eq!(
            house.get_public(&format!("{path}{appended}")).status,
            403,
            "{appended}"
        );
    }
    // The same for a while, so that a copy stays good; then another.
    let etag = instance.header("etag").unwrap().to_owned();
    let again = |ms| {
        house.set_clock(SEED_MS + ms);
        let answer = house.get(&format!("2010/Recordings/{}.json", sid(1)));
        answer.header("etag").unwrap() == etag
    };
    assert!(again(1_000));
    assert!(!again(3_600_000));
}

#[test]
fn a_key_is_as_good_as_its_accounts_token_until_it_is_taken_away() {
    let house = house();
    let (key, secret) = house.store.add_key(account(), "page").unwrap().unwrap();
    let secret = secret.expose_secret();
    let list = full("2010/Recordings.json");
    let ask = |user: &str, secret: &str| house.ask("GET", &list, &credentials(user, secret), "");
    assert_eq!(ask(&key.to_string(), secret).status, 200);
    let made = house.ask(
        "POST",
        &full(&format!("2010/Calls/{CA}/Recordings.json")),
        &credentials(&key.to_string(), secret),
        "",
    );
    assert_eq!(made.status, 201, "{}", made.text());
    // Another account's path is not there for it.
    let other = list.replace(AC, OTHER_AC);
    let answer = house.ask("GET", &other, &credentials(&key.to_string(), secret), "");
    assert_eq!(answer.status, 404);
    // The secret is the key's, not the account's, nor the other way round.
    for (user, secret) in [
        (key.to_string(), "a-token"),
        (AC.to_owned(), secret),
        (key.to_string(), ""),
        ("SK00000000000000000000000000000000".to_owned(), secret),
    ] {
        let answer = ask(&user, secret);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (401, &20003.into()),
            "{user}"
        );
        assert!(answer.header("www-authenticate").is_some());
    }
    assert!(house.store.remove_key(key).unwrap());
    assert_eq!(ask(&key.to_string(), secret).status, 401);
}

#[test]
fn wrong_secrets_of_keys_run_out_as_wrong_tokens_do() {
    let house = house();
    let (key, secret) = house.store.add_key(account(), "").unwrap().unwrap();
    let list = full("2010/Recordings.json");
    let ask = |secret: &str| {
        let headers = credentials(&key.to_string(), secret);
        house.ask("GET", &list, &headers, "").status
    };
    for _ in 0..60 {
        assert_eq!(ask("wrong"), 401);
    }
    assert_eq!(ask("wrong"), 429);
    assert_eq!(ask(secret.expose_secret()), 429);
}
