//! A client of reeld's API in the shape of Twilio's own: Basic auth, forms, Sids; and curl.
//!
//! Every answer comes back whole as a [`Reply`], whatever its status: a test says what it expects
//! with [`Reply::expect`].

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::patience::wait_for;
use crate::peer;
use crate::reply::Reply;
use crate::wav::Wav;

/// Long against any answer, short against a test that hangs.
const ANSWER_BOUND: Duration = Duration::from_secs(30);
/// From the end of a recording to its file: one fsync on a slow disk of a busy machine.
const COMPLETION_BOUND: Duration = Duration::from_secs(30);

/// A recording that was started, and where its call takes RTP.
#[derive(Debug, Clone)]
pub struct Started {
    /// RecordingSid.
    pub sid: String,
    /// CallSid.
    pub call: String,
    /// Where the inbound track is sent.
    pub inbound: Option<SocketAddr>,
    /// Where the outbound track is sent.
    pub outbound: Option<SocketAddr>,
    /// The whole answer.
    pub json: Value,
}

impl Started {
    /// Where the inbound track is sent.
    ///
    /// # Panics
    /// When the call has no inbound track.
    #[must_use]
    #[track_caller]
    pub fn inbound(&self) -> SocketAddr {
        self.inbound
            .unwrap_or_else(|| panic!("no inbound port: {}", self.json))
    }

    /// Where the outbound track is sent.
    ///
    /// # Panics
    /// When the call has no outbound track.
    #[must_use]
    #[track_caller]
    pub fn outbound(&self) -> SocketAddr {
        self.outbound
            .unwrap_or_else(|| panic!("no outbound port: {}", self.json))
    }
}

/// A CallSid of the test's own making.
#[must_use]
pub fn call_sid(number: u64) -> String {
    format!("CA{number:032x}")
}

/// Where an answer that carries `media` says that a track is sent.
#[must_use]
pub fn media_address(json: &Value, track: &str) -> Option<SocketAddr> {
    let streams = json["media"].as_array()?;
    let stream = streams.iter().find(|stream| stream["track"] == track)?;
    let text = format!(
        "{}:{}",
        stream["address"].as_str()?,
        stream["port"].as_u64()?
    );
    text.parse().ok()
}

/// Speaks to one daemon as one account.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    account: String,
    token: String,
    http: reqwest::blocking::Client,
}

impl Client {
    /// A client of the daemon at `base` (`http://127.0.0.1:8080`).
    ///
    /// # Panics
    /// Never on Linux: no TLS and no proxy is set up.
    #[must_use]
    pub fn new(base: &str, account: &str, token: &str) -> Self {
        let http = reqwest::blocking::Client::builder()
            .timeout(ANSWER_BOUND)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without TLS and proxy can be built");
        Self {
            base: base.into(),
            account: account.into(),
            token: token.into(),
            http,
        }
    }

