//! One recording: its faces, who may see which, DELETE, and what is not supported.

use reeld_api::MediaAuth;
use reeld_model::Channels;

use crate::harness::{AC, CA, House, OTHER_AC, SEED_MS, credentials, full, new, sid, sound};

#[test]
fn the_2008_xml_is_the_seeds_and_public() {
    let house = House::new();
    let re = sid(1);
    house.recording(&re, SEED_MS, Channels::Mono, &vec![0; 15 * 8_000]);
    for path in [
        full(&format!("2008/Recordings/{re}.xml")),
        format!("//2008-08-01/Account/{AC}/Recordings/{re}.xml?"),
    ] {
        let answer = house.ask("GET", &path, "", "");
        assert_eq!(
            answer.text(),
            format!(
                "<TwilioResponse><Recording><Sid>{re}</Sid><AccountSid>{AC}</AccountSid>\
                 <CallSid>{CA}</CallSid><Duration>15</Duration>\
                 <DateCreated>Tue, 01 Apr 2008 01:07:15 -0400</DateCreated>\
                 <DateUpdated>Tue, 01 Apr 2008 01:07:15 -0400</DateUpdated>\
                 </Recording></TwilioResponse>"
            ),
            "{path}"
        );
    }
}

#[test]
fn the_2008_json_has_its_own_shape_and_needs_credentials() {
    let house = House::new();
    let re = sid(1);
    house.recording(&re, SEED_MS, Channels::Mono, &sound(12_345));
    assert_eq!(
        house
            .get_public(&format!("2008/Recordings/{re}.json"))
            .status,
        401
    );
    let json = house.get(&format!("2008/Recordings/{re}.json")).json();
    let recording = &json["TwilioResponse"]["Recording"];
    assert_eq!(recording["Sid"], re);
    assert_eq!(recording["Duration"], "2");
    assert_eq!(recording["duration_ms"], 1_543);
}

#[test]
fn the_2010_json_has_every_documented_field() {
    let house = House::new();
    let re = sid(1);
    house.recording(&re, SEED_MS, Channels::Dual, &sound(16_000));
    assert_eq!(
        house
            .get_public(&format!("2010/Recordings/{re}.json"))
            .status,
        401
    );
    assert_eq!(
        house
            .get_public(&format!("2010/Recordings/{re}.xml"))
            .status,
        401
    );
    let json = house.get(&format!("2010/Recordings/{re}.json")).json();
    let uri = format!("/2010-04-01/Accounts/{AC}/Recordings/{re}");
    let null = serde_json::Value::Null;
    for (key, value) in [
        ("account_sid", AC.into()),
        ("api_version", "2010-04-01".into()),
        ("call_sid", CA.into()),
        ("conference_sid", null.clone()),
        ("channels", 2.into()),
        ("date_created", "Tue, 01 Apr 2008 05:07:15 +0000".into()),
        ("date_updated", "Tue, 01 Apr 2008 05:07:15 +0000".into()),
        ("start_time", "Tue, 01 Apr 2008 05:07:15 +0000".into()),
        ("price", null.clone()),
        ("price_unit", null.clone()),
        ("duration", "1".into()),
        ("sid", re.clone().into()),
        ("source", "StartCallRecordingAPI".into()),
        ("status", "completed".into()),
        ("error_code", null.clone()),
        ("uri", format!("{uri}.json").into()),
        ("encryption_details", null.clone()),
        ("media_url", format!("http://api.test{uri}").into()),
        ("track", "both".into()),
        ("duration_ms", 1_000.into()),
        ("ended_by", "stopped".into()),
    ] {
        assert!(json.as_object().unwrap().contains_key(key), "{key}");
        assert_eq!(json[key], value, "{key}");
    }
    for name in ["add_on_results", "transcriptions"] {
        let link = json["subresource_uris"][name].as_str().unwrap();
        assert_eq!(
            house.get(link).json()[name],
            serde_json::json!([]),
            "{link}"
        );
    }
    let xml = house.get(&format!("2010/Recordings/{re}.xml"));
    assert!(
        xml.text().contains(&format!("<Uri>{uri}</Uri>")),
        "{}",
        xml.text()
    );
    let of_call = house
        .get(&format!("2010/Calls/{CA}/Recordings/{re}.json"))
        .json();
    assert_eq!(
        of_call["uri"],
        format!("/2010-04-01/Accounts/{AC}/Calls/{CA}/Recordings/{re}.json")
    );
}

