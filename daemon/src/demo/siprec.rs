//! A recording client for the demonstration: sipp, with a call of its own (`client.xml`).
//!
//! Called by `demo`. The call's signalling is all sipp's; packets are sent by the demonstration itself, so that the file can
//! be held to what was said.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reeld_model::CallSid;
use serde_json::Value;

use super::LOOPBACK;
use crate::customer::Customer;

const SCENARIO: &str = include_str!("client.xml");

/// Between two looks at something that is waited for.
const STEP: Duration = Duration::from_millis(20);

/// How long sipp may take beyond its call, and the call to be open.
const PATIENCE: Duration = Duration::from_secs(20);

/// A call of sipp's that goes on.
pub(super) struct Caller {
    sipp: Child,
    talk: Duration,
    errors: PathBuf,
}

impl Caller {
    /// Has sipp call a recording server, and hang up `talk` after it was answered.
    ///
    /// # Errors
    /// There is no sipp.
    pub(super) fn start(
        server: SocketAddr,
        call: CallSid,
        talk: Duration,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let scenario = SCENARIO
            .replace("{call}", &call.to_string())
            .replace("{talk_ms}", &talk.as_millis().to_string());
        let file = folder.join("client.xml");
        fs::write(&file, scenario).with_context(|| file.display().to_string())?;
        // A port that is free now; should somebody take it before sipp does, sipp says so.
        let from = UdpSocket::bind((LOOPBACK, 0))?.local_addr()?;
        let errors = folder.join("sipp-errors.log");
        let sipp = Command::new("sipp")
            .arg(server.to_string())
            .arg("-sf")
            .arg(&file)
            .args(["-m", "1", "-nostdin", "-i", &from.ip().to_string()])
            .args(["-p", &from.port().to_string(), "-recv_timeout", "10000"])
            .arg("-trace_err")
            .arg("-error_file")
            .arg(&errors)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("sipp (Debian's package sip-tester)")?;
        Ok(Self { sipp, talk, errors })
    }

    /// Waits until the call is open and is being recorded: the call, as the API shows it.
    ///
    /// # Errors
    /// It is not in time; what sipp says of it.
    pub(super) fn opened(&mut self, customer: &Customer, call: CallSid) -> anyhow::Result<Value> {
        let path = customer.path(&format!("/Calls/{call}.json"));
        let until = Instant::now() + PATIENCE;
        loop {
            let said = customer.ask(&path, None)?;
            if said.status == 200 {
                let shown: Value = serde_json::from_str(&said.text).context("the call")?;
                if shown["recordings"]
                    .as_array()
                    .is_some_and(|all| !all.is_empty())
                {
                    return Ok(shown);
                }
            }
            let has_ended = self.sipp.try_wait()?.is_some();
            if has_ended || Instant::now() > until {
                bail!("sipp's call is not open: {}", self.said());
            }
            thread::sleep(STEP);
        }
    }

    /// Waits until sipp has hung up.
    ///
    /// # Errors
    /// It does not, or was answered otherwise than it has to be.
    pub(super) fn hung_up(mut self) -> anyhow::Result<()> {
        let until = Instant::now() + self.talk + PATIENCE;
        let status = loop {
            if let Some(status) = self.sipp.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < until, "sipp does not end: {}", self.said());
            thread::sleep(STEP);
        };
        ensure!(status.success(), "sipp: {status}: {}", self.said());
        Ok(())
    }

    /// What sipp wrote of what went wrong.
    fn said(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_else(|_| "it wrote nothing of it".to_owned())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // Where it has ended there is nothing to kill, and waiting says so.
        let _ = self.sipp.kill();
        let _ = self.sipp.wait();
    }
}
