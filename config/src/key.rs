//! Every key of the configuration, once: name, default, unit, meaning.
//!
//! `file` and `environment` look names up here, `check` takes defaults from here, and a test writes
//! `systemd/reeld.toml` and `docs/ref/config.md` from here. A flat table, so it may be long.
//!
//! Invariant: each default passes the check of its key (held by `Config::default`, which has no
//! other source).

/// How a value is written in TOML, and so how the text of an environment variable is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// An array of strings; comma-separated in the environment.
    List,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its table, empty for the top level.
    pub table: &'static str,
    /// Its name in the table.
    pub name: &'static str,
    /// How its value is written.
    pub form: Form,
    /// Its default, written in TOML.
    pub default: &'static str,
    /// What its value is: unit, choices, bounds.
    pub unit: &'static str,
    /// What it does, a sentence or two.
    pub meaning: &'static str,
}

impl Key {
    /// Its full name, as messages and flags of check use it: `capture.max_length`.
    #[must_use]
    pub fn path(&self) -> String {
        if self.table.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}.{}", self.table, self.name)
        }
    }

    /// The environment variable that sets it: `REELD_CAPTURE__MAX_LENGTH`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("REELD_{}", self.path().replace('.', "__").to_uppercase())
    }
}

/// The table of accounts, the one that is an array: `[[accounts]]`.
pub const ACCOUNTS: &str = "accounts";

/// The keys of one `[[accounts]]` entry and what they mean. Both are required in an entry, and no
/// environment variable sets them.
pub const ACCOUNT_KEYS: &[(&str, &str)] = &[
    ("sid", "The account's Sid: AC and 32 hexadecimal digits."),
    (
        "auth_token_file",
        "The file that holds the account's token, one line. A path that is not absolute starts at the folder of this file.",
    ),
];

/// The table that has open ports as entries, and the key that they have there: `[[media.open]]`.
pub const OPEN: (&str, &str) = ("media", "open");

/// A key of a `[[media.open]]` entry. No environment variable sets it.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenKey {
    /// Its name.
    pub name: &'static str,
    /// Its default, written in TOML; none where an entry needs it.
    pub default: Option<&'static str>,
    /// What its value is: unit, choices, bounds.
    pub unit: &'static str,
    /// What it does, a sentence or two.
    pub meaning: &'static str,
}