#[test]
fn delete_is_204_once() {
    let house = House::new();
    for n in 1..=2 {
        house.recording(&sid(n), SEED_MS, Channels::Mono, &sound(800));
    }
    assert_eq!(
        house
            .ask(
                "DELETE",
                &full(&format!("2008/Recordings/{}", sid(1))),
                "",
                ""
            )
            .status,
        401
    );
    let answer = house.delete(&format!("2008/Recordings/{}", sid(1)));
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(
        house.delete(&format!("2008/Recordings/{}", sid(1))).status,
        404
    );
    assert_eq!(
        house
            .get_public(&format!("2008/Recordings/{}", sid(1)))
            .status,
        404
    );
    let answer = house.post(
        &format!("2010/Recordings/{}.json?_method=DELETE", sid(2)),
        "",
    );
    assert_eq!(answer.status, 204);
}

#[test]
fn what_the_seed_does_not_support_is_405() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800));
    for (method, path, allow) in [
        ("POST", "2008/Recordings".to_owned(), "GET, HEAD"),
        ("PUT", "2008/Recordings".to_owned(), "GET, HEAD"),
        ("DELETE", "2008/Recordings".to_owned(), "GET, HEAD"),
        (
            "POST",
            "2008/Recordings?_method=PUT".to_owned(),
            "GET, HEAD",
        ),
        (
            "POST",
            format!("2008/Recordings/{}", sid(1)),
            "GET, HEAD, DELETE",
        ),
        (
            "PUT",
            format!("2008/Recordings/{}", sid(1)),
            "GET, HEAD, DELETE",
        ),
        ("PATCH", format!("2010/Calls/{CA}"), "GET, HEAD, POST"),
    ] {
        let answer = house.ask(method, &full(&path), "", "");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        assert_eq!(answer.fault().0, 405, "{method} {path}");
    }
    assert_eq!(house.ask("DELETE", "/healthz", "", "").status, 405);
}

#[test]
fn what_is_not_there_is_404_in_the_paths_face() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800));
    for path in [
        format!("2008/Recordings/{}", sid(9)),
        "2008/Recordings/RE1".to_owned(),
        format!("2008/Recordings/{}.flac", sid(1)),
        format!("2008/Recordings/{}.opus", sid(9)),
        "/".to_owned(),
        format!("/2008-08-01/Accounts/{OTHER_AC}/Recordings/{}", sid(1)),
        format!(
            "2008/Calls/CA00000000000000000000000000000000/Recordings/{}.xml",
            sid(1)
        ),
    ] {
        let answer = house.get_public(&path);
        assert_eq!(
            (answer.fault().0, answer.fault().1),
            (404, Some(20404)),
            "{path}"
        );
    }
    let json = house
        .get(&format!("2010/Recordings/{}.json", sid(9)))
        .json();
    assert_eq!(json["code"], 20404);
    assert_eq!(
        json["message"],
        format!(
            "The requested resource /2010-04-01/Accounts/{AC}/Recordings/{}.json was not found",
            sid(9)
        )
    );
}

#[test]
fn unfinished_is_404_in_2008_and_processing_in_2010() {
    let house = House::new();
    let re = sid(1);
    house
        .store
        .begin(new(&re, SEED_MS, Channels::Mono))
        .unwrap();
    for path in ["", ".wav", ".mp3", ".xml", ".json"] {
        assert_eq!(
            house.get(&format!("2008/Recordings/{re}{path}")).status,
            404,
            "{path}"
        );
    }
    for path in ["", ".wav", ".mp3"] {
        assert_eq!(
            house.get(&format!("2010/Recordings/{re}{path}")).status,
            404,
            "{path}"
        );
    }
    let json = house.get(&format!("2010/Recordings/{re}.json")).json();
    assert_eq!(json["status"], "processing");
    let answer = house.delete(&format!("2010/Recordings/{re}.json"));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &20009.into())
    );
    assert_eq!(house.delete(&format!("2008/Recordings/{re}")).status, 404);
}

