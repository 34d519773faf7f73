//! What `load` takes and refuses, as an operator meets it: the layers, their order, and for each
//! refusal the place, the key and the reason.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use reeld_config::{
    Config, ConfigError, Dtmf, Encoded, Flags, Kind, LogFormat, MediaKind, Place, Problem, Rate,
    load,
};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn config(text: &str) -> Config {
    load(Some(file(text).path()), [], &Flags::default())
        .unwrap()
        .config
}

fn problems(text: &str, pairs: &[(&str, &str)]) -> Vec<Problem> {
    match load(Some(file(text).path()), variables(pairs), &Flags::default()) {
        Err(ConfigError::Invalid(problems)) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}

/// The one problem of a text: line, key, kind, reason.
fn problem(text: &str) -> (usize, String, Kind, String) {
    let mut all = problems(text, &[]);
    assert_eq!(all.len(), 1, "{all:?}");
    let problem = all.remove(0);
    let Place::File { line, .. } = problem.place else {
        panic!("{problem:?}")
    };
    (line, problem.key, problem.kind, problem.reason)
}

#[test]
fn an_empty_file_is_the_defaults() {
    let defaults = Config::default();
    assert_eq!(config(""), defaults);
    assert_eq!(defaults.api.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(defaults.media.ports, 20000..=32767);
    assert_eq!(defaults.capture.max_length, Duration::from_secs(12 * 3600));
    assert_eq!(defaults.record.timeout, Some(Duration::from_secs(5)));
    assert_eq!(defaults.encode.cache_bytes, 1 << 30);
    assert_eq!(defaults.data_dir, Path::new("./reeld-data"));
    assert_eq!(load(None, [], &Flags::default()).unwrap().warnings, [""; 0]);
}

#[test]
fn flags_lie_over_variables_over_the_file() {
    let text = "data_dir = '/a'\n[api]\nlisten = '127.0.0.1:1'\n[store]\nmedia = 'sled'\n";
    let over = [
        ("REELD_API__LISTEN", "127.0.0.1:2"),
        ("REELD_DATA_DIR", "/b"),
        ("PATH", "/bin"),
    ];
    let file = file(text);
    let load = |pairs: &[_], flags: &Flags| {
        load(Some(file.path()), variables(pairs), flags)
            .unwrap()
            .config
    };

    let from_file = load(&[], &Flags::default());
    assert_eq!(from_file.api.listen.port(), 1);
    assert_eq!(from_file.store.media, MediaKind::Sled);
    let from_variables = load(&over, &Flags::default());
    assert_eq!(
        (
            from_variables.api.listen.port(),
            from_variables.data_dir.as_path()
        ),
        (2, Path::new("/b"))
    );
    assert_eq!(from_variables.store.media, MediaKind::Sled);
    let flags = Flags {
        data_dir: Some("/c".into()),
        listen: Some("127.0.0.1:3".into()),
    };
    let from_flags = load(&over, &flags);
    assert_eq!(
        (from_flags.api.listen.port(), from_flags.data_dir.as_path()),
        (3, Path::new("/c"))
    );
}

#[test]
fn systemd_says_the_data_folder_unless_somebody_else_does() {
    let state = [("STATE_DIRECTORY", "/var/lib/reeld:/var/lib/other")];
    let of = |path: Option<&Path>, pairs: &[_]| {
        load(path, variables(pairs), &Flags::default())
            .unwrap()
            .config
            .data_dir
    };
    assert_eq!(of(None, &state), Path::new("/var/lib/reeld"));
    assert_eq!(of(None, &[]), Path::new("./reeld-data"));
    assert_eq!(
        of(Some(file("data_dir = '/srv'").path()), &state),
        Path::new("/srv")
    );
    assert_eq!(
        of(None, &[state[0], ("REELD_DATA_DIR", "/env")]),
        Path::new("/env")
    );
}

#[test]
fn every_form_of_a_value_can_come_from_a_variable() {
    let pairs = [
        ("REELD_MEDIA__ALLOW", "private, 192.0.2.0/24"),
        ("REELD_API__START_UNKNOWN_CALL", "false"),
        ("REELD_ENCODE__WORKERS", "3"),
        ("REELD_ENCODE__EAGER", "opus,mp3"),
        ("REELD_CAPTURE__REORDER_WINDOW", "50ms"),
        ("REELD_LOG__FORMAT", "json"),
    ];
    let config = load(None, variables(&pairs), &Flags::default())
        .unwrap()
        .config;
    assert_eq!(config.media.allow.len(), 5);
    assert!(!config.api.start_unknown_call);
    assert_eq!(config.encode.workers, 3);
    assert_eq!(config.encode.eager, [Encoded::Opus, Encoded::Mp3]);
    assert_eq!(config.capture.reorder_window, Duration::from_millis(50));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn the_backlog_is_as_set_or_an_eighth_of_the_memory() {
    let of = |text: &str| {
        let pairs = [("REELD_CAPTURE__BACKLOG_BYTES", text)];
        let loaded = load(None, variables(&pairs), &Flags::default());
        loaded.unwrap().config.capture
    };
    assert_eq!(of("").backlog_on(24 << 30), 3 << 30);
    assert_eq!(of("").backlog_on(1 << 20), 16 << 20);
    assert_eq!(of("100MiB").backlog_on(1 << 30), 100 << 20);
    let (_, key, _, reason) = problem("[capture]\nbacklog_bytes = '1MiB'");
    assert_eq!(key, "capture.backlog_bytes");
    assert!(reason.contains("16.0 MiB"), "{reason}");
}

#[test]
fn unknown_keys_name_the_nearest() {
    let (line, key, kind, reason) = problem("[capture]\nmax_length = '1h'\nmax_recodings = 3\n");
    assert_eq!(
        (line, key.as_str(), kind),
        (3, "capture.max_recodings", Kind::Unknown)
    );
    assert_eq!(
        reason,
        "there is no such key; the nearest is capture.max_recordings"
    );

    let (line, key, _, reason) = problem("\n\n[captrue]\nfsync = '1s'\n");
    assert_eq!((line, key.as_str()), (3, "captrue"));
    assert_eq!(reason, "there is no such key; the nearest is capture");

    let (_, _, _, reason) = problem("listen = '127.0.0.1:80'");
    assert_eq!(reason, "there is no such key; api.listen is a key");

    let (line, key, _, reason) = problem(
        "[[accounts]]\nsid = 'AC00000000000000000000000000000001'\nauth_token_file = 't'\nauth_token = 'x'\n",
    );
    assert_eq!((line, key.as_str()), (4, "accounts.auth_token"));
    assert_eq!(
        reason,
        "there is no such key; the nearest is accounts.auth_token_file"
    );

    let all = problems("", &[("REELD_API__LISTN", "x"), ("REELD_NONSENSE", "1")]);
    assert_eq!(
        all[0].to_string(),
        "REELD_API__LISTN: this variable sets no key; the nearest is REELD_API__LISTEN"
    );
    assert_eq!((all.len(), all[1].kind), (2, Kind::Unknown));
}

#[test]
fn what_is_wrong_is_said_with_line_key_and_reason() {
    for (text, line, key, reason) in [
        (
            "[capture]\n\nfsync = '5 parsecs'",
            3,
            "capture.fsync",
            "unknown time unit",
        ),
        ("[capture]\nfsync = 5", 2, "capture.fsync", "found a number"),
        (
            "[capture]\nfsync = '1ms'",
            2,
            "capture.fsync",
            "from 100ms to 1m",
        ),
        (
            "[capture]\nmax_recordings = -1",
            2,
            "capture.max_recordings",
            "1 to 100000, found -1",
        ),
        (
            "[capture]\nmax_recordings = 99999999999999999999",
            2,
            "capture.max_recordings",
            "beyond 64 bits",
        ),
        (
            "[media]\nports = '30000-20000'",
            2,
            "media.ports",
            "30000 lies after 20000",
        ),
        (
            "[media]\nports = '20001-20002'",
            2,
            "media.ports",
            "no pair",
        ),
        (
            "[media]\nports = '65535-65535'",
            2,
            "media.ports",
            "no pair",
        ),
        ("[media]\nports = '80-90'", 2, "media.ports", "below 1024"),
        (
            "[media]\nports = 'all'",
            2,
            "media.ports",
            "no range of ports",
        ),
        (
            "[media]\nallow = ['loopback', 'everyone']",
            2,
            "media.allow",
            "\"everyone\" is none of",
        ),
        (
            "[media]\nallow = 'loopback'",
            2,
            "media.allow",
            "expected a list",
        ),
        (
            "[media]\nallow = [1]",
            2,
            "media.allow",
            "a list of something else",
        ),
        (
            "[encode]\neager = ['mp3', 'peaks']",
            2,
            "encode.eager",
            "\"peaks\" is none of \"mp3\", \"opus\"",
        ),
        (
            "[encode]\neager = ['opus', 'opus']",
            2,
            "encode.eager",
            "\"opus\" is there twice",
        ),
        (
            "[encode]\neager = 'mp3'",
            2,
            "encode.eager",
            "expected a list of \"mp3\", \"opus\"",
        ),
        (
            "[encode]\ncache_bytes = 0\neager = ['mp3']",
            3,
            "encode.eager",
            "cache_bytes is 0B",
        ),
        (
            "[media]\naddress = '192.0.2.1'\nallow = []",
            3,
            "media.allow",
            "not loopback",
        ),
        (
            "[media]\nadvertise = '::1'",
            2,
            "media.advertise",
            "another IP version",
        ),
        (
            "[api]\nlisten = 'localhost:80'",
            2,
            "api.listen",
            "no address with a port",
        ),
        (
            "[api]\npublic_url = 'ftp://x'",
            2,
            "api.public_url",
            "http:// or https://",
        ),
        (
            "[api]\nmedia_auth = 'none'",
            2,
            "api.media_auth",
            "expected \"public\" or \"required\"",
        ),
        (
            "[api]\ntimezone = 'Mars/Olympus'",
            2,
            "api.timezone",
            "no time zone",
        ),
        (
            "[record]\nfinish_on_key = '12a'",
            2,
            "record.finish_on_key",
            "'a' is no key",
        ),
        ("[record]\ntrim = true", 2, "record.trim", "found a boolean"),
        (
            "[store]\nmin_free = '1 GallonB'",
            2,
            "store.min_free",
            "expected a size",
        ),
        ("[store]\ncache = '1B'", 2, "store.cache", "from 1.0 MiB"),
        (
            "[log]\nlevel = 'loud'",
            2,
            "log.level",
            "levels are error, warn",
        ),
        ("api = 5", 1, "api", "expected a table, [api]"),
        ("accounts = 'me'", 1, "accounts", "[[accounts]] entries"),
        (
            "\n[[accounts]]\nsid = 'AC00000000000000000000000000000001'",
            2,
            "accounts.auth_token_file",
            "needs it",
        ),
        (
            "[[accounts]]\nauth_token_file = 'x'\nsid = 'ACme'",
            3,
            "accounts.sid",
            "not a Sid",
        ),
        (
            "[media]\nopen = 5",
            2,
            "media.open",
            "[[media.open]] entries",
        ),
        (
            "[[media.open]]\nallow = []",
            1,
            "media.open.listen",
            "needs it",
        ),
        (
            "[[media.open]]\nlisten = '127.0.0.1:5004'\nfollow = '2h'",
            3,
            "media.open.follow",
            "1h",
        ),
        (
            "[audiosocket]\naccount = 'me'",
            2,
            "audiosocket.account",
            "not a Sid",
        ),
        ("[calls]\nroutes = ['AC1=']", 2, "calls.routes", "not a Sid"),
        ("data_dir = ''", 1, "data_dir", "empty string"),
        ("a = 1\n[api\nlisten = ''", 2, "", ""),
    ] {
        let (at, named, kind, said) = problem(text);
        assert_eq!((at, named.as_str()), (line, key), "{text}: {said}");
        assert!(said.contains(reason), "{text}: {said}");
        assert_eq!(
            kind,
            if key.is_empty() {
                Kind::Syntax
            } else {
                Kind::Value
            },
            "{text}"
        );
    }
}

#[test]
fn a_key_that_is_there_twice_is_named() {
    let (line, key, kind, reason) = problem("[log]\nlevel = 'info'\nlevel = 'warn'\n");
    assert_eq!((line, key.as_str(), kind), (3, "level", Kind::Syntax));
    assert_eq!(reason, "duplicate key");
}

#[test]
fn tls_needs_both_files() {
    for (text, key, lacks) in [
        ("[api]\ntls_cert = 'x.pem'", "api.tls_cert", "api.tls_key"),
        ("[api]\ntls_key = 'x.pem'", "api.tls_key", "api.tls_cert"),
        ("[sip]\ntls_key = 'x.pem'", "sip.tls_key", "sip.tls_cert"),
        (
            "[sip]\ntls_listen = '127.0.0.1:5061'",
            "sip.tls_listen",
            "sip.tls_cert",
        ),
    ] {
        let (line, named, kind, reason) = problem(text);
        assert_eq!((line, named.as_str(), kind), (2, key, Kind::Value));
        assert!(reason.contains(lacks), "{reason}");
    }
}

#[test]
fn what_is_not_built_is_refused_as_that() {
    for (text, key) in [
        (
            "[store]\ncatalog = 'postgres://u:hunter2@h/db'",
            "store.catalog",
        ),
        ("[store]\nmedia = 's3://bucket/prefix'", "store.media"),
    ] {
        let (line, named, kind, reason) = problem(text);
        assert_eq!(
            (line, named.as_str(), kind),
            (2, key, Kind::NotBuilt),
            "{reason}"
        );
        assert!(
            reason.ends_with("is not built yet") && !reason.contains("hunter2"),
            "{reason}"
        );
    }
    // A misspelt URL may hold a password too.
    let (_, _, kind, reason) = problem("[store]\ncatalog = 'psql://u:hunter2@h/db'");
    assert!(
        kind == Kind::Value && !reason.contains("hunter2"),
        "{reason}"
    );
}

#[test]
fn all_problems_are_found_in_one_run() {
    let text = "[api]\nlisten = 'x'\nfoo = 1\n[capture]\nfsync = 'y'\n";
    let all = problems(text, &[("REELD_ENCODE__WORKERS", "none")]);
    let keys: Vec<_> = all.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        ["api.listen", "api.foo", "capture.fsync", "encode.workers"]
    );
    let shown = ConfigError::Invalid(all).to_string();
    assert!(
        shown.contains(":2: api.listen: ") && shown.contains("(and 3 more"),
        "{shown}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    for path in ["/nowhere/reeld.toml", "/dev/zero", "/"] {
        let error = load(Some(Path::new(path)), [], &Flags::default()).unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }), "{error:?}");
        assert!(error.to_string().starts_with(path), "{error}");
    }
}

