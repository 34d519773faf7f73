//! The list and the instance as CSV and as HTML: the fields of XML, quoted and escaped, for whoever
//! has credentials.

use reeld_model::Channels;
use serde_json::json;

use crate::harness::{AC, CA, House, SEED_MS, new, sid, sound};

const ONE: &str = "RE41331862605f3d662488fdafda2e175f";

fn house() -> House {
    let house = House::new();
    house.recording(ONE, SEED_MS, Channels::Mono, &vec![0; 123 * 8_000]);
    house
}

#[test]
fn a_list_as_csv_has_a_header_and_a_row_each() {
    let house = house();
    house.recording(&sid(2), SEED_MS - 5_000, Channels::Mono, &sound(8_000));
    let answer = house.get("2008/Recordings.csv");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/csv; charset=utf-8")
    );
    let expected = format!(
        "Sid,AccountSid,CallSid,Duration,DateCreated,DateUpdated\r\n\
         {ONE},{AC},{CA},123,\"Tue, 01 Apr 2008 01:07:15 -0400\",\"Tue, 01 Apr 2008 01:07:15 -0400\"\r\n\
         {},{AC},{CA},1,\"Tue, 01 Apr 2008 01:07:10 -0400\",\"Tue, 01 Apr 2008 01:07:10 -0400\"\r\n",
        sid(2)
    );
    assert_eq!(answer.text(), expected);
    assert_eq!(house.get("2008/Recordings.csv?page=9").text(), "");
    let one = house.get(&format!("2010/Recordings/{ONE}.csv"));
    let (header, row) = one.text().split_once("\r\n").unwrap();
    let columns: Vec<&str> = header.split(',').collect();
    assert!(
        columns.contains(&"SubresourceUris.Transcriptions"),
        "{header}"
    );
    assert!(columns.contains(&"Tracks.Inbound.Packets"), "{header}");
    assert!(row.contains(&format!("/2010-04-01/Accounts/{AC}/Recordings/{ONE},")));
}

#[test]
fn a_list_as_html_has_the_2008_classes_and_links() {
    let house = house();
    house.recording(&sid(2), SEED_MS - 5_000, Channels::Mono, &sound(8_000));
    let answer = house.get("2008/Recordings.html?num=1");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let text = answer.text();
    assert!(
        text.starts_with(
            "<html><head><title>200</title></head><body class=\"twilio-response\">\
             <div class=\"recordings\"><div class=\"paging\"><div class=\"page\">0</div>"
        ),
        "{text}"
    );
    let next = format!("/2008-08-01/Accounts/{AC}/Recordings.html?num=1&amp;page=1");
    assert!(text.contains(&format!("<a class=\"nextpageuri\" href=\"{next}\">")));
    assert!(text.contains("<div class=\"previouspageuri\"></div>"));
    let expected = format!(
        "<div class=\"recording\"><div class=\"sid\">{ONE}</div>\
         <div class=\"account-sid\">{AC}</div><div class=\"call-sid\">{CA}</div>\
         <div class=\"duration\">123</div>\
         <div class=\"date-created\">Tue, 01 Apr 2008 01:07:15 -0400</div>\
         <div class=\"date-updated\">Tue, 01 Apr 2008 01:07:15 -0400</div></div>\
         </div></body></html>"
    );
    assert!(text.ends_with(&expected), "{text}");
    let second = house.get(&next.replace("&amp;", "&"));
    assert!(second.text().contains(&sid(2)) && !second.text().contains(&format!(">{ONE}<")));
}

#[test]
fn what_users_wrote_stays_text() {
    let house = House::new();
    let mut mine = new(&sid(1), SEED_MS, Channels::Mono);
    mine.tags.insert("<b>\"a\", b".into(), json!("x\r\ny"));
    house.store.begin(mine).unwrap();
    let html = house.get("2010/Recordings.html");
    assert!(!html.text().contains("<b>") && html.text().contains("&lt;b&gt;"));
    let csv = house.get("2010/Recordings.csv");
    let tags = r#""{""<b>\""a\"", b"":""x\r\ny""}""#;
    assert!(csv.text().contains(tags), "{}", csv.text());
    assert_eq!(csv.text().matches("\r\n").count(), 2);
}

#[test]
fn faults_have_the_face_that_was_asked_for_and_metadata_need_credentials() {
    let house = house();
    for (extension, body) in [
        (
            "csv",
            "Status,Message,Code,MoreInfo\r\n401,Authenticate,20003,\
             https://www.twilio.com/docs/errors/20003\r\n",
        ),
        (
            "html",
            "<html><head><title>401</title></head><body class=\"twilio-response\">\
             <div class=\"rest-exception\"><div class=\"status\">401</div>\
             <div class=\"message\">Authenticate</div><div class=\"code\">20003</div>\
             <div class=\"more-info\">https://www.twilio.com/docs/errors/20003</div></div>\
             </body></html>",
        ),
    ] {
        for path in ["Recordings", &format!("Recordings/{ONE}")] {
            let answer = house.get_public(&format!("2008/{path}.{extension}"));
            assert_eq!((answer.status, answer.text()), (401, body));
        }
    }
}