#[test]
fn media_auth_required_closes_what_is_public() {
    let house = House::with(|settings| settings.media_auth = MediaAuth::Required);
    let re = sid(1);
    house.recording(&re, SEED_MS, Channels::Mono, &sound(800));
    for path in ["", ".wav", ".mp3", ".xml"] {
        let path = format!("2008/Recordings/{re}{path}");
        assert_eq!(house.get_public(&path).status, 401, "{path}");
        assert_eq!(house.get(&path).status, 200, "{path}");
    }
}

#[test]
fn the_account_tells_whether_credentials_work() {
    let house = House::new();
    let path = format!("/2010-04-01/Accounts/{AC}.json");
    assert_eq!(house.ask("GET", &path, "", "").json()["code"], 20003);
    let json = house
        .ask("GET", &path, &credentials(AC, "a-token"), "")
        .json();
    assert_eq!(
        (&json["sid"], &json["status"]),
        (&AC.into(), &"active".into())
    );
    assert!(!json.to_string().contains("a-token"));
}

#[test]
fn the_metadata_of_a_deleted_recording_are_there_for_who_asks() {
    let house = House::new();
    let (re, other) = (sid(1), sid(2));
    house.recording(&re, SEED_MS, Channels::Mono, &sound(8_000));
    house.recording(&other, SEED_MS + 1, Channels::Mono, &sound(800));
    let before = house.get(&format!("2010/Recordings/{re}.json")).json();
    house.set_clock(SEED_MS + 5_000);
    assert_eq!(
        house.delete(&format!("2010/Recordings/{re}.json")).status,
        204
    );
    for list in ["2010/Recordings", &format!("2010/Calls/{CA}/Recordings")] {
        let instance = format!("{list}/{re}");
        for path in [
            ".json",
            ".json?IncludeSoftDeleted=false",
            ".wav?IncludeSoftDeleted=true",
            "?IncludeSoftDeleted=true",
            ".mp3",
        ] {
            let answer = house.get(&format!("{instance}{path}"));
            assert_eq!(answer.status, 404, "{path}");
        }
        let found = house
            .get(&format!("{instance}.json?IncludeSoftDeleted=true"))
            .json();
        assert_eq!(found["status"], "deleted");
        let updated = found["date_updated"].as_str().unwrap();
        assert_eq!(updated, "Tue, 01 Apr 2008 05:07:20 +0000");
        for field in ["sid", "duration", "date_created", "media_url", "tags"] {
            assert_eq!(found[field], before[field], "{field}");
        }
        assert_eq!(found["duration"], "1");
        let statuses = |query: &str| -> Vec<serde_json::Value> {
            let page = house.get(&format!("{list}.json?{query}")).json();
            let items = page["recordings"].as_array().unwrap();
            assert_eq!(page["total"], items.len());
            items.iter().map(|item| item["status"].clone()).collect()
        };
        assert_eq!(
            statuses("IncludeSoftDeleted=true"),
            ["completed", "deleted"]
        );
        assert_eq!(statuses("IncludeSoftDeleted=false"), ["completed"]);
        let second = format!("{list}.json?IncludeSoftDeleted=true&PageSize=1&Page=1");
        let second = house.get(&second).json();
        assert_eq!(second["recordings"][0]["sid"], re);
        let back = second["previous_page_uri"].as_str().unwrap();
        assert!(back.contains("IncludeSoftDeleted=true"), "{back}");
        assert_eq!(house.get(back).json()["recordings"][0]["sid"], other);
    }
    // 2008 knows none of it.
    for path in ["", ".xml", ".json"] {
        let path = format!("2008/Recordings/{re}{path}?IncludeSoftDeleted=true");
        assert_eq!(house.get(&path).status, 404);
    }
    let list = house.get("2008/Recordings?IncludeSoftDeleted=true");
    assert!(list.text().contains("total=\"1\""));
    // It is deleted, and stays so; another account's is not found.
    for query in ["", "?IncludeSoftDeleted=true"] {
        let path = format!("2010/Recordings/{re}.json{query}");
        let answer = house.delete(&path);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (404, &20404.into())
        );
    }
    let path = format!("/2010-04-01/Accounts/{OTHER_AC}/Recordings/{re}.json");
    let answer = house.ask(
        "GET",
        &format!("{path}?IncludeSoftDeleted=true"),
        &credentials(OTHER_AC, "a-token"),
        "",
    );
    assert_eq!(answer.status, 404);
}