    /// The daemon's address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The account's Sid.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The account's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// `/2010-04-01/Accounts/{AccountSid}` and what follows.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/2010-04-01/Accounts/{}{rest}", self.account)
    }

    /// `/2008-08-01/Accounts/{AccountSid}` and what follows.
    #[must_use]
    pub fn old_path(&self, rest: &str) -> String {
        format!("/2008-08-01/Accounts/{}{rest}", self.account)
    }

    /// Any request with credentials.
    ///
    /// # Panics
    /// When no answer comes.
    #[track_caller]
    pub fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&[(&str, &str)]>,
    ) -> Reply {
        let answer = self.attempt(method, path, headers, form);
        answer.unwrap_or_else(|error| panic!("{path}: no answer: {error:?}"))
    }

    /// Any request with credentials, where the daemon may be killed meanwhile.
    ///
    /// # Errors
    /// No answer came, or not all of it.
    pub fn attempt(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&[(&str, &str)]>,
    ) -> reqwest::Result<Reply> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url);
        request = request.basic_auth(&self.account, Some(&self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request.form(form);
        }
        Reply::of_response(request.send()?)
    }

    /// GET with credentials.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], None)
    }

    /// GET without credentials, for what is public.
    ///
    /// # Panics
    /// When no answer comes.
    #[track_caller]
    pub fn get_public(&self, path: &str) -> Reply {
        let reply = self.try_get_public(path);
        reply.unwrap_or_else(|error| panic!("{path}: no answer: {error:?}"))
    }

    /// As [`Client::get_public`], where an answer may break off.
    ///
    /// # Errors
    /// What the client says of that.
    pub fn try_get_public(&self, path: &str) -> reqwest::Result<Reply> {
        let response = self.http.get(format!("{}{path}", self.base)).send();
        response.and_then(Reply::of_response)
    }

    /// `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> String {
        self.get_public("/metrics").expect(200).text()
    }

    /// A figure of `/metrics`, by its name and labels.
    ///
    /// # Panics
    /// When there is none of them.
    #[must_use]
    #[track_caller]
    pub fn figure(&self, name: &str) -> u64 {
        let text = self.metrics();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Waits until a figure of `/metrics` is this.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn wait_figure(&self, name: &str, value: u64) {
        wait_for(name, Duration::from_secs(20), || {
            (self.figure(name) == value).then_some(())
        });
    }

    /// The WAV of a recording, by its JSON.
    ///
    /// # Panics
    /// When that has no Sid, or there is none.
    #[must_use]
    #[track_caller]
    pub fn heard(&self, recording: &Value) -> Wav {
        self.wav(recording["sid"].as_str().expect("a Sid"))
    }

    /// POST of a form with credentials.
    #[track_caller]
    pub fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        self.send(Method::POST, path, &[], Some(form))
    }

    /// Opens a call; the answer as it is.
    #[track_caller]
    pub fn open_call(&self, form: &[(&str, &str)]) -> Reply {
        self.post(&self.path("/Calls.json"), form)
    }

    /// The call's live state.
    #[track_caller]
    pub fn call(&self, call: &str) -> Value {
        self.get(&self.path(&format!("/Calls/{call}.json")))
            .expect(200)
            .json()
    }

    /// Ends the call.
    #[track_caller]
    pub fn complete_call(&self, call: &str) -> Reply {
        self.post(
            &self.path(&format!("/Calls/{call}.json")),
            &[("Status", "completed")],
        )
    }

    /// Starts a recording; the answer as it is.
    #[track_caller]
    pub fn try_start(&self, call: &str, form: &[(&str, &str)]) -> Reply {
        self.post(&self.path(&format!("/Calls/{call}/Recordings.json")), form)
    }

    /// Starts a recording.
    ///
    /// # Panics
    /// When the answer is not 201 with the recording in progress and the call's media.
    #[track_caller]
    pub fn start(&self, call: &str, form: &[(&str, &str)]) -> Started {
        let json = self.try_start(call, form).expect(201).json();
        assert_eq!(json["status"], "in-progress", "{json}");
        Started {
            sid: json["sid"]
                .as_str()
                .unwrap_or_else(|| panic!("no sid: {json}"))
                .to_owned(),
            call: call.to_owned(),
            inbound: media_address(&json, "inbound"),
            outbound: media_address(&json, "outbound"),
            json,
        }
    }

    /// Changes a recording; the answer as it is. `recording` may be `Twilio.CURRENT`.
    #[track_caller]
    pub fn change(&self, call: &str, recording: &str, form: &[(&str, &str)]) -> Reply {
        self.post(
            &self.path(&format!("/Calls/{call}/Recordings/{recording}.json")),
            form,
        )
    }

    /// Stops a recording.
    ///
    /// # Panics
    /// When it cannot be stopped.
    #[track_caller]
    pub fn stop(&self, started: &Started) {
        self.change(&started.call, &started.sid, &[("Status", "stopped")])
            .expect(200);
    }

    /// Starts a recording and stops it, without a packet: `url` is told of it as `absent`. Its Sid.
    ///
    /// # Panics
    /// When it cannot be started or stopped.
    #[track_caller]
    pub fn end_absent(&self, number: u64, url: &str) -> String {
        let started = self.start(
            &call_sid(number),
            &[
                ("RecordingStatusCallback", url),
                ("RecordingStatusCallbackEvent", "absent"),
            ],
        );
        self.stop(&started);
        started.sid
    }

    /// The recording's 2010 JSON.
    #[track_caller]
    pub fn recording(&self, sid: &str) -> Value {
        self.get(&self.path(&format!("/Recordings/{sid}.json")))
            .expect(200)
            .json()
    }

    /// The HTTP status with which the recording's 2010 JSON is answered.
    #[must_use]
    #[track_caller]
    pub fn recording_status(&self, sid: &str) -> u16 {
        self.get(&self.path(&format!("/Recordings/{sid}.json")))
            .status
    }

    /// Waits until the recording has this status; its JSON then.
    ///
    /// # Panics
    /// When it has not within half a minute.
    #[track_caller]
    pub fn wait_status(&self, sid: &str, status: &str) -> Value {
        wait_for(
            &format!("recording that is {status}"),
            COMPLETION_BOUND,
            || {
                let json = self.recording(sid);
                (json["status"] == status).then_some(json)
            },
        )
    }

    /// Waits until the recording is completed; its JSON then.
    #[track_caller]
    pub fn wait_completed(&self, sid: &str) -> Value {
        self.wait_status(sid, "completed")
    }

    /// Stops a recording and waits for its file.
    #[track_caller]
    pub fn finish(&self, started: &Started) -> Wav {
        self.stop(started);
        self.wait_completed(&started.sid);
        self.wav(&started.sid)
    }

    /// The recording's WAV, as the 2008 API serves it to anyone.
    ///
    /// # Panics
    /// When it is not served.
    #[must_use]
    #[track_caller]
    pub fn wav(&self, sid: &str) -> Wav {
        let reply = self
            .get_public(&self.old_path(&format!("/Recordings/{sid}")))
            .expect(200);
        assert_eq!(reply.header("content-type"), Some("audio/x-wav"));
        assert_eq!(
            reply.header("content-length"),
            Some(reply.body.len().to_string().as_str())
        );
        Wav::read(&reply.body)
    }

    /// The recording's MP3, as the 2008 API serves it to anyone.
    ///
    /// # Panics
    /// When it is not served.
    #[must_use]
    #[track_caller]
    pub fn mp3(&self, sid: &str) -> Vec<u8> {
        let reply = self
            .get_public(&self.old_path(&format!("/Recordings/{sid}.mp3")))
            .expect(200);
        assert_eq!(reply.header("content-type"), Some("audio/mpeg"));
        reply.body
    }

    /// Deletes a recording; the answer as it is.
    #[track_caller]
    pub fn delete(&self, sid: &str) -> Reply {
        self.send(
            Method::DELETE,
            &self.old_path(&format!("/Recordings/{sid}")),
            &[],
            None,
        )
    }

    /// curl as the client: `args` and the URL exactly as given, byte for byte.
    ///
    /// # Panics
    /// When curl is missing or no answer comes.
    #[track_caller]
    pub fn curl(&self, args: &[&str], path: &str) -> Reply {
        let url = format!("{}{path}", self.base);
        // -g: no globbing of [] and {}; --path-as-is: no squashing of /../; -i: with the head.
        let fixed = [
            "-sS",
            "-i",
            "-g",
            "--path-as-is",
            "--noproxy",
            "*",
            "--max-time",
            "30",
        ];
        let all = fixed.iter().chain(args).copied().chain([url.as_str()]);
        let run = peer::run("curl", all, &[], ANSWER_BOUND + Duration::from_secs(10)).success();
        Reply::of_curl(&run.stdout)
    }

    /// curl with this account's credentials.
    #[track_caller]
    pub fn curl_signed(&self, args: &[&str], path: &str) -> Reply {
        let user = format!("{}:{}", self.account, self.token);
        let all: Vec<&str> = ["-u", &user]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        self.curl(&all, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_addresses_are_read() {
        let json = serde_json::json!({
            "media": [{"track": "inbound", "address": "127.0.0.1", "port": 20_000}]
        });
        assert_eq!(
            media_address(&json, "inbound"),
            Some(([127, 0, 0, 1], 20_000).into())
        );
        assert_eq!(media_address(&json, "outbound"), None);
    }
}
