//! Who gets in where: every route of the API with every kind of credential, against one table.
//!
//! The routes are those of the daemon's own `/openapi.json`, which is made of the tables that requests
//! are taken by; a route that [`TABLE`] has no row for fails the test. What is refused says nothing of
//! the other account: no word of its recordings, and the same as for Sids that nobody has. The table
//! is `docs/ref/access.md`, which `WRITE_REFERENCE=1 cargo test -p reeld-tests --test access` writes.

#[path = "access/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use reeld_tests::client::call_sid;
use reeld_tests::{Client, Daemon, Reply, Setup};
use reqwest::Method;
use table::{CREDENTIALS, Class, EXPIRED, OK, OWN, TABLE};

/// One route: a method, and a path with names where Sids are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    path: String,
    method: String,
}

impl Route {
    /// Version, resource and extension.
    fn parts(&self) -> (&str, &str, &str) {
        let Some((version, rest)) = self.path[1..].split_once("/Accounts/{AccountSid}") else {
            return ("", &self.path, "");
        };
        // A name of ours, and no extension.
        let last = rest
            .rfind("Twilio.CURRENT")
            .map_or(0, |at| at + "Twilio.".len());
        let last = last.max(rest.rfind('/').unwrap_or(0));
        let dot = rest[last..].find('.').map_or(rest.len(), |dot| last + dot);
        (version, &rest[..dot], &rest[dot..])
    }

    /// The row of the table that has it.
    fn class(&self) -> &'static Class {
        let (version, resource, extension) = self.parts();
        let has: Vec<_> = TABLE
            .iter()
            .filter(|class| {
                class.methods.contains(&&*self.method)
                    && class.versions.contains(&version)
                    && class.resources.contains(&resource)
                    && class.extensions.contains(&extension)
            })
            .collect();
        assert_eq!(has.len(), 1, "{self:?} has so many rows in the table");
        has[0]
    }

    /// What a POST says.
    fn form(&self) -> &'static [(&'static str, &'static str)] {
        match self.parts().1 {
            "/Calls/{CallSid}" => &[("Status", "completed")],
            "/Calls/{CallSid}/Recordings/{RecordingSid}"
            | "/Calls/{CallSid}/Recordings/Twilio.CURRENT" => &[("Status", "stopped")],
            _ => &[],
        }
    }

    fn of(&self, account: &str, call: &str, recording: &str) -> String {
        self.path
            .replace("{AccountSid}", account)
            .replace("{CallSid}", call)
            .replace("{RecordingSid}", recording)
    }
}

/// Every route that the daemon describes.
fn routes(client: &Client) -> Vec<Route> {
    let document = client.get_public("/openapi.json").expect(200).json();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("an item").keys();
        routes.extend(methods.filter(|key| *key != "parameters").map(|key| Route {
            path: path.clone(),
            method: key.to_uppercase(),
        }));
    }
    assert!(routes.len() > 200, "{}", routes.len());
    routes
}

/// A request's credentials: who by HTTP Basic, and a link's query.
#[derive(Clone, Default)]
struct Shown {
    user: Option<(String, String)>,
    query: Option<String>,
}

/// A daemon with an account's recordings, calls and links, and a stranger's account.
struct House {
    daemon: Daemon,
    http: reqwest::blocking::Client,
    account: String,
    /// Of the account: a completed recording and its call; a call that is open, and what runs there.
    finished: [String; 2],
    live: [String; 2],
    shown: Vec<Shown>,
    calls: std::cell::Cell<u64>,
}

/// What an answer to a stranger must not have, of the account's recordings and calls.
const SECRETS: [&str; 4] = ["canary-from", "canary-to", "canary-external", "canary-tag"];

