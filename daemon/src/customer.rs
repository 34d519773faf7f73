//! The API as a customer uses it: HTTP, the first start's credentials, nothing else.
//!
//! `bench` and `demo` call it. What an answer must be is theirs to say; here a status that was not
//! expected is an error that carries the answer.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use reeld_model::{AccountSid, Track};
use reqwest::blocking::{Client, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// For one answer, and for what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks; a measured wait is too long by up to this.
const STEP: Duration = Duration::from_millis(1);

/// An answer, whatever it is.
#[derive(Debug)]
pub struct Said {
    /// Its status.
    pub status: u16,
    /// Seconds after which to come again, if it says so.
    pub retry_after: Option<u64>,
    /// Its body.
    pub text: String,
}

/// A customer of a daemon on loopback.
#[derive(Debug)]
pub struct Customer {
    /// `http://address:port`.
    pub base: String,
    /// Whose recordings.
    pub account: AccountSid,
    token: SecretString,
    client: Client,
}

impl Customer {
    /// One of the daemon that listens at `listen`, with its credentials.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(
        listen: SocketAddr,
        (account, token): (AccountSid, SecretString),
    ) -> anyhow::Result<Self> {
        let base = format!("http://{listen}");
        Ok(Self {
            base,
            account,
            token,
            client: client()?,
        })
    }

    /// The path of the account's resources under 2010-04-01.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/2010-04-01/Accounts/{}{rest}", self.account)
    }

    /// POSTs a form; the answer is JSON.
    ///
    /// # Errors
    /// No answer, or one of another status.
    pub fn post(&self, path: &str, form: &[(&str, &str)], status: u16) -> anyhow::Result<Value> {
        let request = self.client.post(self.url(path)).form(form);
        json(self.send(request, status)?)
    }

    /// GETs JSON.
    ///
    /// # Errors
    /// No answer, or one that is not 200.
    pub fn json(&self, path: &str) -> anyhow::Result<Value> {
        json(self.send(self.client.get(self.url(path)), 200)?)
    }

    /// GETs what is public: type and bytes.
    ///
    /// # Errors
    /// No answer, or one that is not 200.
    pub fn get(&self, path: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let answer = expect(self.client.get(self.url(path)).send()?, 200)?;
        let kind = answer
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok());
        Ok((
            kind.unwrap_or_default().to_owned(),
            answer.bytes()?.to_vec(),
        ))
    }

    /// Waits until a public resource can be fetched.
    ///
    /// # Errors
    /// It cannot within a minute.
    pub fn wait_for(&self, path: &str) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.head(self.url(path)).send();
            match answer {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                other if Instant::now() > until => bail!("{path} cannot be fetched: {other:?}"),
                _ => thread::sleep(STEP),
            }
        }
    }

    /// Asks for a public resource's head: whether it can be fetched now.
    ///
    /// # Errors
    /// No answer, or one that is not 200.
    pub fn head(&self, path: &str) -> anyhow::Result<()> {
        expect(self.client.head(self.url(path)).send()?, 200)?;
        Ok(())
    }

    /// POSTs a form, or GETs where there is none; any answer will do.
    ///
    /// # Errors
    /// No answer.
    pub fn ask(&self, path: &str, form: Option<&[(&str, &str)]>) -> anyhow::Result<Said> {
        let request = match form {
            Some(form) => self.client.post(self.url(path)).form(form),
            None => self.client.get(self.url(path)),
        };
        let token = self.token.expose_secret();
        let answer = request.basic_auth(self.account, Some(token)).send()?;
        let retry_after = answer.headers().get("retry-after");
        Ok(Said {
            status: answer.status().as_u16(),
            retry_after: retry_after.and_then(|seconds| seconds.to_str().ok()?.parse().ok()),
            text: answer.text()?,
        })
    }

    /// The daemon's address.
    ///
    /// # Errors
    /// It is not one.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        let (_, address) = self.base.split_once("://").context("no address")?;
        Ok(address.parse()?)
    }

    /// The header line that says who asks, for a client of one's own.
    #[must_use]
    pub fn authorization(&self) -> String {
        let token = self.token.expose_secret();
        let said =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:{token}", self.account));
        format!("Authorization: Basic {said}\r\n")
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn send(&self, request: RequestBuilder, status: u16) -> anyhow::Result<Response> {
        let token = self.token.expose_secret();
        expect(
            request.basic_auth(self.account, Some(token)).send()?,
            status,
        )
    }
}

/// Waits until a daemon can take a recording.
///
/// # Errors
/// It cannot within a minute, or `runs` says that it has ended.
pub fn wait_ready(listen: SocketAddr, mut runs: impl FnMut() -> bool) -> anyhow::Result<()> {
    let (client, until) = (client()?, Instant::now() + PATIENCE);
    loop {
        let answer = client.get(format!("http://{listen}/readyz")).send();
        if answer
            .as_ref()
            .is_ok_and(|answer| answer.status().is_success())
        {
            return Ok(());
        }
        if !runs() {
            bail!("the daemon ended by itself");
        }
        if Instant::now() > until {
            bail!("the daemon was not ready within {PATIENCE:?}: {answer:?}");
        }
        thread::sleep(STEP);
    }
}

/// Where an answer to a start says that a track's RTP goes.
///
/// # Errors
/// It does not say.
pub fn media_address(started: &Value, track: Track) -> anyhow::Result<SocketAddr> {
    let all = started["media"].as_array().into_iter().flatten();
    let media = all
        .into_iter()
        .find(|media| media["track"] == track.as_str());
    let media = media.context("the answer names no port for a track")?;
    let address: IpAddr = text(media, "address")?.parse()?;
    let port = media["port"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok());
    Ok(SocketAddr::new(
        address,
        port.context("the answer names no port")?,
    ))
}

/// A text of an answer.
///
/// # Errors
/// It has none of that name.
pub fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("the answer has no {name}: {value}"))
}

fn json(answer: Response) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&answer.bytes()?)?)
}

fn client() -> anyhow::Result<Client> {
    // No proxy: what the environment names is not loopback.
    Ok(Client::builder().no_proxy().timeout(PATIENCE).build()?)
}

fn expect(answer: Response, status: u16) -> anyhow::Result<Response> {
    if answer.status().as_u16() == status {
        return Ok(answer);
    }
    let (path, said) = (answer.url().path().to_owned(), answer.status());
    let body: String = answer
        .text()
        .unwrap_or_default()
        .chars()
        .take(500)
        .collect();
    bail!("{path} answered {said}, not {status}: {body}")
}
