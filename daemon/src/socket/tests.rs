//! The local socket between a server and clients of one process, on a store of its own.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::{fs, thread};

use reeld_config::Config;
use reeld_model::AccountSid;
use reeld_store::Store;
use secrecy::ExposeSecret;
use tokio::sync::oneshot;

use super::client::{Reached, daemon, reach};
use super::message::{Reply, Request};
use super::{NAME, server};
use crate::import::Job;
use crate::settings;

/// A daemon's socket on a data folder, until it is stopped.
struct Served {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Served {
    fn start(config: &Config) -> Self {
        let store = Store::open(settings::store(config, &config.data_dir)).unwrap();
        let data_dir = config.data_dir.clone();
        let calls = settings::capture(config);
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, is_bound) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = server::bind(&data_dir).unwrap();
                bound.send(()).unwrap();
                server::serve(listener, store, calls, async { drop(stopped.await) }).await;
            });
        });
        is_bound.recv().unwrap();
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn config(data_dir: &Path) -> Config {
    Config {
        data_dir: data_dir.to_owned(),
        ..Config::default()
    }
}

fn ask(config: &Config, request: Request) -> anyhow::Result<Reply> {
    reach(config, false)?.ask(request, &mut |_| {})
}

fn sids(config: &Config) -> Vec<String> {
    let Reply::Accounts { accounts } = ask(config, Request::AccountList).unwrap() else {
        panic!("no list");
    };
    accounts
        .iter()
        .map(|account| account.sid.to_string())
        .collect()
}

#[test]
fn a_command_does_the_same_beside_a_daemon_and_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let served = Served::start(&config);
    assert!(matches!(reach(&config, false).unwrap(), Reached::Daemon(_)));

    let add = Request::AccountAdd {
        sid: None,
        name: "main".to_owned(),
    };
    let Reply::Token { sid, token } = ask(&config, add).unwrap() else {
        panic!()
    };
    assert_eq!(sids(&config), [sid.to_string()]);
    let Reply::Token { token: new, .. } = ask(&config, Request::AccountRotate { sid }).unwrap()
    else {
        panic!()
    };
    assert_ne!(token.0.expose_secret(), new.0.expose_secret());
    assert!(
        matches!(ask(&config, Request::Verify).unwrap(), Reply::Report { findings, .. } if findings.is_empty())
    );
    assert!(
        matches!(ask(&config, Request::Status).unwrap(), Reply::Status(status) if status.pid == std::process::id())
    );

    served.stop();
    assert!(
        !folder.path().join(NAME).exists(),
        "the socket's file goes with the daemon"
    );
    assert!(daemon(folder.path()).unwrap().is_none());
    assert!(matches!(reach(&config, false).unwrap(), Reached::Folder(_)));
    assert_eq!(sids(&config), [sid.to_string()]);
    assert!(matches!(
        ask(&config, Request::AccountRemove { sid }).unwrap(),
        Reply::Removed
    ));
    let again = ask(&config, Request::AccountRemove { sid }).unwrap_err();
    assert_eq!(again.to_string(), format!("there is no account {sid}"));
}

#[test]
fn what_a_dead_daemon_has_left_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let path = folder.path().join(NAME);
    fs::create_dir_all(folder.path()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(daemon(folder.path()).unwrap().is_none());

    let served = Served::start(&config);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let second = runtime
        .block_on(async { server::bind(folder.path()) })
        .unwrap_err();
    assert!(
        second.to_string().contains("another daemon listens"),
        "{second}"
    );
    assert_eq!(sids(&config), [""; 0]);
    served.stop();

    fs::write(&path, "somebody's file").unwrap();
    let refused = runtime
        .block_on(async { server::bind(folder.path()) })
        .unwrap_err();
    assert!(refused.to_string().contains("is no socket"), "{refused}");
}

#[test]
fn a_path_that_no_socket_address_holds_is_reached_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    let config = config(&deep);
    let served = Served::start(&config);
    assert!(matches!(reach(&config, false).unwrap(), Reached::Daemon(_)));
    served.stop();
}

#[test]
fn garbage_is_answered_with_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let served = Served::start(&config);
    let long = [b'x'; 100_000];
    for garbage in [
        &b"{}\n"[..],
        b"\n",
        b"\xff\xfe\n",
        b"{\"do\":\"format\"}\n",
        &long,
    ] {
        let mut stream = UnixStream::connect(folder.path().join(NAME)).unwrap();
        // The daemon may have had enough before all of it is written.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8(said).unwrap();
        assert!(said.is_empty() || said.contains("refused"), "{said}");
    }
    assert_eq!(sids(&config), [""; 0]);
    served.stop();
}

/// A WAV file of a second, open, unlinked: only its descriptor leads to it.
fn wav() -> fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&reeld_codec::wav::header(1, 8_000, 16_000))
        .unwrap();
    file.write_all(&[1; 16_000]).unwrap();
    file
}

fn job(account: AccountSid) -> Job {
    Job {
        name: "a.wav".to_owned(),
        account: Some(account),
        call: None,
        sid: None,
        created_ms: Some(1_246_910_400_000),
        channels: None,
        tags: Default::default(),
    }
}

#[test]
fn an_open_file_is_imported_beside_a_daemon_and_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let account = AccountSid::from_bytes([3; 16]);
    let served = Served::start(&config);
    let add = Request::AccountAdd {
        sid: Some(account),
        name: String::new(),
    };
    ask(&config, add).unwrap();
    let import = |job: Job, file| {
        let reached = reach(&config, false).unwrap();
        reached.import(&config, job, file, &mut |_, _| {}).unwrap()
    };
    let done = import(job(account), wav());
    assert_eq!(done.problems, [] as [&str; 0]);
    assert_eq!(done.recordings[0].duration_ms, 1_000);
    // A directory is no file, and a request without a file is refused.
    let problems = import(job(account), fs::File::open(folder.path()).unwrap()).problems;
    assert_eq!(problems, ["it is no regular file"]);
    assert!(ask(&config, Request::Import(job(account))).is_err());

    served.stop();
    let again = import(job(account), wav());
    assert!(again.recordings.is_empty());
    assert!(
        again.notes[0].starts_with("imported before as RE"),
        "{again:?}"
    );
}

#[test]
fn an_import_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let store = Store::open(settings::store(&config, &config.data_dir)).unwrap();
    let (account, _) = store.add_account(None, "").unwrap();
    let calls = settings::capture(&config);
    let stop = &mut |_, _| false;
    let done = crate::import::run(&store, &calls, &job(account), wav(), stop);
    assert_eq!(done.problems, ["the import was stopped"]);
    assert!(done.recordings.is_empty());
    assert!(store.verify(&mut |_| {}).unwrap().findings.is_empty());
    // Not known either: the next import makes it.
    let go_on = &mut |_, _| true;
    let done = crate::import::run(&store, &calls, &job(account), wav(), go_on);
    assert_eq!(done.recordings.len(), 1, "{done:?}");
}