impl House {
    fn new(media_auth: &str) -> Self {
        let daemon = Setup::with_ports(1_024)
            .set("api.media_auth", media_auth)
            .set("capture.first_packet", "1h")
            .set("capture.inactivity", "1h")
            .set("api.rate_per_address", 0)
            .start();
        let client = daemon.client().clone();
        let account = client.account().to_owned();
        let finished_call = call_sid(1);
        let own = ["--account", &account, "--call-sid", &finished_call];
        let finished = daemon.import_noise(1, 1, &own);
        let another = daemon.import_noise(2, 1, &own);
        let live_call = call_sid(2);
        client
            .open_call(&[
                ("CallSid", &live_call),
                ("From", "canary-from"),
                ("To", "canary-to"),
            ])
            .expect(201);
        let live = client.start(&live_call, &[("Tags", r#"{"a":"canary-tag"}"#)]);

        let text = |args: &[&str]| daemon.command(args).success().text();
        let value = |text: &str, name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.unwrap_or_else(|| panic!("no {name} in {text}"))
                .trim_matches('"')
                .to_owned()
        };
        let key = |account: &str| {
            let printed = text(&["account", "key", "add", account]);
            (value(&printed, "key_sid"), value(&printed, "secret"))
        };
        let added = text(&["account", "add"]);
        let (stranger, token) = (value(&added, "account_sid"), value(&added, "auth_token"));
        let (own_key, strangers_key, revoked) = (key(&account), key(&stranger), key(&account));
        let _ = text(&["account", "key", "remove", &revoked.0]);
        let link = |args: &[&str]| {
            let printed = text(&[&["link"], args].concat());
            let query = printed
                .trim()
                .split_once('?')
                .map(|(_, query)| query.to_owned());
            query.unwrap_or_else(|| panic!("{printed}"))
        };
        let made = Instant::now();
        let expired = link(&[&finished, "--expires", "1s"]);
        let sound = link(&[&finished]);
        let last = sound.chars().last().expect("a signature");
        let tampered = format!(
            "{}{}",
            &sound[..sound.len() - 1],
            if last == '0' { '1' } else { '0' }
        );
        let user = |user: &str, secret: &str| Shown {
            user: Some((user.to_owned(), secret.to_owned())),
            query: None,
        };
        let linked = |query: String| Shown {
            user: None,
            query: Some(query),
        };
        let shown = vec![
            Shown::default(),
            user(&account, &"0".repeat(32)),
            user(&stranger, &token),
            user(&strangers_key.0, &strangers_key.1),
            user(&account, client.token()),
            user(&own_key.0, &own_key.1),
            user(&revoked.0, &revoked.1),
            linked(sound),
            linked(link(&[&finished, "--format", "json"])),
            linked(expired),
            linked(tampered),
            linked(link(&[&another])),
        ];
        while made.elapsed() < Duration::from_millis(2_100) {
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            http: reqwest::blocking::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(30))
                .build()
                .expect("a client without TLS and proxy can be built"),
            account,
            finished: [finished_call, finished],
            live: [live_call, live.sid],
            shown,
            calls: std::cell::Cell::new(1_000),
            daemon,
        }
    }

    fn ask(&self, method: &str, path: &str, shown: &Shown, form: &[(&str, &str)]) -> Reply {
        let query = shown.query.as_ref().map_or_else(String::new, |query| {
            let mark = if path.contains('?') { '&' } else { '?' };
            format!("{mark}{query}")
        });
        let url = format!("{}{path}{query}", self.daemon.client().base());
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let is_post = method == Method::POST;
        let mut request = self.http.request(method, url);
        if let Some((user, secret)) = &shown.user {
            request = request.basic_auth(user, Some(secret));
        }
        if is_post {
            request = request.form(form);
        }
        let response = request
            .send()
            .unwrap_or_else(|error| panic!("{path}: {error:?}"));
        let status = response.status().as_u16();
        let body = response.bytes().expect("an answer is whole").to_vec();
        Reply {
            status,
            headers: Vec::new(),
            body,
        }
    }

    /// What all requests of who may not have left as it was.
    fn state(&self) -> (String, String) {
        let client = self.daemon.client();
        let list = client
            .get(&client.path("/Recordings.json"))
            .expect(200)
            .json();
        let live = client.recording(&self.live[1]);
        let sids: Vec<_> = list["recordings"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|recording| recording["sid"].to_string())
            .collect();
        let call = client.call(&self.live[0]);
        (
            sids.join(" "),
            format!("{} {}", live["status"], call["status"]),
        )
    }

    /// Call and recording that a request of who may is about: its own, where it changes something.
    fn place(&self, route: &Route) -> [String; 2] {
        let client = self.daemon.client();
        let next = || {
            self.calls.set(self.calls.get() + 1);
            call_sid(self.calls.get())
        };
        let (_, resource, _) = route.parts();
        match (&*route.method, resource) {
            ("DELETE", _) => {
                let call = next();
                let args = ["--account", &self.account, "--call-sid", &call];
                let sid = self.daemon.import_noise(3, 1, &args);
                [call, sid]
            }
            ("POST", "/Calls/{CallSid}/Recordings/{RecordingSid}")
            | ("POST", "/Calls/{CallSid}/Recordings/Twilio.CURRENT") => {
                let started = client.start(&next(), &[]);
                [started.call, started.sid]
            }
            ("POST", "/Calls/{CallSid}") => {
                let call = next();
                client.open_call(&[("CallSid", &call)]).expect(201);
                [call, self.finished[1].clone()]
            }
            ("POST", "/Calls/{CallSid}/Recordings") => [next(), self.finished[1].clone()],
            (_, "/Calls/{CallSid}") => self.live.clone(),
            _ => self.finished.clone(),
        }
    }

    /// One route with one kind of credentials.
    fn try_one(&self, route: &Route, which: usize, mode: usize) {
        let (class, shown) = (route.class(), &self.shown[which]);
        let form = route.form();
        let wanted = class.rows[mode][which];
        if wanted == OK {
            let [call, recording] = self.place(route);
            let path = route.of(&self.account, &call, &recording);
            let reply = self.ask(&route.method, &path, shown, form);
            assert_eq!(
                reply.status,
                class.ok,
                "{route:?} with {}: {}",
                CREDENTIALS[which],
                reply.text()
            );
            if route.method == "POST" && route.path.contains("/Calls") {
                let json = serde_json::from_slice::<serde_json::Value>(&reply.body);
                let opened = json
                    .ok()
                    .and_then(|json| Some(json["sid"].as_str()?.to_owned()));
                for call in [Some(call), opened].into_iter().flatten() {
                    if call.starts_with("CA") {
                        // Where it is over already there is nothing to free.
                        let _ = self.daemon.client().complete_call(&call);
                    }
                }
            }
            return;
        }
        let is_of_live = route.method == "POST" || route.parts().1 == "/Calls/{CallSid}";
        let [call, recording] = if is_of_live && which < 7 {
            &self.live
        } else {
            &self.finished
        };
        let path = route.of(&self.account, call, recording);
        let nobodys = route.of(&self.account, &call_sid(9), &format!("RE{:032}", 9));
        let mut pairs = vec![(route.method.as_str(), path.clone(), nobodys.clone())];
        // The other ways to the same place.
        if route.path.starts_with("/2008") {
            let singular = |path: &str| path.replacen("/Accounts/", "/Account/", 1);
            pairs.push((route.method.as_str(), singular(&path), singular(&nobodys)));
        }
        if route.method == "DELETE" {
            let posted = |path: &str| format!("{path}?_method=DELETE");
            pairs.push(("POST", posted(&path), posted(&nobodys)));
        }
        for (method, path, nobodys) in pairs {
            let what = format!("{method} {path} with {}", CREDENTIALS[which]);
            let reply = self.ask(method, &path, shown, form);
            assert_eq!(reply.status, wanted, "{what}: {}", reply.text());
            let text = reply.text();
            for secret in SECRETS {
                assert!(!text.contains(secret), "{what} tells {secret}: {text}");
            }
            // Whose link has expired has once been given it.
            if which != EXPIRED {
                let of_nobody = self.ask(method, &nobodys, shown, form);
                let path_of = |path: &str| path.split('?').next().unwrap_or_default().to_owned();
                let same = of_nobody
                    .text()
                    .replace(&path_of(&nobodys), &path_of(&path));
                assert_eq!((reply.status, text), (of_nobody.status, same), "{what}");
            }
        }
    }
}

fn walk(media_auth: &str, mode: usize) {
    let house = House::new(media_auth);
    let client = house.daemon.client();
    // Who has authenticated well is not shut out by the failures that follow.
    client.get(&client.path(".json")).expect(200);
    let routes = routes(client);
    for class in TABLE {
        let is_used = routes
            .iter()
            .any(|route| std::ptr::eq(route.class(), class));
        assert!(is_used, "no route is of the row {:?}", class.what);
    }
    let before = house.state();
    let mut tried = 0;
    for own in [false, true] {
        for route in &routes {
            for which in (0..CREDENTIALS.len()).filter(|which| OWN.contains(which) == own) {
                house.try_one(route, which, mode);
                tried += 1;
            }
        }
        if !own {
            assert_eq!(house.state(), before, "who may not has changed something");
        }
    }
    assert_eq!(tried, routes.len() * CREDENTIALS.len());
    eprintln!("{media_auth}: {} routes, {tried} pairs", routes.len());
    let log = house.daemon.log();
    for Shown { user, query } in &house.shown {
        let secret = user.as_ref().map(|(_, secret)| secret.as_str());
        let signature = query
            .as_ref()
            .and_then(|query| query.split("signature=").nth(1));
        for secret in [secret, signature].into_iter().flatten() {
            assert!(!log.contains(secret), "the log has a secret");
        }
    }
    held(&reference(&routes));
}

#[test]
fn each_route_with_each_credential_where_media_are_public() {
    walk("public", 0);
}

#[test]
fn each_route_with_each_credential_where_media_need_credentials() {
    walk("required", 1);
}

/// The table as a document.
fn reference(routes: &[Route]) -> String {
    let mut text = "# Who gets in where\n\nWritten from `tests/tests/access.rs`, which asks for every \
        route of `/openapi.json` with each of\nthese credentials and holds the answers to this table \
        (`WRITE_REFERENCE=1 cargo test -p reeld-tests --test access`).\n\n404 is the answer for what is \
        another account's, as for what is nobody's: the two cannot be told apart. Where two\nstatuses \
        stand, the first is with `api.media_auth = \"public\"`, the second with `\"required\"`. A link \
        counts only\nwithout other credentials, and only for GET and HEAD of its recording. Each route of \
        2008-08-01 is also below\n`/Account/`, and DELETE is also POST with `?_method=DELETE`: both are \
        answered alike.\n\n"
        .to_owned();
    let mut line = |cells: &[String]| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    let mut head = vec!["what".to_owned()];
    head.extend(CREDENTIALS.map(str::to_owned));
    line(&head);
    line(&vec!["---".to_owned(); head.len()]);
    for class in TABLE {
        let mut cells = vec![class.what.to_owned()];
        let status = |of: u16| if of == OK { class.ok } else { of };
        cells.extend((0..CREDENTIALS.len()).map(|which| {
            let [public, required] = class.rows.map(|row| status(row[which]));
            if public == required {
                public.to_string()
            } else {
                format!("{public}, {required}")
            }
        }));
        line(&cells);
    }
    text.push_str("\n## Routes\n");
    for class in TABLE {
        let _ = write!(text, "\n{}:\n\n", class.what);
        let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for route in routes
            .iter()
            .filter(|route| std::ptr::eq(route.class(), class))
        {
            paths.entry(&route.path).or_default().push(&route.method);
        }
        for (path, mut methods) in paths {
            methods.sort_unstable();
            let _ = writeln!(text, "- {} `{path}`", methods.join(", "));
        }
    }
    text
}

fn held(expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ref/access.md");
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        std::fs::write(&path, expected).expect("the document can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == expected,
        "docs/ref/access.md differs from the table: WRITE_REFERENCE=1 cargo test -p reeld-tests \
         --test access"
    );
}
