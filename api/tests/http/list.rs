//! The list of recordings: the seed's words, 2010's envelope, pages, filters, credentials.

use reeld_model::Channels;

use crate::harness::{AC, CA, House, OTHER_AC, SEED_MS, credentials, new, sid, sound};

const FIRST: &str = "RE41331862605f3d662488fdafda2e175f";
const SECOND: &str = "RE50358f2565ad3c542e004161c3aecfd2";
const DAY_MS: i64 = 86_400_000;

/// The seed's two recordings, 123 s and 45 s of silence.
fn seed_house() -> House {
    let house = House::new();
    house.recording(
        SECOND,
        SEED_MS - 5_000,
        Channels::Mono,
        &vec![0; 45 * 8_000],
    );
    house.recording(FIRST, SEED_MS, Channels::Mono, &vec![0; 123 * 8_000]);
    house
}

#[test]
fn the_2008_list_is_the_seeds() {
    let house = seed_house();
    let answer = house.get("2008/Recordings");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/xml"));
    let uri = format!("/2008-08-01/Accounts/{AC}/Recordings?num=50&amp;page=0");
    let expected = format!(
        "<TwilioResponse><Recordings page=\"0\" numpages=\"1\" pagesize=\"50\" total=\"2\" \
         start=\"0\" end=\"1\" uri=\"{uri}\" firstpageuri=\"{uri}\" previouspageuri=\"\" \
         nextpageuri=\"\" lastpageuri=\"{uri}\">\
         <Recording><Sid>{FIRST}</Sid><AccountSid>{AC}</AccountSid><CallSid>{CA}</CallSid>\
         <Duration>123</Duration><DateCreated>Tue, 01 Apr 2008 01:07:15 -0400</DateCreated>\
         <DateUpdated>Tue, 01 Apr 2008 01:07:15 -0400</DateUpdated></Recording>\
         <Recording><Sid>{SECOND}</Sid><AccountSid>{AC}</AccountSid><CallSid>{CA}</CallSid>\
         <Duration>45</Duration><DateCreated>Tue, 01 Apr 2008 01:07:10 -0400</DateCreated>\
         <DateUpdated>Tue, 01 Apr 2008 01:07:10 -0400</DateUpdated></Recording>\
         </Recordings></TwilioResponse>"
    );
    assert_eq!(answer.text(), expected);
}

#[test]
fn the_2010_list_has_one_key_that_is_not_about_paging() {
    let house = seed_house();
    let list = house.get("2010/Recordings.json?PageSize=1").json();
    let paging = [
        "end",
        "first_page_uri",
        "next_page_uri",
        "last_page_uri",
        "page",
        "page_size",
        "previous_page_uri",
        "total",
        "num_pages",
        "start",
        "uri",
    ];
    let others: Vec<&String> = list
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| !paging.contains(&key.as_str()))
        .collect();
    assert_eq!(others, ["recordings"]);
    assert_eq!(list["recordings"][0]["sid"], FIRST);
    assert_eq!(list["previous_page_uri"], serde_json::Value::Null);
    let next = list["next_page_uri"].as_str().unwrap();
    assert!(next.starts_with(&format!("/2010-04-01/Accounts/{AC}/Recordings.json?")));
    let page = house.get(next).json();
    assert_eq!(page["recordings"][0]["sid"], SECOND);
    assert_eq!(page["next_page_uri"], serde_json::Value::Null);
    assert_eq!(page["page"], 1);
}

