//! The states of a folder that a power loss can leave, made of what was done to it.
//!
//! Strict where POSIX promises nothing: a file's bytes and length are there once an fsync or
//! fdatasync of it that began after them has returned, and a name once an fsync of its folder has; a
//! file's own sync says nothing of its name, and `sync_file_range` nothing at all. What no sync has
//! reached is kept, dropped, reordered or cut ([`Style`]), bytes by pages and sectors, and another
//! way in each file. Three things are relied on: a rename happens whole or not at all, what was never
//! written is zeros and nobody else's bytes, and what is durable is not hurt by what is written
//! beside it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::Mark;
use super::disk_log::{Entry, Op};
use crate::tape::Dice;

/// What a disk takes or leaves of a write.
const PAGE: u64 = 4_096;
const SECTOR: usize = 512;
/// The folder itself.
const ROOT: usize = 0;

/// What becomes of what no sync has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// All of it is kept: as after a kill.
    Everything,
    /// None of it.
    Nothing,
    /// All up to some moment, and nothing after it: a disk that keeps the order.
    Prefix,
    /// Each page, name and length by itself.
    Scattered,
    /// Names and lengths, but not a byte: zeros.
    Lengths,
    /// Bytes and lengths, but no names.
    Nameless,
}

impl Style {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Scattered,
        Self::Nothing,
        Self::Prefix,
        Self::Lengths,
        Self::Nameless,
        Self::Everything,
    ];

    /// Its name in a tally.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Nothing => "nothing",
            Self::Prefix => "prefix",
            Self::Scattered => "scattered",
            Self::Lengths => "lengths",
            Self::Nameless => "nameless",
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, data: Vec<u8> },
    Length(u64),
    Allocate(u64),
    Name { name: String, target: Option<usize> },
}

/// A file or a folder.
#[derive(Debug, Clone, Default)]
struct Object {
    is_folder: bool,
    /// Changes up to here are durable.
    synced: Mark,
    changes: Vec<(Mark, Change)>,
    /// A folder's names as the process sees them.
    names: BTreeMap<String, usize>,
}

/// A folder and what was done to it.
#[derive(Debug, Clone)]
pub struct Disk {
    objects: Vec<Object>,
    inodes: HashMap<u64, usize>,
    /// The log was replayed up to here.
    now: Mark,
}

/// A torn state: the folder's files by their paths, `None` for folders.
pub type State = BTreeMap<String, Option<Vec<u8>>>;

