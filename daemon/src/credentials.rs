//! Whose tokens the daemon knows at start: those that the configuration names, and, where there is no
//! account at all, one that is made.
//!
//! `run` calls [`settle`] once, after the store is open and before the API is. Tokens come from files
//! and go into the store sealed; none reaches a log.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use reeld_config::Config;
use reeld_model::AccountSid;
use reeld_store::Store;
use secrecy::{ExposeSecret, SecretString};
use tracing::{info, warn};

/// The file that a first start leaves.
const FILE: &str = "credentials.toml";

/// The longest token file, bytes; a token has 32.
const MAX_TOKEN_FILE: u64 = 4096;

/// Gives the store the configuration's accounts. Where it then has none at all, makes one, writes it
/// to `credentials.toml` in `data_dir` (0600) and returns that file; the log names the file.
///
/// # Errors
/// A token file cannot be read or holds no token, or the store or the disk refuses.
pub fn settle(store: &Store, config: &Config, data_dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    for account in &config.accounts {
        let token = token(&account.auth_token_file).with_context(|| {
            format!(
                "account {}: {}",
                account.sid,
                account.auth_token_file.display()
            )
        })?;
        store.put_account(account.sid, "", token)?;
    }
    if !store.accounts()?.is_empty() {
        return Ok(None);
    }
    let path = data_dir.join(FILE);
    // The file first: of an account without it nobody would know the token, after a crash too.
    let sid = store.add_account_told(None, "default", |sid, token| {
        write(&path, sid, token).with_context(|| path.display().to_string())
    })?;
    info!(account = %sid, file = %path.display(), "there was no account; one was made, its token is in the file");
    Ok(Some(path))
}

/// The account and the token that a first start left in `data_dir`.
///
/// # Errors
/// There is no such file, or it does not say.
pub fn read(data_dir: &Path) -> anyhow::Result<(AccountSid, SecretString)> {
    #[derive(serde::Deserialize)]
    struct Credentials {
        account_sid: AccountSid,
        auth_token: String,
    }
    let path = data_dir.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let said: Credentials =
        toml::from_str(&text).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok((said.account_sid, said.auth_token.into()))
}

/// The token in a file: its one line.
fn token(path: &Path) -> anyhow::Result<SecretString> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o007 != 0 {
        warn!(file = %path.display(), "everybody on this machine can read this token; chmod 600 it");
    }
    let mut text = String::new();
    file.take(MAX_TOKEN_FILE).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        bail!("expected a token, alone on one line");
    }
    Ok(token.into())
}

/// Writes the whole file, or none of it; durable, its name too.
fn write(path: &Path, sid: AccountSid, token: &SecretString) -> std::io::Result<()> {
    let part = path.with_extension("toml.part");
    // One that a crash has left would keep its own mode.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    let token = token.expose_secret();
    write!(
        file,
        "# The account that reeld made at its first start. HTTP Basic: the Sid is the user, the token the\n\
         # password. Keep it secret; `reeld account rotate {sid}` makes a new token.\n\
         account_sid = \"{sid}\"\n\
         auth_token = \"{token}\"\n"
    )?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            token(&path).map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(read("abc\n").unwrap(), "abc");
        assert!(read("\n").is_err());
        assert!(read("abc\ndef\n").is_err());
        assert!(token(&folder.path().join("none")).is_err());
    }

    #[test]
    fn the_file_is_for_its_owner_and_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(
            folder.path().join("credentials.toml.part"),
            "left by a crash",
        )
        .unwrap();
        let sid = AccountSid::from_bytes([1; 16]);
        write(&path, sid, &"first".into()).unwrap();
        write(&path, sid, &"second".into()).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!(
            "account_sid = \"{sid}\"\nauth_token = \"second\"\n"
        )));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_a_start_without_any_account_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let mut config = Config {
            data_dir: data_dir.clone(),
            ..Config::default()
        };
        let store = Store::open(crate::settings::store(&config, &data_dir)).unwrap();
        let file = settle(&store, &config, &data_dir).unwrap().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let (sid, token) = (between(&text, "account_sid"), between(&text, "auth_token"));
        assert!(store.authenticate(sid.parse().unwrap(), token));
        assert_eq!(settle(&store, &config, &data_dir).unwrap(), None);

        let path = folder.path().join("token");
        fs::write(&path, "0123456789abcdef\n").unwrap();
        let sid = AccountSid::from_bytes([9; 16]);
        config.accounts.push(reeld_config::AccountFile {
            sid,
            auth_token_file: path.clone(),
        });
        assert_eq!(settle(&store, &config, &data_dir).unwrap(), None);
        assert!(store.authenticate(sid, "0123456789abcdef"));

        fs::write(&path, "").unwrap();
        let error = settle(&store, &config, &data_dir).unwrap_err();
        let said = format!("{error:#}");
        assert!(
            said.contains(&sid.to_string()) && said.contains("token: expected"),
            "{said}"
        );
    }

    fn between<'a>(text: &'a str, key: &str) -> &'a str {
        let (_, rest) = text.split_once(&format!("{key} = \"")).unwrap();
        rest.split_once('"').unwrap().0
    }
}
