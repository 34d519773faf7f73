//! What a measurement asks of reeld's API: start, stop, fetch, describe.
//!
//! Called by `capture` from several threads at once. It speaks 2010-04-01 JSON with names of
//! contract.md alone, as any client would.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reeld_model::{CallSid, Track};
use reqwest::StatusCode;
use reqwest::blocking::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// The longest that one answer may take.
const ANSWER_BOUND: Duration = Duration::from_secs(60);

/// The longest from a stop to audio that can be fetched.
const FETCHABLE_BOUND: Duration = Duration::from_secs(60);

/// Between two tries to fetch; what the figure may be too large by.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// A client of one daemon and one account.
pub(super) struct Client {
    http: reqwest::blocking::Client,
    base: String,
    account: String,
    token: SecretString,
}

/// A recording that was started.
#[derive(Debug, Clone)]
pub(super) struct Started {
    pub(super) call: CallSid,
    pub(super) sid: String,
    /// Where each track's RTP goes, in the order of [`Track::ALL`].
    pub(super) media: [SocketAddr; 2],
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let http = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(ANSWER_BOUND)
            .build()?;
        Ok(Self {
            http,
            base: format!("http://{address}"),
            account: String::new(),
            token: SecretString::default(),
        })
    }

    pub(super) fn authenticate(&mut self, account: String, token: SecretString) {
        (self.account, self.token) = (account, token);
    }

    /// Whether the daemon can take a recording.
    pub(super) fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.base)).send();
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Starts a dual recording on a call that is not open yet.
    pub(super) fn start(&self, call: CallSid) -> anyhow::Result<Started> {
        let path = format!("Calls/{call}/Recordings.json");
        let json = self.post(&path, &[("RecordingChannels", "dual")], StatusCode::CREATED)?;
        let sid = json["sid"]
            .as_str()
            .context("the answer has no sid")?
            .to_owned();
        let to = |track: Track| {
            let streams = json["media"].as_array()?;
            let stream = streams
                .iter()
                .find(|stream| stream["track"] == track.as_str())?;
            let address = stream["address"].as_str()?.parse().ok()?;
            Some(SocketAddr::new(
                address,
                u16::try_from(stream["port"].as_u64()?).ok()?,
            ))
        };
        let [Some(inbound), Some(outbound)] = Track::ALL.map(to) else {
            bail!("the answer does not say where to send RTP: {json}");
        };
        Ok(Started {
            call,
            sid,
            media: [inbound, outbound],
        })
    }

    /// Stops a recording and tries to fetch its WAV until it is there; how long that took.
    pub(super) fn stop_until_fetchable(&self, recording: &Started) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let path = format!("Calls/{}/Recordings/{}.json", recording.call, recording.sid);
        self.post(&path, &[("Status", "stopped")], StatusCode::OK)?;
        let url = self.url(&format!("Recordings/{}.wav", recording.sid));
        while begun.elapsed() < FETCHABLE_BOUND {
            let answer = self.signed(self.http.head(&url)).send()?;
            match answer.status() {
                StatusCode::OK => return Ok(begun.elapsed()),
                StatusCode::NOT_FOUND => std::thread::sleep(TRY_AGAIN),
                status => bail!("{status} for {url}"),
            }
        }
        bail!(
            "{} cannot be fetched {FETCHABLE_BOUND:?} after its stop",
            recording.sid
        )
    }

    /// A recording's record.
    pub(super) fn describe(&self, recording: &Started) -> anyhow::Result<Value> {
        let url = self.url(&format!("Recordings/{}.json", recording.sid));
        let answer = self.signed(self.http.get(&url)).send()?;
        Ok(expect(answer, StatusCode::OK)?.json()?)
    }

    /// A recording's audio, to be read.
    pub(super) fn wav(&self, recording: &Started) -> anyhow::Result<Response> {
        let url = self.url(&format!("Recordings/{}.wav", recording.sid));
        expect(self.signed(self.http.get(&url)).send()?, StatusCode::OK)
    }

    fn post(&self, path: &str, form: &[(&str, &str)], status: StatusCode) -> anyhow::Result<Value> {
        let request = self.http.post(self.url(path)).form(form);
        Ok(expect(self.signed(request).send()?, status)?.json()?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/2010-04-01/Accounts/{}/{path}", self.base, self.account)
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.account, Some(self.token.expose_secret()))
    }
}

fn expect(answer: Response, status: StatusCode) -> anyhow::Result<Response> {
    if answer.status() == status {
        return Ok(answer);
    }
    let (got, url) = (answer.status(), answer.url().clone());
    bail!("{got} for {url}: {}", answer.text().unwrap_or_default())
}