#[test]
fn a_wildcard_media_address_needs_one_to_tell_callers() {
    let (line, key, _, reason) = problem("[media]\naddress = '0.0.0.0'\nallow = ['private']");
    assert_eq!(key, "media.advertise");
    assert!(reason.contains("name the address"), "{reason}");
    // Nobody said media.advertise; what made it needed is pointed at.
    assert_eq!(line, 2);
    let media =
        config("[media]\naddress = '0.0.0.0'\nallow = ['private']\nadvertise = '192.0.2.9'").media;
    assert_eq!(media.advertise.unwrap().to_string(), "192.0.2.9");
    assert!(
        config("[media]\naddress = '::'\nadvertise = '192.0.2.9'")
            .media
            .advertise
            .is_some()
    );
}

#[test]
fn open_doors_are_warned_of() {
    let warnings = |text: &str| {
        load(Some(file(text).path()), [], &Flags::default())
            .unwrap()
            .warnings
    };
    assert!(warnings("[api]\nlisten = '0.0.0.0:80'")[0].contains("media_auth"));
    assert!(warnings("[api]\nlisten = '0.0.0.0:80'\nmedia_auth = 'required'").is_empty());
    assert!(warnings("[media]\naddress = '192.0.2.1'")[0].contains("loopback alone"));
    assert!(warnings("[media]\nports = '20000-20019'")[0].contains("10 pairs"));
}

