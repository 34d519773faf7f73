//! A request path as what it names: the closed set of resources, parsed once.
//!
//! `dispatch` asks. Sids become types here, so no caller's text comes near a key or a file name;
//! a text that is no Sid names nothing. `/Account/` stands for `/Accounts/` (the seed's examples
//! have it), slashes in front collapse (old PHP clients double them, twilio.md §0.8).

use std::fmt::Write as _;

use reeld_model::{AccountSid, CallSid, RecordingRef, RecordingSid};

use crate::face::{Face, Format, Version};

#[cfg(test)]
mod tests;

/// What the extension asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    None,
    Xml,
    Json,
    Csv,
    Html,
    Wav,
    Mp3,
    Opus,
    /// `.peaks.json`.
    Peaks,
}

impl Extension {
    /// What a path ends with that asks for it.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Xml => ".xml",
            Self::Json => ".json",
            Self::Csv => ".csv",
            Self::Html => ".html",
            Self::Wav => ".wav",
            Self::Mp3 => ".mp3",
            Self::Opus => ".opus",
            Self::Peaks => ".peaks.json",
        }
    }

    /// How what is not audio is written: as the extension says, else XML.
    const fn format(self) -> Format {
        match self {
            Self::Json | Self::Peaks => Format::Json,
            Self::Csv => Format::Csv,
            Self::Html => Format::Html,
            Self::None | Self::Xml | Self::Wav | Self::Mp3 | Self::Opus => Format::Xml,
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "xml" => Self::Xml,
            "json" => Self::Json,
            "wav" => Self::Wav,
            "mp3" => Self::Mp3,
            "csv" => Self::Csv,
            "html" => Self::Html,
            "opus" => Self::Opus,
            _ => return None,
        })
    }
}

/// A resource of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Account,
    Recordings,
    Recording(RecordingSid),
    /// Signed links to a recording.
    Links(RecordingSid),
    /// What belongs to a recording and is always empty here.
    Annex(RecordingSid, Annex),
    Calls,
    Call(CallSid),
    CallRecordings(CallSid),
    CallRecording(CallSid, RecordingRef),
}

/// Lists that Twilio links from a recording; reeld has nothing in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Annex {
    Transcriptions,
    AddOnResults,
}

impl Annex {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Transcriptions => "Transcriptions",
            Self::AddOnResults => "AddOnResults",
        }
    }
}

impl Resource {
    /// Its kind, for the log: no Sid, since a RecordingSid opens public audio.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Recordings => "recordings",
            Self::Recording(_) => "recording",
            Self::Links(_) => "links",
            Self::Annex(..) => "annex",
            Self::Calls => "calls",
            Self::Call(_) => "call",
            Self::CallRecordings(_) => "call recordings",
            Self::CallRecording(..) => "call recording",
        }
    }
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) version: Version,
    pub(crate) account: AccountSid,
    pub(crate) resource: Resource,
    pub(crate) extension: Extension,
}

impl Target {
    /// What `path` names, if anything.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let path = path.trim_start_matches('/');
        let path = path.strip_suffix('/').unwrap_or(path);
        let (stem, extension) = split_extension(path);
        let mut segments = stem.split('/');
        let version = Version::parse(segments.next()?)?;
        if !matches!(segments.next()?, "Accounts" | "Account") {
            return None;
        }
        let account = segments.next()?.parse().ok()?;
        // Longer than any path that names something.
        let rest: Vec<&str> = segments.take(5).collect();
        let resource = match *rest.as_slice() {
            [] => Resource::Account,
            ["Recordings"] => Resource::Recordings,
            ["Recordings", sid] => Resource::Recording(sid.parse().ok()?),
            ["Recordings", sid, "Links"] => Resource::Links(sid.parse().ok()?),
            ["Recordings", sid, annex] => Resource::Annex(sid.parse().ok()?, parse_annex(annex)?),
            ["Calls"] => Resource::Calls,
            ["Calls", call] => Resource::Call(call.parse().ok()?),
            ["Calls", call, "Recordings"] => Resource::CallRecordings(call.parse().ok()?),
            ["Calls", call, "Recordings", recording] => {
                let recording = match recording {
                    "Twilio.CURRENT" => RecordingRef::Current,
                    sid => RecordingRef::Sid(sid.parse().ok()?),
                };
                Resource::CallRecording(call.parse().ok()?, recording)
            }
            _ => return None,
        };
        let audio = matches!(
            extension,
            Extension::Wav | Extension::Mp3 | Extension::Opus | Extension::Peaks
        );
        let has_audio = matches!(
            resource,
            Resource::Recording(_) | Resource::CallRecording(_, RecordingRef::Sid(_))
        );
        (!audio || has_audio).then_some(Self {
            version,
            account,
            resource,
            extension,
        })
    }

    /// How answers that are not audio are written.
    pub(crate) fn face(&self) -> Face {
        Face {
            version: self.version,
            format: self.extension.format(),
        }
    }
}

/// The face of an error about a path that names nothing: what its extension would have been.
pub(crate) fn face_of_stray(path: &str) -> Face {
    let version = path.trim_start_matches('/').split('/').next();
    Face {
        version: version.and_then(Version::parse).unwrap_or(Version::V2010),
        format: split_extension(path).1.format(),
    }
}

/// The path of a resource of `account`, without an extension.
pub(crate) fn path_of(version: Version, account: AccountSid, resource: &Resource) -> String {
    let mut path = format!("/{}/Accounts/{account}", version.as_str());
    // Writing to a String cannot fail.
    let _ = match resource {
        Resource::Account => Ok(()),
        Resource::Recordings => path.write_str("/Recordings"),
        Resource::Recording(sid) => write!(path, "/Recordings/{sid}"),
        Resource::Links(sid) => write!(path, "/Recordings/{sid}/Links"),
        Resource::Annex(sid, annex) => write!(path, "/Recordings/{sid}/{}", annex.as_str()),
        Resource::Calls => path.write_str("/Calls"),
        Resource::Call(call) => write!(path, "/Calls/{call}"),
        Resource::CallRecordings(call) => write!(path, "/Calls/{call}/Recordings"),
        Resource::CallRecording(call, RecordingRef::Sid(sid)) => {
            write!(path, "/Calls/{call}/Recordings/{sid}")
        }
        Resource::CallRecording(call, RecordingRef::Current) => {
            write!(path, "/Calls/{call}/Recordings/Twilio.CURRENT")
        }
    };
    path
}

fn split_extension(path: &str) -> (&str, Extension) {
    let segment = path.rfind('/').map_or(0, |slash| slash + 1);
    path[segment..]
        .rsplit_once('.')
        .and_then(|(stem, extension)| {
            let extension = Extension::parse(extension)?;
            let (stem, extension) = match (extension, stem.strip_suffix(".peaks")) {
                (Extension::Json, Some(stem)) => (stem, Extension::Peaks),
                (extension, _) => (stem, extension),
            };
            Some((&path[..segment + stem.len()], extension))
        })
        .unwrap_or((path, Extension::None))
}

fn parse_annex(text: &str) -> Option<Annex> {
    [Annex::Transcriptions, Annex::AddOnResults]
        .into_iter()
        .find(|annex| annex.as_str() == text)
}
