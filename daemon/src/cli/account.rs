//! `reeld account`: accounts and their API keys of the running daemon, or of the data folder when none runs.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use jiff::Timestamp;
use reeld_model::{AccountSid, KeySid};
use secrecy::ExposeSecret;

use super::Source;
use crate::socket::client::reach;
use crate::socket::message::{AccountLine, KeyLine, Reply, Request};

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Makes an account and prints its Sid and token; the token is shown this once
    Add {
        /// Its name to people
        #[arg(default_value = "")]
        name: String,
        /// Its Sid, if one is to be kept (AC and 32 hexadecimal digits)
        #[arg(long)]
        sid: Option<AccountSid>,
        #[command(flatten)]
        source: Source,
    },
    /// Lists the accounts
    List {
        #[command(flatten)]
        source: Source,
    },
    /// Removes an account; its recordings stay
    Remove {
        /// Which
        sid: AccountSid,
        #[command(flatten)]
        source: Source,
    },
    /// Gives an account a new token and prints it; the old one is good no more
    Rotate {
        /// Which
        sid: AccountSid,
        #[command(flatten)]
        source: Source,
    },
    /// Makes, lists and removes API keys: further credentials of an account
    #[command(subcommand)]
    Key(Key),
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Makes a key and prints its Sid and secret; the secret is shown this once
    Add {
        /// Whose it is
        account: AccountSid,
        /// Its name to people
        #[arg(default_value = "")]
        name: String,
        #[command(flatten)]
        source: Source,
    },
    /// Lists the keys
    List {
        #[command(flatten)]
        source: Source,
    },
    /// Removes a key; it is good no more
    Remove {
        /// Which
        sid: KeySid,
        #[command(flatten)]
        source: Source,
    },
}

impl Key {
    fn request(self) -> (Source, Request) {
        match self {
            Self::Add {
                account,
                name,
                source,
            } => (source, Request::KeyAdd { account, name }),
            Self::List { source } => (source, Request::KeyList),
            Self::Remove { sid, source } => (source, Request::KeyRemove { sid }),
        }
    }
}

impl Account {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (source, request) = match self {
            Self::Add { name, sid, source } => (source, Request::AccountAdd { sid, name }),
            Self::List { source } => (source, Request::AccountList),
            Self::Remove { sid, source } => (source, Request::AccountRemove { sid }),
            Self::Rotate { sid, source } => (source, Request::AccountRotate { sid }),
            Self::Key(key) => key.request(),
        };
        let may_make = matches!(request, Request::AccountAdd { .. });
        let reply = reach(&source.config()?, may_make)?.ask(request, &mut |_| {})?;
        print(&reply)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(reply: &Reply) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    match reply {
        Reply::Token { sid, token } => {
            writeln!(out, "account_sid = \"{sid}\"")?;
            writeln!(out, "auth_token = \"{}\"", token.0.expose_secret())?;
            writeln!(stderr(), "The token is shown this once: keep it.")?;
        }
        Reply::Accounts { accounts } => {
            for AccountLine {
                sid,
                name,
                created_ms,
                configured,
            } in accounts
            {
                let made = Timestamp::from_millisecond(*created_ms)?;
                let from = if *configured {
                    "configuration"
                } else {
                    "catalog"
                };
                writeln!(out, "{sid}  {made:.0}  {from:13}  {name}")?;
            }
        }
        Reply::Key {
            sid,
            account,
            secret,
        } => {
            writeln!(out, "account_sid = \"{account}\"")?;
            writeln!(out, "key_sid = \"{sid}\"")?;
            writeln!(out, "secret = \"{}\"", secret.0.expose_secret())?;
            writeln!(stderr(), "The secret is shown this once: keep it.")?;
        }
        Reply::Keys { keys } => {
            for KeyLine {
                sid,
                account,
                name,
                created_ms,
            } in keys
            {
                let made = Timestamp::from_millisecond(*created_ms)?;
                writeln!(out, "{sid}  {account}  {made:.0}  {name}")?;
            }
        }
        Reply::Removed => writeln!(out, "removed")?,
        Reply::Progress { .. }
        | Reply::Report { .. }
        | Reply::Rewrapped { .. }
        | Reply::Recording(_)
        | Reply::Status(_)
        | Reply::Audit { .. }
        | Reply::Imported(_)
        | Reply::Callbacks { .. }
        | Reply::Holds { .. }
        | Reply::Retried { .. }
        | Reply::Link { .. }
        | Reply::Refused { .. } => {
            bail!("the daemon answered something else than was asked")
        }
    }
    Ok(())
}