#[test]
fn values_are_what_they_look_like() {
    let media = config("[media]\nports = '20001-20010'\nreceive_buffer = 65536").media;
    assert_eq!((media.ports, media.receive_buffer), (20002..=20009, 65536));
    let record = config("[record]\ntimeout = 0\nfinish_on_key = ''").record;
    assert_eq!((record.timeout, record.finish_on_key.as_str()), (None, ""));
    let api =
        config("[api]\npublic_url = 'https://rec.example.org/'\ntimezone = 'America/New_York'").api;
    assert_eq!(api.public_url.as_deref(), Some("https://rec.example.org"));
    assert_eq!(api.timezone.iana_name(), Some("America/New_York"));
    let log = config("[log]\nlevel = 'info,reeld_ingest=debug'").log;
    assert_eq!(log.level, "info,reeld_ingest=debug");
    assert!(config("[capture]\nthreads = 0").capture.threads >= 1);
    let usual = Config::default().capture;
    assert_eq!(
        (usual.conceal, usual.dtmf, usual.rate),
        (true, Dtmf::Silence, Rate::Narrow)
    );
    let capture = config("[capture]\nconceal = false\ndtmf = 'tone'\nrate = 'native'").capture;
    assert_eq!(
        (capture.conceal, capture.dtmf, capture.rate),
        (false, Dtmf::Tone, Rate::Native)
    );
    let (_, key, kind, reason) = problem("[capture]\nrate = 'wide'");
    assert_eq!((key.as_str(), kind), ("capture.rate", Kind::Value));
    assert!(reason.contains(r#""narrow" or "native""#), "{reason}");
}

#[test]
fn a_token_file_lies_beside_the_configuration() {
    let text =
        "[[accounts]]\nsid = 'AC00000000000000000000000000000001'\nauth_token_file = 'token'\n";
    let file = file(text);
    let config = load(Some(file.path()), [], &Flags::default())
        .unwrap()
        .config;
    assert_eq!(
        config.accounts[0].auth_token_file,
        file.path().parent().unwrap().join("token")
    );
    let (line, key, _, reason) = problem(&format!("{text}\n{text}"));
    assert_eq!((line, key.as_str()), (5, "accounts.sid"));
    assert!(reason.contains("twice"), "{reason}");
}

#[test]
fn a_small_disk_lowers_the_default_of_min_free_alone() {
    let default = Config::default().store;
    assert_eq!(default.min_free_on(100 << 30), 1 << 30);
    assert_eq!(default.min_free_on(4 << 30), (4 << 30) / 10);
    assert_eq!(
        config("[store]\nmin_free = '2GiB'")
            .store
            .min_free_on(4 << 30),
        2 << 30
    );
}

#[test]
fn open_ports_are_entries_with_defaults_of_their_own() {
    let text = "[[media.open]]\nlisten = '127.0.0.1:5004'\n\n[[media.open]]\nlisten = '[::1]:5006'\n\
        channels = 'mono'\nfollow = '0s'\npayloads = ['96=L16/16000']\n";
    let open = config(text).media.open;
    assert_eq!(open.len(), 2);
    assert!(open[0].pairs && !open[1].pairs);
    assert_eq!((open[0].max_calls, open[0].account), (500, None));
    assert_eq!(open[0].timeout, Duration::from_secs(30));
    assert_eq!(open[1].payloads, [(96, "L16/16000".to_owned())]);
    let (line, key, ..) =
        problem("[[media.open]]\nlisten = '[::1]:5006'\n[[media.open]]\nlisten = '[::1]:5006'\n");
    assert_eq!((line, key.as_str()), (3, "media.open.listen"));
}
