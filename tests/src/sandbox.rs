//! The unit's sandbox without systemd: `systemd/reeld.service` as a command line for bubblewrap, which takes away
//! what the unit takes away, and puts the unit's system-call filter before the daemon.
//!
//! [`crate::setup::Setup::sandboxed`] starts a daemon in it. The filter is made of the unit's own lines and of systemd's groups
//! (`tests/sandbox/syscall-groups.txt`). Where the unit answers a system call with an error, this ends
//! the process (SIGSYS): a daemon that runs through has called nothing that the unit refuses. What a unit refuses by
//! argument is answered with an error here too, since a library may try.
//!
//! Of the unit's words these are kept: SystemCallFilter, RestrictAddressFamilies, RestrictNamespaces (clone3),
//! RestrictRealtime, MemoryDenyWriteExecute, ProtectSystem, ProtectHome, PrivateTmp, PrivateDevices, PrivateUsers,
//! ProtectProc (its own processes), CapabilityBoundingSet and NoNewPrivileges. A key that is not in `KNOWN` fails:
//! who adds one says here what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, compile_from_json,
};
use serde_json::json;

use crate::binary;

/// Keys of the unit's `[Service]` that are kept here, and those that are not a sandbox or are systemd's own to do.
const KNOWN: [&str; 52] = [
    "NotifyAccess",
    "FileDescriptorStoreMax",
    "Type",
    "ExecStart",
    "ExecReload",
    "WatchdogSec",
    "Restart",
    "RestartSec",
    "TimeoutStopSec",
    "User",
    "DynamicUser",
    "StateDirectory",
    "StateDirectoryMode",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "UMask",
    "LimitNOFILE",
    "LimitCORE",
    "TasksMax",
    "CPUWeight",
    "IOWeight",
    "NoNewPrivileges",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "ProtectSystem",
    "ProtectHome",
    "PrivateTmp",
    "PrivateDevices",
    "DevicePolicy",
    "PrivateUsers",
    "ProtectProc",
    "ProcSubset",
    "ProtectClock",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectControlGroups",
    "RemoveIPC",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "SystemCallArchitectures",
    "SystemCallFilter",
    "SystemCallErrorNumber",
    "LoadCredential",
    "FileDescriptorStoreMax",
    "FileDescriptorStorePreserve",
    "NotifyAccess",
];

/// Numbers of linux/errno.h.
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;

/// The unit's `[Service]`, its keys with each of their values in order.
#[derive(Debug)]
pub struct Unit(Vec<(String, String)>);

impl Default for Unit {
    fn default() -> Self {
        Self::new()
    }
}

impl Unit {
    /// `systemd/reeld.service`.
    ///
    /// # Panics
    /// When it is not there, or has a key that this does not know.
    #[must_use]
    pub fn new() -> Self {
        let text = fs::read_to_string(at_root("systemd/reeld.service")).expect("the unit is there");
        let service = text.split("\n[Service]\n").nth(1).expect("it is a service");
        let service = service.split("\n[").next().unwrap_or_default();
        let lines = service
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let unit = Self(
            lines
                .map(|line| {
                    let (key, value) = line.split_once('=').expect("key=value");
                    assert!(KNOWN.contains(&key), "tests/src/sandbox.rs knows no {key}");
                    (key.to_owned(), value.to_owned())
                })
                .collect(),
        );
        // What is put up below in any case.
        for (key, value) in [
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("PrivateDevices", "yes"),
            ("PrivateUsers", "yes"),
            ("CapabilityBoundingSet", ""),
            ("RestrictNamespaces", "yes"),
            ("RestrictRealtime", "yes"),
            ("MemoryDenyWriteExecute", "yes"),
            ("SystemCallErrorNumber", "EPERM"),
        ] {
            assert_eq!(unit.values(key), [value], "{key}");
        }
        unit
    }

    fn values(&self, key: &str) -> Vec<&str> {
        let has = self.0.iter().filter(|(name, _)| name == key);
        has.map(|(_, value)| value.as_str()).collect()
    }

    /// The system calls that its filter lets through, by systemd.exec(5): a first line without `~` is all
    /// that is allowed, beside @default; each further line adds, or with `~` takes away.
    ///
    /// # Panics
    /// When it has no filter, or one that begins with what is refused.
    #[must_use]
    pub fn allowed(&self) -> BTreeSet<String> {
        let groups = groups();
        let lines = self.values("SystemCallFilter");
        assert!(lines.first().is_some_and(|line| !line.starts_with('~')));
        let mut allowed = BTreeSet::new();
        expand(&groups, "@default", &mut allowed);
        for line in lines {
            let mut names = BTreeSet::new();
            let refused = line.strip_prefix('~');
            for name in refused.unwrap_or(line).split_whitespace() {
                expand(&groups, name, &mut names);
            }
            if refused.is_some() {
                allowed.retain(|name| !names.contains(name));
            } else {
                allowed.extend(names);
            }
        }
        allowed
    }
}

