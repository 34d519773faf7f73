//! How much memory there is, and how much of it is in use.
//!
//! Called by `run` once, for the backlog's size, and by `load` for its readings. It asks sysinfo(2),
//! `/proc` and the control groups' files (cgroups(7)). Where a control group bounds this process, what counts is
//! the process's own resident memory: a group's usage has the page cache in it, which a recorder fills
//! to any bound and the kernel takes back. Elsewhere it is what the kernel can give to anybody
//! (`MemAvailable`), and where a unit hides that (systemd's `ProcSubset=pid`) the process's own again.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::sysinfo::sysinfo;

/// Where control groups are seen.
const GROUPS: &str = "/sys/fs/cgroup";

/// The memory that this process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Bytes that there are to the machine; 0 where nobody says so.
    total: u64,
    /// Bytes that the process may have, where that is less.
    limit: Option<u64>,
}

impl Memory {
    /// Looks up what there is. It is asked once: a limit that is changed is seen at the next start.
    pub(crate) fn here() -> Self {
        let read = |path: &Path| fs::read_to_string(path).ok();
        let total = sysinfo().map_or(0, |system| system.ram_total());
        let limit = limit(&text("/proc/self/cgroup"), read).filter(|limit| *limit < total);
        Self { total, limit }
    }

    /// Bytes that the process may have.
    pub(crate) fn most(self) -> u64 {
        self.limit.unwrap_or(self.total)
    }

    /// Bytes of [`Self::most`] that are in use now.
    pub(crate) fn used(self) -> u64 {
        let available = match self.limit {
            Some(_) => None,
            None => kib("MemAvailable:", &text("/proc/meminfo")),
        };
        match available {
            Some(available) => self.total.saturating_sub(available),
            None => kib("VmRSS:", &text("/proc/self/status")).unwrap_or(0),
        }
    }
}

/// A file of the kernel's; nothing where it is not there.
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Bytes by the line that begins with `name`.
fn kib(name: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1_024)
}

/// The least limit of the groups in `/proc/self/cgroup` and of those above them, of either version.
fn limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    groups
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                Some((
                    PathBuf::from(GROUPS),
                    path,
                    &["memory.max", "memory.high"][..],
                ))
            } else if controllers.split(',').any(|name| name == "memory") {
                let root = Path::new(GROUPS).join("memory");
                Some((root, path, &["memory.limit_in_bytes"][..]))
            } else {
                None
            }
        })
        .flat_map(|(root, path, files)| {
            let folder = root.join(path);
            let folders: Vec<_> = folder
                .ancestors()
                .take_while(|folder| folder.starts_with(&root))
                .map(Path::to_owned)
                .collect();
            // In a container its own group is at the root, whatever its path outside is.
            folders
                .into_iter()
                .flat_map(move |folder| files.iter().map(move |file| folder.join(file)))
        })
        // "max" is no number.
        .filter_map(|file| read(&file)?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_of(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        limit(groups, |path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| format!("{text}\n"))
        })
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let v2 = "0::/system.slice/reeld.service\n";
        let service = "/sys/fs/cgroup/system.slice/reeld.service/memory";
        let (max, high) = (format!("{service}.max"), format!("{service}.high"));
        let slice = "/sys/fs/cgroup/system.slice/memory.max";
        assert_eq!(limit_of(v2, &[(&max, "max"), (&high, "max")]), None);
        assert_eq!(limit_of(v2, &[(&max, "4000"), (&high, "max")]), Some(4_000));
        assert_eq!(
            limit_of(v2, &[(&max, "4000"), (&high, "3000")]),
            Some(3_000)
        );
        assert_eq!(
            limit_of(v2, &[(&max, "4000"), (slice, "2000")]),
            Some(2_000)
        );
        let container = &[("/sys/fs/cgroup/memory.max", "1000")];
        assert_eq!(limit_of("0::/../x\n", container), Some(1_000));
        let v1 = "5:cpu,cpuacct:/a\n4:memory:/docker/x\n0::/\n";
        let file = "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes";
        assert_eq!(limit_of(v1, &[(file, "500")]), Some(500));
        assert_eq!(limit_of("nonsense", container), None);
    }

    #[test]
    fn there_is_memory_here_and_some_of_it_is_in_use() {
        let memory = Memory::here();
        let (used, most) = (memory.used(), memory.most());
        assert!(0 < used && used < most, "{used} of {most}");
        let bounded = Memory {
            limit: Some(most),
            ..memory
        };
        assert!((1 << 20..most).contains(&bounded.used()));
    }
}