impl Disk {
    /// The folder as it is, all of it durable. One that is not there is empty.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn of_folder(folder: &Path) -> Self {
        let mut disk = Self {
            objects: Vec::new(),
            inodes: HashMap::new(),
            now: 0,
        };
        let root = disk.add(true, fs::metadata(folder).map_or(0, |meta| meta.ino()));
        if folder.exists() {
            disk.take_in(folder, root);
        }
        disk
    }

    fn take_in(&mut self, folder: &Path, into: usize) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let entry = entry.expect("the folder can be read");
            let meta = entry.metadata().expect("what is there has metadata");
            let path = entry.path();
            if !meta.is_dir() && !meta.is_file() {
                continue;
            }
            let one = self.add(meta.is_dir(), meta.ino());
            if meta.is_dir() {
                self.take_in(&path, one);
            } else {
                let data = fs::read(&path).expect("a file can be read");
                self.objects[one]
                    .changes
                    .push((0, Change::Write { at: 0, data }));
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            self.name(into, name, Some(one), 0);
        }
    }

    fn add(&mut self, is_folder: bool, inode: u64) -> usize {
        self.objects.push(Object {
            is_folder,
            ..Object::default()
        });
        let one = self.objects.len() - 1;
        self.inodes.insert(inode, one);
        one
    }

    fn name(&mut self, folder: usize, name: String, target: Option<usize>, end: Mark) {
        let folder = &mut self.objects[folder];
        match target {
            Some(target) => folder.names.insert(name.clone(), target),
            None => folder.names.remove(&name),
        };
        folder.changes.push((end, Change::Name { name, target }));
    }

    /// The folder of a path, and the path's last name.
    fn parent(&self, path: &str) -> Option<(usize, String)> {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = ROOT;
        for folder in folders.split('/').filter(|part| !part.is_empty()) {
            at = *self.objects[at].names.get(folder)?;
        }
        Some((at, name.to_owned()))
    }

    /// Does what was done up to `mark`.
    ///
    /// # Panics
    /// When the log has a name in a folder that is not there.
    pub fn replay(&mut self, log: &[Entry], mark: Mark) {
        for Entry { end, op } in log {
            if *end > self.now && *end <= mark {
                self.play(*end, op);
            }
        }
        self.now = mark;
    }

    fn play(&mut self, end: Mark, op: &Op) {
        let mut change = |inode: &u64, change: Change| {
            // A file that nobody made since the log began, such as a socket, is none of ours.
            if let Some(&one) = self.inodes.get(inode) {
                self.objects[one].changes.push((end, change));
            }
        };
        match op {
            Op::Write { inode, at, data } => {
                let (at, data) = (*at, data.clone());
                change(inode, Change::Write { at, data });
            }
            Op::Length { inode, bytes } => change(inode, Change::Length(*bytes)),
            Op::Allocate { inode, bytes } => change(inode, Change::Allocate(*bytes)),
            Op::Folder { inode, path } if path.is_empty() => {
                self.inodes.insert(*inode, ROOT);
            }
            Op::Create { inode, path } | Op::Folder { inode, path } => {
                let one = self.add(matches!(op, Op::Folder { .. }), *inode);
                let (folder, name) = self.parent(path).expect("a name is in a folder");
                self.name(folder, name, Some(one), end);
            }
            Op::Rename { from, to } => {
                let (from, old) = self.parent(from).expect("a name is in a folder");
                let (to, new) = self.parent(to).expect("a name is in a folder");
                let one = self.objects[from].names.get(&old).copied();
                // Whole or not at all: both changes have one mark, by which they are known.
                self.name(from, old, None, end);
                self.name(to, new, one, end);
            }
            Op::Remove { path } => {
                let found = self.parent(path);
                if let Some((folder, name)) = found
                    && self.objects[folder].names.contains_key(&name)
                {
                    self.name(folder, name, None, end);
                }
            }
            Op::Sync { inode, begun } => {
                if let Some(&one) = self.inodes.get(inode) {
                    let synced = &mut self.objects[one].synced;
                    *synced = (*synced).max(*begun);
                }
            }
            Op::SyncAll { begun } => {
                for object in &mut self.objects {
                    object.synced = object.synced.max(*begun);
                }
            }
        }
    }

    /// A state that a power loss can leave now.
    #[must_use]
    pub fn torn(&self, style: Style, dice: &mut Dice) -> State {
        let pending = self.objects.iter().flat_map(|object| {
            let pending = object.changes.iter().map(|(end, _)| *end);
            pending.filter(|end| *end > object.synced)
        });
        let mut pending: Vec<Mark> = pending.collect();
        pending.sort_unstable();
        let cut = match pending.len() {
            0 => Mark::MAX,
            count => pending[dice.below(count)],
        };
        let mut tear = Tear {
            style,
            cut,
            renames: self.durable_renames(),
            dice,
        };
        let mut state = State::new();
        self.build(ROOT, "", &mut tear, &mut state, 0);
        state
    }

    /// Renames whose new name is durable: then the old one is gone.
    fn durable_renames(&self) -> HashMap<Mark, bool> {
        let mut renames = HashMap::new();
        for object in &self.objects {
            for (end, change) in &object.changes {
                if let Change::Name {
                    target: Some(_), ..
                } = change
                    && *end <= object.synced
                {
                    renames.insert(*end, true);
                }
            }
        }
        renames
    }

    fn build(
        &self,
        folder: usize,
        path: &str,
        tear: &mut Tear<'_>,
        state: &mut State,
        depth: usize,
    ) {
        assert!(depth < 16, "{path}: a folder within itself");
        let object = &self.objects[folder];
        let mut names = BTreeMap::new();
        for (end, change) in &object.changes {
            if let Change::Name { name, target } = change
                && tear.keeps_name(*end, *end <= object.synced, target.is_none())
            {
                names.insert(name.clone(), *target);
            }
        }
        for (name, target) in names {
            let Some(target) = target else {
                continue;
            };
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            if self.objects[target].is_folder {
                state.insert(path.clone(), None);
                self.build(target, &path, tear, state, depth + 1);
            } else {
                state.insert(path, Some(self.content(target, tear)));
            }
        }
    }

    fn content(&self, file: usize, tear: &mut Tear<'_>) -> Vec<u8> {
        let object = &self.objects[file];
        let mut content = Vec::new();
        for (end, change) in &object.changes {
            let is_durable = *end <= object.synced;
            match change {
                Change::Write { at, data } if is_durable => put(&mut content, *at, data),
                Change::Write { at, data } => tear.write(*end, &mut content, *at, data),
                Change::Length(bytes) if is_durable || tear.keeps_length(*end) => {
                    content.resize(place(*bytes), 0);
                }
                Change::Allocate(bytes) if is_durable || tear.keeps_length(*end) => {
                    content.resize(content.len().max(place(*bytes)), 0);
                }
                Change::Length(_) | Change::Allocate(_) | Change::Name { .. } => {}
            }
        }
        content
    }
}