/// The keys of one `[[media.open]]` entry.
pub static OPEN_KEYS: &[OpenKey] = &[
    OpenKey {
        name: "listen",
        default: None,
        unit: "address:port",
        meaning: "Where RTP comes to. Reports (RTCP) come to the next port, or to the same one.",
    },
    OpenKey {
        name: "allow",
        default: Some(r#"["loopback"]"#),
        unit: r#""loopback", "private", "public", or networks such as "192.0.2.0/24""#,
        meaning: "From which networks it is recorded. What comes from others is counted and logged.",
    },
    OpenKey {
        name: "account",
        default: Some(r#""""#),
        unit: "AC and 32 hexadecimal digits, or empty",
        meaning: "Whose calls are that no rule of calls.routes is for.",
    },
    OpenKey {
        name: "channels",
        default: Some(r#""dual""#),
        unit: r#""dual" or "mono""#,
        meaning: "What two streams (SSRCs) of a source at once are: dual, the two tracks of a call, the one that came first left; mono, a call each.",
    },
    OpenKey {
        name: "follow",
        default: Some(r#""2s""#),
        unit: "duration, 0s to 1h",
        meaning: "How long a break may be for a new stream of the same source behind it to be the same track. 0s makes each stream a call.",
    },
    OpenKey {
        name: "timeout",
        default: Some(r#""30s""#),
        unit: "duration, 1s to 7days",
        meaning: "How long a call may go without packets before it ends. It ends at an RTCP BYE too.",
    },
    OpenKey {
        name: "max_calls",
        default: Some("500"),
        unit: "calls, 1 to 100000",
        meaning: "Calls at once; streams beyond that are not recorded. No more than 50 begin in a second.",
    },
    OpenKey {
        name: "payloads",
        default: Some("[]"),
        unit: r#""96=L16/16000", as an SDP's rtpmap has it"#,
        meaning: "What payload types mean beyond RFC 3551's static ones, 101 for keys, and Asterisk's (107 Opus; 118, 122 to 126 L16).",
    },
];

/// The tables in the order of the example, with what each is about. The first is the top level.
pub const TABLES: &[(&str, &str)] = &[
    ("", ""),
    ("api", "The HTTP API."),
    ("media", "Where RTP comes in."),
    ("capture", "From packets to takes."),
    (
        "record",
        "A <Record> verb's defaults, where a recording is started with any of its parameters. One that is merely started has Twilio's other defaults: do-not-trim, no timeout, no key.",
    ),
    (
        "encode",
        "MP3 and Opus, made on demand or, with encode.eager, in idle time.",
    ),
    (
        "callbacks",
        "RecordingStatusCallback: where it may lead, and how long its receiver is tried. A receiver is first tried by Twilio's rules, which the URL's #fragment may change.",
    ),
    ("store", "Records and audio."),
    (
        "audit",
        "Who fetched, deleted, started and stopped what: kept in the catalog (reeld audit), and logged as the target audit.",
    ),
    (
        "calls",
        "Calls that come by themselves: SIPREC and other SIP calls, rtpengine, AudioSocket, open ports.",
    ),
    ("sip", "The SIPREC recording server (docs/guide/siprec.md)."),
    (
        "audiosocket",
        "Calls of an Asterisk, over its AudioSocket (docs/guide/asterisk.md).",
    ),
    (
        "rtpengine",
        "Recording the calls of an rtpengine (docs/guide/rtpengine.md).",
    ),
    ("log", "Logs go to standard error."),
];

macro_rules! keys {
    ($($table:literal . $name:literal : $form:ident = $default:literal, $unit:literal, $meaning:literal;)*) => {
        /// Every key outside `[[accounts]]`, in the order of the example. A static, because a key is
        /// known by its address.
        pub static KEYS: &[Key] = &[$(Key {
            table: $table, name: $name, form: Form::$form, default: $default, unit: $unit, meaning: $meaning,
        }),*];
    };
}

keys! {
    "" . "data_dir": Text = r#""./reeld-data""#, "path",
        "Where everything is kept. Under systemd the default is $STATE_DIRECTORY, which is /var/lib/reeld.";

    "api" . "listen": Text = r#""127.0.0.1:8080""#, "address:port",
        "Where the API is served.";
    "api" . "public_url": Text = r#""""#, "http(s) URL, or empty",
        "How clients reach the API from outside, if not by the Host they ask for; used where a full URL is handed out.";
    "api" . "media_auth": Text = r#""public""#, r#""public" or "required""#,
        "Whether audio and the 2008 XML of a recording are open to whoever knows its Sid, or need credentials too.";
    "api" . "link_lifetime": Text = r#""""#, "duration, 1m to 7days, or empty",
        "How long the media_url of metadata and the RecordingUrl of callbacks are signed links for, which need no credentials; empty leaves them unsigned.";
    "api" . "start_unknown_call": Bool = "true", "boolean",
        "Whether starting a recording on a call that is not open opens it; false answers 400/21220, as Twilio does.";
    "api" . "timezone": Text = r#""UTC""#, "IANA name",
        "The time zone of days and dates under 2008-08-01. 2010-04-01 is UTC always.";
    "api" . "max_connections": Integer = "1024", "connections, 1 to 100000",
        "Connections served at once; more wait in the kernel's backlog.";
    "api" . "max_connections_per_address": Integer = "512", "connections, 0 to 100000",
        "Of them, those of one address (of IPv6, of one /64); more are closed at once. 0 is no bound of its own. Behind a proxy all clients have the proxy's address.";
    "api" . "max_body": Text = r#""256KiB""#, "size, 1KiB to 16MiB",
        "The largest request body; more is answered with 413.";
    "api" . "header_timeout": Text = r#""30s""#, "duration, 1s to 1h",
        "How long a connection may take over its TLS handshake, to send the head of a request, or stay silent between two.";
    "api" . "request_timeout": Text = r#""30s""#, "duration, 1s to 1h",
        "How long a request may take until its answer begins, its body included; sending media may take as long as it makes progress.";
    "api" . "write_timeout": Text = r#""60s""#, "duration, 1s to 1h",
        "How long a client may take no byte of an answer before its connection is closed.";
    "api" . "rate_per_address": Integer = "1000", "requests a second, 0 to 1000000",
        "Requests that one address (of IPv6, one /64) may make, ten times as many at once; more are answered with 429 and Retry-After. 0 is no bound. Behind a proxy all clients have the proxy's address.";
    "api" . "rate_per_account": Integer = "1000", "requests a second, 0 to 1000000",
        "Requests that may be made with one account's credentials and keys, ten times as many at once. 0 is no bound.";
    "api" . "rate_media": Bool = "false", "boolean",
        "Whether requests for audio and peaks, and those of /healthz, /readyz, /metrics and /openapi.json, are counted and bounded too.";
    "api" . "tls_cert": Text = r#""""#, "path, or empty",
        "The PEM file of the API's certificate, the authorities' between it and the root behind it. With it and api.tls_key api.listen speaks TLS alone. Both are read again on SIGHUP.";
    "api" . "tls_key": Text = r#""""#, "path, or empty",
        "The PEM file of the certificate's key, which nobody else should be able to read.";

    "media" . "address": Text = r#""127.0.0.1""#, "IP address",
        "Where RTP is received.";
    "media" . "ports": Text = r#""20000-32767""#, "first-last, 1024 to 65535",
        "The ports of calls, a pair for each track: RTP on the even one, RTCP on the odd one. A port that somebody else holds is skipped and counted.";
    "media" . "advertise": Text = r#""""#, "IP address, or empty",
        "The address that callers are told to send to; empty is media.address.";
    "media" . "allow": List = r#"["loopback"]"#, r#""loopback", "private", "public", or networks such as "192.0.2.0/24""#,
        "From which networks a track may come. With media.address off loopback it must not be empty.";
    "media" . "receive_buffer": Text = r#""208KiB""#, "size, 4KiB to 64MiB",
        "The kernel's buffer of each RTP socket; net.core.rmem_max caps it. 208KiB holds 5 s of G.711.";

    "capture" . "max_recordings": Integer = "3000", "recordings, 1 to 100000",
        "Recordings that may run at once, whatever the machine could do; more are refused with 503. The default is what media.ports' default has pairs for, two a call. On a machine that can do less, measured lag, backlog and memory refuse new ones before.";
    "capture" . "backlog_bytes": Text = r#""""#, "size, 16MiB to 1TiB, or empty",
        "Memory for sound that waits for a disk which is slow or stands still; a call of two tracks at 8 kHz takes 32,000 bytes a second. What does not fit is silence of the same length, counted. At half of it new recordings are refused with 503. Empty is an eighth of the memory that there is, to the machine or to its control group.";
    "capture" . "max_length": Text = r#""12h""#, "duration, 1s to 7days",
        "The longest recording; it ends there in order.";
    "capture" . "first_packet": Text = r#""60s""#, "duration, 1s to 7days",
        "How long a call may wait for its first packet. Off for calls whose end is signalled.";
    "capture" . "inactivity": Text = r#""5m""#, "duration, 1s to 7days",
        "How long a call may go without packets before it ends. Off for calls whose end is signalled.";
    "capture" . "reorder_window": Text = r#""200ms""#, "duration, 0s to 2s",
        "How long a late packet is waited for. A crash costs this much too (reeld check-config).";
    "capture" . "fsync": Text = r#""1s""#, "duration, 100ms to 1m",
        "How often running recordings are made safe against loss of power.";
    "capture" . "conceal": Bool = "true", "boolean",
        "Whether what a lost packet held is made up from the sound around it, up to 60 ms, fading to silence; false leaves silence of its length.";
    "capture" . "dtmf": Text = r#""silence""#, r#""silence" or "tone""#,
        "What stands in the file where a key was sent as an event (RFC 4733): silence of its length, since a key may be a card's number, or its tone.";
    "capture" . "rate": Text = r#""narrow""#, r#""narrow" or "native""#,
        "The rate of recordings: narrow is 8 kHz whatever the codec; native is the best of what the call begins with, up to 48 kHz.";
    "capture" . "threads": Integer = "0", "threads, 0 to 256",
        "Media threads; 0 is one for each core.";

    "record" . "timeout": Integer = "5", "seconds, 0 to 86400",
        "Ends the recording after this much received silence; 0 is off.";
    "record" . "max_length": Integer = "3600", "seconds, 1 to 86400",
        "Ends the recording at this length.";
    "record" . "trim": Text = r#""trim-silence""#, r#""trim-silence" or "do-not-trim""#,
        "Whether leading and trailing silence goes.";
    "record" . "finish_on_key": Text = r#""1234567890*#""#, "keys, or empty",
        "Ends the recording when one of these is pressed; empty is off.";

    "encode" . "workers": Integer = "1", "threads, 1 to 256",
        "Encoders at work at once, on threads of low priority.";
    "encode" . "queue": Integer = "16", "requests, 0 to 10000",
        "Requests that wait for an encoder; more are answered with 503 and Retry-After.";
    "encode" . "cache_bytes": Text = r#""1GiB""#, "size",
        "What is kept of encoded files; the longest unused goes first. 0B keeps none.";
    "encode" . "eager": List = "[]", r#""mp3" and "opus", or none"#,
        "What is made of a recording as soon as it has ended, before it is asked for: on one further thread of low priority, which stands still while a request has or wants an encoder. It needs room in encode.cache_bytes. Nothing is made of imports, nor of what ended before a restart.";

    "callbacks" . "allow": List = r#"["public"]"#, r#""loopback", "private", "public", or networks"#,
        "To which networks callbacks may go. Link-local and cloud metadata addresses are opened by a network of theirs alone (169.254.0.0/16), never by a wider one.";
    "callbacks" . "concurrency": Integer = "64", "callbacks, 1 to 1024",
        "Callbacks that are being sent at once; a quarter of them to one host.";
    "callbacks" . "retry_for": Text = r#""4h""#, "duration, 0s to 7days",
        "How long a callback that fails is tried again. 0s leaves it to Twilio's rules: given up on after one round.";
    "callbacks" . "retry_first": Text = r#""10s""#, "duration, 1s to 1h",
        "The pause after the first failure; each further one is twice as long. Each is shortened by up to a half, by chance, so that a receiver that comes back is not hit at one instant.";
    "callbacks" . "retry_most": Text = r#""10m""#, "duration, 1s to 1day",
        "The longest pause between tries.";

    "store" . "catalog": Text = r#""sled""#, r#""sled""#,
        "Where records are kept. Not built yet: a postgres:// URL.";
    "store" . "media": Text = r#""local""#, r#""local" or "sled""#,
        "Where finished audio is kept: as files that any tool can play, or in sled with the records. sled gives little back of what is deleted. Not built yet: an s3:// URL.";
    "store" . "encryption_key": Text = r#""""#, "path or credential:NAME, or empty",
        "The key that wraps the data key of each recording, 32 bytes as hexadecimal digits or base64 (openssl rand -base64 32): what is recorded from then on is encrypted on the disk, in spool/ and media/, and what is made of it in cache/. credential:NAME is a systemd credential. Empty leaves recordings in clear.";
    "store" . "old_encryption_keys": List = "[]", r#"paths or "credential:NAME""#,
        "Keys under which older recordings are. After a rotation reeld rewrap brings them under store.encryption_key, and they can go.";
    "store" . "retention": Text = r#""""#, r#"an age, a size, or both: "90d 500GiB"; empty for neither"#,
        "Recordings of each account that are older than this, or its oldest where its media are more than this, are deleted as a DELETE does. What is being recorded and what is on hold (reeld hold) stays.";
    "store" . "account_retention": List = "[]", r#""AC…=30d 10GiB"; nothing behind the = for no limit"#,
        "The same for single accounts, in place of store.retention.";
    "store" . "check_reads": Text = r#""1%""#, "percentage, 0% to 100%",
        "Of how many downloads the whole file is compared with its BLAKE3 checksum before its first byte is sent. What turns out damaged is never served.";
    "store" . "scrub": Text = r#""4MiB""#, "size, 0 to 1GiB",
        "How much of the media is read back and compared a second, behind all else. 0 for nothing.";
    "store" . "scrub_every": Text = r#""7days""#, "duration, 1s to 3650days",
        "A round of that through everything begins no sooner than this after the last one began.";
    "store" . "deleted_metadata": Text = r#""40d""#, "duration, 0s to 3650days",
        "How long the record of a deleted recording is kept, with all that it tells of the call; its audio goes at once. 0s keeps nothing.";
    "store" . "min_free": Text = r#""1GiB""#, "size",
        "New recordings are refused with less free disk than this. The default is lowered to a tenth of a disk smaller than 10GiB.";
    "store" . "cache": Text = r#""16MiB""#, "size, 1MiB to 1TiB",
        "Memory that the catalog may use as its cache.";

    "audit" . "keep": Text = r#""90days""#, "duration, 0s to 3650days",
        "How long an entry of the audit trail is kept. 0s keeps none; the log has them all the same.";
    "audit" . "max_entries": Integer = "1000000", "entries, 1000 to 100000000",
        "Entries that are kept at most; the oldest go first. A million take about 200 MB.";

    "calls" . "routes": List = "[]", r#""AC…=source:audiosocket network:192.0.2.0/24 domain:rec.example.com header:X-Tenant:acme""#,
        "Whose account a call is: the first rule of which all that it names is so. A source is sip, rtpengine, audiosocket or open; a network is where the call comes from; a domain the host of its Request-URI or its To, and a header one of its INVITE, which only SIP calls have. A rule that names nothing is for every call. Without a rule a call is its source's account's (audiosocket.account), else, from loopback and without any rules, the only one's that there is.";

    "sip" . "listen": Text = r#""""#, "address:port, or empty",
        "Where the SIPREC recording server listens, by UDP and by TCP; empty is off. SIP's own port is 5060.";
    "sip" . "tls_listen": Text = r#""""#, "address:port, or empty",
        "Where it listens for TLS, beside sip.listen or alone; empty is off. SIP's own port for it is 5061.";
    "sip" . "tls_cert": Text = r#""""#, "path, or empty",
        "The PEM file of the certificate for sip.tls_listen, the authorities' between it and the root behind it. Read again on SIGHUP, as sip.tls_key is.";
    "sip" . "tls_key": Text = r#""""#, "path, or empty",
        "The PEM file of its private key.";
    "sip" . "advertise": Text = r#""""#, "IP address, or empty",
        "The address in the server's Contact, where recording clients reach it; empty is that of sip.listen, or media.advertise where that is every address.";
    "sip" . "allow": List = r#"["loopback"]"#, r#""loopback", "private", "public", or networks such as "192.0.2.0/24""#,
        "From which networks it may be called. Others are answered with 403.";
    "sip" . "routes": List = "[]", r#""AC…=network:192.0.2.0/24 domain:rec.example.com header:X-Tenant:acme""#,
        "Whose account a call is: the first rule of which all that it names is so. A network is where the call comes from, a domain the host of its Request-URI or its To, a header one of its INVITE; a rule that names nothing is for every call. Those of calls.routes come behind these. Without any rules calls from loopback are the account's, where there is one alone; others are answered with 403.";
    "sip" . "channels": Text = r#""dual""#, r#""dual" or "mono""#,
        "How a call of two streams is recorded: the caller left and the callee right, or both mixed. A call of one stream is mono.";
    "sip" . "pause": Text = r#""skip""#, r#""skip" or "silence""#,
        "What a pause that a recording client asks for leaves in the file: nothing, or silence of its length.";

    "audiosocket" . "listen": Text = r#""""#, "address:port, or empty",
        "Where Asterisk connects to, by TCP; empty is off.";
    "audiosocket" . "allow": List = r#"["loopback"]"#, r#""loopback", "private", "public", or networks such as "192.0.2.0/24""#,
        "From which networks it may. Other connections are closed.";
    "audiosocket" . "account": Text = r#""""#, "AC and 32 hexadecimal digits, or empty",
        "Whose calls are that no rule of calls.routes is for.";
    "audiosocket" . "max_connections": Integer = "1000", "connections, 1 to 100000",
        "Connections at once, one a call; more are closed.";
    "audiosocket" . "timeout": Text = r#""5m""#, "duration, 1s to 7days",
        "How long a connection may bring nothing at all before its call ends; a caller's silence may bring nothing. A machine that is gone is found out within 70 s (TCP keep-alive).";
    "audiosocket" . "answer": Text = r#""silence""#, r#""silence" or "nothing""#,
        "What is sent back for each frame of sound: as much silence, which keeps Asterisk's other direction fed, or nothing.";

    "rtpengine" . "ng": Text = r#""""#, "address:port, or empty",
        "The control socket (NG protocol, UDP) of the rtpengine whose calls are recorded; empty is off.";
    "rtpengine" . "account": Text = r#""""#, "AC…, or empty",
        "Whose its calls are that no rule of calls.routes is for (source:rtpengine, and as its network the address of rtpengine.ng). Empty is the account's, where there is one alone; where there are several, none is recorded.";
    "rtpengine" . "follow": Bool = "true", "boolean",
        "Whether each of its calls is recorded. false records those alone that the API starts with Source=rtpengine.";
    "rtpengine" . "channels": Text = r#""dual""#, r#""dual" or "mono""#,
        "How a call is recorded: the caller left and the callee right, or both mixed.";
    "rtpengine" . "delete_delay": Text = r#""30s""#, "duration, 0s to 1h",
        "rtpengine's own delete-delay: how long it keeps a call that it was told to delete. Until then it looks live; so much silence at its end is taken off.";

    "log" . "level": Text = r#""info""#, "level, or target=level, comma-separated",
        "What is logged: error, warn, info, debug, trace, or off; also by module, such as info,reeld_ingest=debug.";
    "log" . "format": Text = r#""auto""#, r#""auto", "human" or "json""#,
        "How it is logged; auto is json under systemd and human elsewhere.";
}

/// The key at a path, if there is one.
#[must_use]
pub fn find(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.table == table && key.name == name)
}

/// Of some names the one that a misspelt one may have meant.
#[must_use]
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wrong, name), name))
        .filter(|(likeness, _)| *likeness >= 0.4)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
