//! Accounts: what lets in, what is on disk, and whose token is whose.

use std::fs;

use secrecy::{ExposeSecret as _, SecretString};

use crate::harness::*;
use crate::{MediaKind, Store, StoreError};

fn text(token: &SecretString) -> String {
    token.expose_secret().to_owned()
}

#[test]
fn an_account_is_let_in_with_its_token_alone_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), MediaKind::Local);
    let (one, token) = store.add_account(None, "one").unwrap();
    let (other, other_token) = store.add_account(Some(account(7)), "other").unwrap();
    assert_eq!(other, account(7));
    let (token, other_token) = (text(&token), text(&other_token));
    assert_eq!(token.len(), 32);
    assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(token, other_token);
    for reopened in [false, true] {
        if reopened {
            drop(store);
            store = open(dir.path(), MediaKind::Local);
        }
        assert!(store.authenticate(one, &token) && store.authenticate(other, &other_token));
        assert!(!store.authenticate(one, &other_token));
        assert!(!store.authenticate(one, &token[..31]));
        assert!(!store.authenticate(one, ""));
        assert!(!store.authenticate(account(9), &token));
        assert!(!store.authenticate(account(9), ""));
        let names: Vec<_> = store
            .accounts()
            .unwrap()
            .into_iter()
            .map(|account| account.name)
            .collect();
        assert_eq!(names.len(), 2);
        assert!(matches!(
            store.add_account(Some(one), "again"),
            Err(StoreError::AccountTaken { sid }) if sid == one
        ));
    }
}

#[test]
fn removal_and_rotation_take_effect_at_once_and_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), MediaKind::Local);
    let (gone, gone_token) = store.add_account(None, "gone").unwrap();
    let (turned, old_token) = store.add_account(None, "turned").unwrap();
    assert!(store.remove_account(gone).unwrap());
    assert!(!store.remove_account(gone).unwrap());
    let new_token = store.rotate_account(turned).unwrap().unwrap();
    assert!(store.rotate_account(gone).unwrap().is_none());
    for reopened in [false, true] {
        if reopened {
            drop(store);
            store = open(dir.path(), MediaKind::Local);
        }
        assert!(!store.authenticate(gone, &text(&gone_token)));
        assert!(!store.authenticate(turned, &text(&old_token)));
        assert!(store.authenticate(turned, &text(&new_token)));
        assert_eq!(store.accounts().unwrap().len(), 1);
    }
}

#[test]
fn an_account_of_the_configuration_lives_in_memory_and_is_changed_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let put = || store.put_account(account(3), "file", SecretString::from("short".to_owned()));
    put().unwrap();
    assert!(matches!(put(), Err(StoreError::AccountTaken { .. })));
    assert!(store.authenticate(account(3), "short"));
    assert!(store.accounts().unwrap()[0].configured);
    let is_configured = |error| matches!(error, StoreError::AccountConfigured { .. });
    assert!(is_configured(store.remove_account(account(3)).unwrap_err()));
    assert!(is_configured(store.rotate_account(account(3)).unwrap_err()));
    drop(store);
    let store = open(dir.path(), MediaKind::Local);
    assert!(!store.authenticate(account(3), "short"));
    assert_eq!(store.accounts().unwrap(), []);
}

#[test]
fn no_token_is_on_disk_and_another_key_opens_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let (sid, token) = store.add_account(None, "x").unwrap();
    drop(store);
    let token = text(&token);
    let raw = hex::decode(&token).unwrap();
    let mut files = vec![dir.path().to_owned()];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        read += bytes.len();
        for secret in [token.as_bytes(), &raw] {
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "{path:?}"
            );
        }
    }
    assert!(read > 0);
    let key = fs::read(dir.path().join("key")).unwrap();
    fs::write(dir.path().join("key"), [0; 32]).unwrap();
    let Err(StoreError::Key { reason, .. }) = Store::open(config(dir.path(), MediaKind::Local))
    else {
        panic!("another key opened a token");
    };
    assert!(reason.contains(&sid.to_string()));
    fs::remove_file(dir.path().join("key")).unwrap();
    assert!(matches!(
        Store::open(config(dir.path(), MediaKind::Local)),
        Err(StoreError::Key { .. })
    ));
    fs::write(dir.path().join("key"), key).unwrap();
    assert!(open(dir.path(), MediaKind::Local).authenticate(sid, &token));
}

#[test]
fn a_token_sealed_for_one_account_opens_for_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    store.add_account(Some(account(1)), "x").unwrap();
    let (_, bytes) = store.inner.catalog.accounts().unwrap().remove(0);
    store.inner.catalog.put_account(account(2), &bytes).unwrap();
    drop(store);
    assert!(matches!(
        Store::open(config(dir.path(), MediaKind::Local)),
        Err(StoreError::Key { .. })
    ));
}
