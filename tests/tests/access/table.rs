//! Which routes are answered how, by what a request comes with: the table that `access` holds the daemon
//! to, and writes `docs/ref/access.md` from.

/// What a request comes with.
pub(crate) const CREDENTIALS: [&str; 12] = [
    "none",
    "a wrong token",
    "another account's token",
    "another account's key",
    "the account's token",
    "the account's key",
    "a revoked key",
    "a link to the sound",
    "a link to the metadata",
    "an expired link",
    "a tampered link",
    "a link to another recording",
];
/// Of them, those that are the account's own.
pub(crate) const OWN: [usize; 2] = [4, 5];
pub(crate) const EXPIRED: usize = 9;

/// Statuses in the order of [`CREDENTIALS`]; `OK` is the answer of who may.
pub(crate) type Row = [u16; 12];
pub(crate) const OK: u16 = 0;

pub(crate) const ACCOUNT_ALONE: Row = [401, 401, 404, 404, OK, OK, 401, 401, 401, 401, 401, 401];
pub(crate) const OF_SOUND: Row = [401, 401, 404, 404, OK, OK, 401, OK, 403, 403, 403, 403];
pub(crate) const OF_METADATA: Row = [401, 401, 404, 404, OK, OK, 401, 403, OK, 403, 403, 403];
pub(crate) const PUBLIC_SOUND: Row = [OK, OK, OK, OK, OK, OK, OK, OK, 403, 403, 403, 403];
pub(crate) const PUBLIC_METADATA: Row = [OK, OK, OK, OK, OK, OK, OK, 403, OK, 403, 403, 403];
pub(crate) const EVERYBODY: Row = [OK; 12];

/// Routes that are answered alike.
pub(crate) struct Class {
    pub(crate) what: &'static str,
    pub(crate) methods: &'static [&'static str],
    pub(crate) versions: &'static [&'static str],
    /// What follows the account in the path, less its extension; or the path of what is beside the API.
    pub(crate) resources: &'static [&'static str],
    pub(crate) extensions: &'static [&'static str],
    /// The answer of who may.
    pub(crate) ok: u16,
    /// With `api.media_auth = "public"`, and `"required"`.
    pub(crate) rows: [Row; 2],
}

pub(crate) const BOTH: &[&str] = &["2008-08-01", "2010-04-01"];
pub(crate) const READ: &[&str] = &["GET", "HEAD"];
pub(crate) const ANY: &[&str] = &["", ".json", ".csv", ".html"];
pub(crate) const OF_RECORDING: &[&str] = &[
    "",
    ".wav",
    ".mp3",
    ".opus",
    ".peaks.json",
    ".xml",
    ".json",
    ".csv",
    ".html",
];
pub(crate) const RECORDING: &[&str] = &[
    "/Recordings/{RecordingSid}",
    "/Calls/{CallSid}/Recordings/{RecordingSid}",
];

const fn class(what: &'static str, resources: &'static [&'static str]) -> Class {
    Class {
        what,
        methods: READ,
        versions: BOTH,
        resources,
        extensions: ANY,
        ok: 200,
        rows: [ACCOUNT_ALONE; 2],
    }
}

pub(crate) const TABLE: &[Class] = &[
    Class {
        methods: &["GET"],
        versions: &[""],
        extensions: &[""],
        rows: [EVERYBODY; 2],
        ..class(
            "What is beside the API",
            &["/healthz", "/readyz", "/metrics", "/openapi.json"],
        )
    },
    Class {
        extensions: &["", ".wav", ".mp3", ".opus"],
        rows: [PUBLIC_SOUND, OF_SOUND],
        ..class("A recording's audio", RECORDING)
    },
    Class {
        extensions: &[".peaks.json"],
        rows: [OF_SOUND; 2],
        ..class("A recording's peaks", RECORDING)
    },
    Class {
        versions: &["2008-08-01"],
        extensions: &[".xml"],
        rows: [PUBLIC_METADATA, OF_METADATA],
        ..class("A recording's XML of 2008", RECORDING)
    },
    Class {
        versions: &["2010-04-01"],
        extensions: &[".xml"],
        rows: [OF_METADATA; 2],
        ..class("A recording's XML of 2010", RECORDING)
    },
    Class {
        extensions: &[".json", ".csv", ".html"],
        rows: [OF_METADATA; 2],
        ..class("A recording's other metadata", RECORDING)
    },
    class(
        "Account, lists and calls",
        &[
            "",
            "/Recordings",
            "/Recordings/{RecordingSid}/Transcriptions",
            "/Recordings/{RecordingSid}/AddOnResults",
            "/Calls/{CallSid}",
            "/Calls/{CallSid}/Recordings",
        ],
    ),
    Class {
        methods: &["POST"],
        ok: 201,
        ..class(
            "Opening a call, starting a recording, making a link",
            &[
                "/Calls",
                "/Calls/{CallSid}/Recordings",
                "/Recordings/{RecordingSid}/Links",
            ],
        )
    },
    Class {
        methods: &["POST"],
        ..class(
            "Ending a call; the recording that runs",
            &[
                "/Calls/{CallSid}",
                "/Calls/{CallSid}/Recordings/Twilio.CURRENT",
            ],
        )
    },
    Class {
        methods: &["POST"],
        extensions: OF_RECORDING,
        ..class(
            "Pausing, resuming and stopping a recording",
            &RECORDING_OF_CALL,
        )
    },
    Class {
        methods: &["DELETE"],
        extensions: OF_RECORDING,
        ok: 204,
        ..class("Deleting a recording", RECORDING)
    },
];
pub(crate) const RECORDING_OF_CALL: [&str; 1] = ["/Calls/{CallSid}/Recordings/{RecordingSid}"];