#[test]
fn a_walk_along_next_pages_sees_each_once_and_keeps_the_filter() {
    let house = House::new();
    for n in 0..7 {
        let created_ms = SEED_MS + i64::from(n) * 1_000;
        house.recording(&sid(n), created_ms, Channels::Mono, &sound(80));
    }
    house.recording(&sid(99), SEED_MS - DAY_MS, Channels::Mono, &sound(80));
    let mut seen = Vec::new();
    let mut path = "2008/Recordings?DateCreated>=2008-04-01&num=3".to_owned();
    while !path.is_empty() {
        let answer = house.get(&path);
        let text = answer.text();
        assert!(text.contains("total=\"7\" "), "{text}");
        let sids = text.split("<Sid>").skip(1);
        seen.extend(sids.map(|part| part.split('<').next().unwrap().to_owned()));
        let next = text.split("nextpageuri=\"").nth(1).unwrap();
        path = next.split('"').next().unwrap().replace("&amp;", "&");
    }
    let expected: Vec<String> = (0..7).rev().map(sid).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_walk_in_2010_is_whole_while_recordings_come_and_go() {
    for list in ["2010/Recordings", &format!("2010/Calls/{CA}/Recordings")] {
        let house = House::new();
        let make = |n: u8| {
            // Two of each instant, so that Sids decide too.
            let created_ms = SEED_MS + i64::from(n / 2) * 1_000;
            house.recording(&sid(n), created_ms, Channels::Mono, &sound(80));
        };
        (0..12).for_each(make);
        let sids = |page: &serde_json::Value| -> Vec<String> {
            let items = page["recordings"].as_array().unwrap();
            let sid = |item: &serde_json::Value| item["sid"].as_str().unwrap().to_owned();
            items.iter().map(sid).collect()
        };
        // Newest first, and of one instant the lower Sid first.
        let order = [10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1].map(sid);
        let first = house
            .get(&format!(
                "{list}.json?PageSize=3&DateCreated%3E=2008-04-01T05:07:15Z"
            ))
            .json();
        assert_eq!(sids(&first), order[..3]);
        // The page's last one goes, with one that was seen and one that was not; three come, so
        // that no page is where its number says.
        for n in [8, 10, 7] {
            assert_eq!(
                house
                    .delete(&format!("2010/Recordings/{}.json", sid(n)))
                    .status,
                204
            );
        }
        [20, 21, 22].into_iter().for_each(make);
        let second = house.get(first["next_page_uri"].as_str().unwrap()).json();
        assert_eq!(sids(&second), [sid(9), sid(6), sid(4)]);
        assert_eq!(second["page"], 1);
        assert_eq!((&second["start"], &second["end"]), (&4.into(), &6.into()));
        assert_eq!(second["total"], 12);
        assert_eq!(house.get(second["uri"].as_str().unwrap()).json(), second);
        let back = house
            .get(second["previous_page_uri"].as_str().unwrap())
            .json();
        assert_eq!(sids(&back), [sid(20), sid(21), sid(11)]);
        let newest = house
            .get(back["previous_page_uri"].as_str().unwrap())
            .json();
        assert_eq!(sids(&newest), [sid(22)]);
        assert_eq!(newest["previous_page_uri"], serde_json::Value::Null);
        let mut seen = sids(&second);
        let mut page = second;
        while let Some(next) = page["next_page_uri"].as_str() {
            page = house.get(next).json();
            seen.extend(sids(&page));
        }
        assert_eq!(seen, [9, 6, 4, 5, 2, 3, 0, 1].map(sid));
    }
}

#[test]
fn filters_by_day_call_and_what_matches_nothing() {
    let house = House::new();
    // 2009-07-03 to -08, at 00:00 in the house's zone, -0400.
    let midnight_ms = 1_246_593_600_000;
    for n in 0..6 {
        let created_ms = midnight_ms + i64::from(n) * DAY_MS;
        house.recording(&sid(n), created_ms, Channels::Mono, &sound(80));
    }
    let listed = |query: &str| {
        let answer = house.get(&format!("2008/Recordings?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let mut days: Vec<u8> = (0..6)
            .filter(|n| answer.text().contains(&sid(*n)))
            .map(|n| n + 3)
            .collect();
        days.sort_unstable();
        days
    };
    assert_eq!(listed("DateCreated=2009-07-06"), [6]);
    assert_eq!(listed("DateCreated>=2009-07-06"), [6, 7, 8]);
    assert_eq!(listed("DateCreated<=2009-07-06"), [3, 4, 5]);
    assert_eq!(
        listed("DateCreated>=2009-07-04&DateCreated<=2009-07-06"),
        [4, 5]
    );
    assert_eq!(
        listed("DateCreated%3E=2009-07-04&DateCreated%3C=2009-07-06"),
        [4, 5]
    );
    assert_eq!(listed(&format!("CallSid={CA}")).len(), 6);
    assert_eq!(listed("CallSid=CA00000000000000000000000000000000"), [0; 0]);
    assert_eq!(
        listed("ConferenceSid=CFcd420fcb3c4b86e360ea0cc27ebc8698"),
        [0; 0]
    );
    assert_eq!(listed("page=99"), [0; 0]);
    assert_eq!(listed("page=18446744073709551615"), [0; 0]);
    assert_eq!(listed("page=99999999999999999999"), [0; 0]);
    assert_eq!(listed("num=2"), [7, 8]);
    let of_call = house.get(&format!("2008/Calls/{CA}/Recordings?num=1"));
    assert!(of_call.text().contains("total=\"6\""));
}

#[test]
fn bad_values_are_named_in_the_lists_face() {
    let house = House::new();
    for (query, code, words) in [
        ("DateCreated=2009-02-30", 20422, "DateCreated: "),
        (
            "DateCreated>2009-07-06",
            20001,
            "DateCreated&gt;2009-07-06: ",
        ),
        (
            "DateCreatedAfter=2009-07-06",
            20001,
            "did you mean DateCreated",
        ),
        ("PageSize=1001", 20007, "PageSize: "),
        ("num=0", 20422, "num: "),
    ] {
        let answer = house.get(&format!("2008/Recordings?{query}"));
        let (status, found, message) = answer.fault();
        assert_eq!((status, found), (400, Some(code)), "{query}");
        assert!(message.contains(words), "{message}");
        let json = house.get(&format!("2010/Recordings.json?{query}")).json();
        assert_eq!(json["code"], code);
        assert_eq!(json["status"], 400);
        assert!(
            json["more_info"]
                .as_str()
                .unwrap()
                .ends_with(&code.to_string())
        );
    }
}

#[test]
fn the_list_needs_its_own_accounts_credentials() {
    let house = seed_house();
    let path = format!("/2008-08-01/Accounts/{AC}/Recordings");
    let answer = house.ask("GET", &path, "", "");
    assert_eq!(answer.fault().0, 401);
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic realm=")
    );
    let answer = house.ask("GET", &path, &credentials(AC, "wrong"), "");
    assert_eq!(answer.status, 401);
    let answer = house.ask("GET", &path, &credentials(OTHER_AC, "a-token"), "");
    assert_eq!(answer.fault().1, Some(20404));
    let own = format!("/2008-08-01/Accounts/{OTHER_AC}/Recordings");
    let answer = house.ask("GET", &own, &credentials(OTHER_AC, "a-token"), "");
    assert!(answer.text().contains("total=\"0\""), "{}", answer.text());
    assert!(
        answer
            .text()
            .ends_with("lastpageuri=\"\"/></TwilioResponse>")
    );
}

#[test]
fn unfinished_ones_are_listed_in_2010_alone() {
    let house = House::new();
    house
        .store
        .begin(new(&sid(1), SEED_MS, Channels::Mono))
        .unwrap();
    assert!(house.get("2008/Recordings").text().contains("total=\"0\""));
    let list = house.get("2010/Recordings.json").json();
    assert_eq!(list["recordings"][0]["status"], "processing");
    assert_eq!(list["recordings"][0]["duration"], serde_json::Value::Null);
}