/// systemd's groups, by name.
fn groups() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(at_root("tests/sandbox/syscall-groups.txt"));
    let mut groups = BTreeMap::<_, Vec<String>>::new();
    let mut last = String::new();
    for line in text.expect("the groups are there").lines() {
        if line.starts_with('@') {
            line.clone_into(&mut last);
        } else if !line.starts_with('#') {
            let names = line.split_whitespace().map(str::to_owned);
            groups.entry(last.clone()).or_default().extend(names);
        }
    }
    groups
}

fn expand(groups: &BTreeMap<String, Vec<String>>, name: &str, into: &mut BTreeSet<String>) {
    if !name.starts_with('@') {
        into.insert(name.to_owned());
        return;
    }
    let group = groups
        .get(name)
        .unwrap_or_else(|| panic!("no group {name}"));
    for name in group {
        expand(groups, name, into);
    }
}

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn arch() -> TargetArch {
    std::env::consts::ARCH
        .try_into()
        .expect("a known architecture")
}

/// A program that refuses what is not in the unit's list by ending the process.
fn by_name(allowed: &BTreeSet<String>) -> BpfProgram {
    let compile = |names: &[&String]| {
        let filter: Vec<_> = names
            .iter()
            .map(|name| json!({ "syscall": name }))
            .collect();
        let text = json!({ "filter": {
            "mismatch_action": "kill_process", "match_action": "allow", "filter": filter,
        } });
        compile_from_json(text.to_string().as_bytes(), arch())
    };
    // The list is of all architectures.
    let here: Vec<_> = allowed
        .iter()
        .filter(|name| compile(&[name]).is_ok())
        .collect();
    assert!(here.len() > 200, "only {} are known here", here.len());
    compile(&here).expect("each of them is known")["filter"].clone()
}

/// The number of a system call here.
fn number(name: &str) -> i64 {
    match name {
        "socket" => nix::libc::SYS_socket,
        "mmap" => nix::libc::SYS_mmap,
        "mprotect" => nix::libc::SYS_mprotect,
        "pkey_mprotect" => nix::libc::SYS_pkey_mprotect,
        "sched_setscheduler" => nix::libc::SYS_sched_setscheduler,
        "clone3" => nix::libc::SYS_clone3,
        _ => panic!("no number of {name}"),
    }
}

/// A program that answers these calls with an error where one of their conditions holds.
fn by_argument(calls: Vec<(&str, Vec<SeccompRule>)>, error: u32) -> BpfProgram {
    let rules = calls
        .into_iter()
        .map(|(name, rules)| (number(name), rules))
        .collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(error),
        arch(),
    );
    filter
        .and_then(TryInto::try_into)
        .expect("the rules are in order")
}

fn rule(argument: u8, conditions: &[(SeccompCmpOp, u64)]) -> SeccompRule {
    let conditions = conditions.iter().map(|(op, value)| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op.clone(), *value)
            .expect("there is such an argument")
    });
    SeccompRule::new(conditions.collect()).expect("there is a condition")
}

/// What the unit refuses by argument.
fn by_arguments(unit: &Unit) -> Vec<BpfProgram> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let families = unit.values("RestrictAddressFamilies").join(" ");
    let families = families.split_whitespace().map(|family| {
        let number = match family {
            "AF_UNIX" => nix::libc::AF_UNIX,
            "AF_INET" => nix::libc::AF_INET,
            "AF_INET6" => nix::libc::AF_INET6,
            _ => panic!("no number of {family}"),
        };
        (Ne, u64::try_from(number).expect("it is positive"))
    });
    let other_family = rule(0, &families.collect::<Vec<_>>());
    let mask = |flags: i32| u64::try_from(flags).expect("it is positive");
    let exec = mask(nix::libc::PROT_EXEC);
    let both = exec | mask(nix::libc::PROT_WRITE);
    let turns_executable = || vec![rule(2, &[(MaskedEq(exec), exec)])];
    let real_time = [nix::libc::SCHED_FIFO, nix::libc::SCHED_RR];
    let real_time = real_time.map(|policy| rule(1, &[(Eq, mask(policy))]));
    vec![
        by_argument(vec![("socket", vec![other_family])], EAFNOSUPPORT),
        by_argument(
            vec![
                ("mmap", vec![rule(2, &[(MaskedEq(both), both)])]),
                ("mprotect", turns_executable()),
                ("pkey_mprotect", turns_executable()),
                ("sched_setscheduler", real_time.to_vec()),
            ],
            EPERM,
        ),
        // A filter cannot see its flags; clone is what C libraries fall back to.
        by_argument(vec![("clone3", Vec::new())], ENOSYS),
    ]
}