/// What is kept of what is not durable.
struct Tear<'a> {
    style: Style,
    cut: Mark,
    /// By their marks, whether they are kept; drawn once for both names.
    renames: HashMap<Mark, bool>,
    dice: &'a mut Dice,
}

impl Tear<'_> {
    fn keeps_name(&mut self, end: Mark, is_durable: bool, is_removal: bool) -> bool {
        if let Some(&kept) = self.renames.get(&end) {
            return kept;
        }
        // A removal whose folder is synced is durable, also where it is half of a rename.
        let kept = (is_durable && is_removal)
            || match self.style {
                Style::Everything | Style::Lengths => true,
                Style::Nothing | Style::Nameless => false,
                Style::Prefix => end <= self.cut,
                Style::Scattered => self.dice.below(2) == 0,
            };
        self.renames.insert(end, kept);
        kept
    }

    fn keeps_length(&mut self, end: Mark) -> bool {
        match self.style {
            Style::Everything | Style::Lengths | Style::Nameless => true,
            Style::Nothing => false,
            Style::Prefix => end <= self.cut,
            Style::Scattered => self.dice.below(2) == 0,
        }
    }

    fn write(&mut self, end: Mark, content: &mut Vec<u8>, at: u64, data: &[u8]) {
        match self.style {
            Style::Everything | Style::Nameless => put(content, at, data),
            Style::Nothing => {}
            Style::Prefix if end < self.cut => put(content, at, data),
            // The write in which the power went: some sectors of it.
            Style::Prefix if end == self.cut => {
                let sectors = self.dice.below(data.len() / SECTOR + 1);
                put(content, at, &data[..sectors * SECTOR]);
            }
            Style::Prefix => {}
            Style::Lengths => grow(content, at + data.len() as u64),
            Style::Scattered => self.scatter(content, at, data),
        }
    }

    fn scatter(&mut self, content: &mut Vec<u8>, at: u64, data: &[u8]) {
        if self.dice.below(2) == 0 {
            grow(content, at + data.len() as u64);
        }
        let mut done = 0;
        while done < data.len() {
            let from = at + done as u64;
            let to_page_end = place(PAGE - from % PAGE);
            let piece = &data[done..data.len().min(done + to_page_end)];
            match self.dice.below(5) {
                0 | 1 => put(content, from, piece),
                2 => put(
                    content,
                    from,
                    &piece[..self.dice.below(piece.len() / SECTOR + 1) * SECTOR],
                ),
                _ => {}
            }
            done += piece.len();
        }
    }
}

fn place(bytes: u64) -> usize {
    usize::try_from(bytes).expect("files fit the memory")
}

fn grow(content: &mut Vec<u8>, bytes: u64) {
    content.resize(content.len().max(place(bytes)), 0);
}

fn put(content: &mut Vec<u8>, at: u64, data: &[u8]) {
    grow(content, at + data.len() as u64);
    content[place(at)..][..data.len()].copy_from_slice(data);
}

/// Makes the folder so.
///
/// # Panics
/// When it cannot be written.
pub fn lay_down(folder: &Path, state: &State) {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.expect("the folder can be made");
    for (path, content) in state {
        let path = folder.join(path);
        match content {
            None => {
                let made = DirBuilder::new().mode(0o700).create(&path);
                made.expect("the folder can be made");
            }
            Some(content) => {
                let mut options = OpenOptions::new();
                let file = options.create_new(true).write(true).mode(0o600).open(&path);
                let mut file = file.expect("the file can be made");
                file.write_all(content).expect("the file can be written");
            }
        }
    }
}

/// The folder as it is, as a state.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn state_of(folder: &Path) -> State {
    Disk::of_folder(folder).torn(Style::Everything, &mut Dice::new(0))
}

#[cfg(test)]
#[path = "torn/tests.rs"]
mod tests;