/// A filter as the kernel takes it: linux/filter.h, struct sock_filter.
fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |one: &seccompiler::sock_filter| {
        let mut bytes = one.code.to_ne_bytes().to_vec();
        bytes.extend([one.jt, one.jf]);
        bytes.extend(one.k.to_ne_bytes());
        bytes
    };
    program.iter().flat_map(instruction).collect()
}

/// Whether this machine lets bubblewrap make a sandbox.
#[must_use]
pub fn is_possible() -> bool {
    let mut command = Command::new("bwrap");
    command.args([
        "--unshare-user",
        "--unshare-pid",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "true",
    ]);
    command.status().is_ok_and(|status| status.success())
}

/// What runs `reeld` in the unit's sandbox: a command without the daemon's own arguments. `folder` can be read
/// there, and `data` in it written.
///
/// # Panics
/// When the filters cannot be written.
#[must_use]
pub fn command(unit: &Unit, folder: &Path, data: &Path) -> Vec<OsString> {
    let mut programs = vec![by_name(&unit.allowed())];
    programs.extend(by_arguments(unit));
    fs::create_dir_all(data).expect("the test's folder can be written");
    // The shell gives each filter a descriptor and becomes bubblewrap.
    let mut script = String::from("exec bwrap");
    let mut opened = String::new();
    for (program, descriptor) in programs.iter().zip(5..) {
        let path = folder.join(format!("filter-{descriptor}.bpf"));
        fs::write(&path, bytes(program)).expect("the test's folder can be written");
        script += &format!(" --add-seccomp-fd {descriptor}");
        opened += &format!(" {descriptor}<'{}'", path.display());
    }
    script += " \"$@\"";
    script += &opened;
    let mut command: Vec<OsString> = ["sh", "-c", &script, "sandbox"].map(Into::into).to_vec();
    let mut give = |arguments: &[&dyn AsRef<std::ffi::OsStr>]| {
        command.extend(
            arguments
                .iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
    };
    let inside = Path::new("/tmp/reeld");
    give(&[&"--die-with-parent", &"--unshare-user", &"--unshare-pid"]);
    give(&[
        &"--uid",
        &"64000",
        &"--gid",
        &"64000",
        &"--cap-drop",
        &"ALL",
    ]);
    give(&[
        &"--ro-bind",
        &"/",
        &"/",
        &"--proc",
        &"/proc",
        &"--dev",
        &"/dev",
    ]);
    for hidden in ["/home", "/root", "/tmp", "/var/tmp"] {
        if Path::new(hidden).exists() {
            give(&[&"--tmpfs", &hidden]);
        }
    }
    give(&[&"--ro-bind", &binary::path(), &inside]);
    give(&[&"--ro-bind", &folder, &folder, &"--bind", &data, &data]);
    give(&[&"--chdir", &"/", &"--", &inside]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_its_lines_in_order() {
        let unit = |lines: &[&str]| {
            let line = |line: &&str| ("SystemCallFilter".to_owned(), (*line).to_owned());
            Unit(lines.iter().map(line).collect()).allowed()
        };
        let lines = ["@system-service", "~@privileged @resources", "setpriority"];
        let allowed = unit(&lines);
        let has = |name: &str| allowed.contains(name);
        assert!(has("recvmmsg") && has("futex") && has("setpriority") && has("execve"));
        assert!(!has("chown") && !has("setrlimit") && !has("reboot") && !has("mount"));
        assert!(unit(&lines[..1]).contains("chown"));
    }

    #[test]
    fn systemd_s_groups_are_those_of_the_list() {
        let shown = Command::new("systemd-analyze")
            .args([
                "syscall-filter",
                "--no-pager",
                "@system-service",
                "@privileged",
            ])
            .output();
        let Ok(shown) = shown else {
            eprintln!("skipped: there is no systemd-analyze");
            return;
        };
        let groups = groups();
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        let named = text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with('@'));
        let mut seen = 0;
        for name in named {
            assert!(groups.contains_key(name), "{name} is not in the list");
            seen += 1;
        }
        assert!(seen > 10, "{text}");
    }
}
