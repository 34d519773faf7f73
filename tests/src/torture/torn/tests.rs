//! What a sync has reached stays in every style; what it has not goes as the style says.

use super::*;

/// A log of these operations, each a mark of its own from 1 on.
fn log(ops: Vec<Op>) -> Vec<Entry> {
    let marked = (1..).zip(ops);
    marked.map(|(end, op)| Entry { end, op }).collect()
}

fn empty() -> Disk {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::of_folder(folder.path());
    disk.inodes.insert(1, ROOT);
    disk
}

fn create(inode: u64, path: &str) -> Op {
    Op::Create {
        inode,
        path: path.to_owned(),
    }
}

fn write(inode: u64, at: u64, data: &[u8]) -> Op {
    Op::Write {
        inode,
        at,
        data: data.to_vec(),
    }
}

fn sync(inode: u64, begun: Mark) -> Op {
    Op::Sync { inode, begun }
}

#[test]
fn what_is_synced_is_there_whatever_becomes_of_the_rest() {
    let ops = log(vec![
        create(2, "a"),
        write(2, 0, b"old"),
        sync(2, 2),
        sync(1, 3),
        write(2, 3, b"new"),
        create(3, "b"),
    ]);
    for style in Style::ALL {
        for seed in 0..20 {
            let mut disk = empty();
            disk.replay(&ops, Mark::MAX);
            let state = disk.torn(style, &mut Dice::new(seed));
            let content = state["a"].as_ref().unwrap();
            assert!(content.starts_with(b"old"), "{style:?}: {content:?}");
        }
    }
}

#[test]
fn a_files_sync_says_nothing_of_its_name() {
    let ops = log(vec![create(2, "a"), write(2, 0, b"x"), sync(2, 2)]);
    let mut disk = empty();
    disk.replay(&ops, Mark::MAX);
    let state = |style| disk.torn(style, &mut Dice::new(1));
    assert!(state(Style::Nothing).is_empty());
    assert!(state(Style::Nameless).is_empty());
    assert_eq!(state(Style::Everything)["a"].as_deref(), Some(&b"x"[..]));
    assert_eq!(state(Style::Lengths)["a"].as_deref(), Some(&b"x"[..]));
}

#[test]
fn what_came_after_a_sync_began_is_not_in_it() {
    let ops = log(vec![
        create(2, "a"),
        sync(1, 1),
        write(2, 0, b"one"),
        write(2, 3, b"two"),
        sync(2, 3),
    ]);
    let mut disk = empty();
    disk.replay(&ops, Mark::MAX);
    let state = |style| disk.torn(style, &mut Dice::new(1))["a"].clone().unwrap();
    assert_eq!(state(Style::Nothing), b"one");
    assert_eq!(state(Style::Lengths), b"one\0\0\0");
    assert_eq!(state(Style::Everything), b"onetwo");
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let folder = |inode, path: &str| Op::Folder {
        inode,
        path: path.to_owned(),
    };
    let ops = log(vec![
        folder(4, "s"),
        folder(5, "m"),
        create(2, "s/a"),
        sync(1, 3),
        sync(4, 3),
        Op::Rename {
            from: "s/a".to_owned(),
            to: "m/a".to_owned(),
        },
    ]);
    let mut seen = [0, 0];
    for seed in 0..50 {
        let mut disk = empty();
        disk.replay(&ops, Mark::MAX);
        let state = disk.torn(Style::Scattered, &mut Dice::new(seed));
        let [old, new] = ["s/a", "m/a"].map(|path| state.contains_key(path));
        assert!(old != new, "{state:?}");
        seen[usize::from(new)] += 1;
    }
    assert!(seen[0] > 5 && seen[1] > 5, "{seen:?}");
}

#[test]
fn pages_go_by_themselves() {
    let data = vec![7; 8 * 4_096];
    let ops = log(vec![create(2, "a"), sync(1, 1), write(2, 0, &data)]);
    let mut disk = empty();
    disk.replay(&ops, Mark::MAX);
    let (mut holes, mut cuts) = (0, 0);
    for seed in 0..50 {
        let state = disk.torn(Style::Scattered, &mut Dice::new(seed));
        let content = state["a"].clone().unwrap();
        assert!(content.iter().all(|&byte| byte == 7 || byte == 0));
        holes += usize::from(content.contains(&0));
        let state = disk.torn(Style::Prefix, &mut Dice::new(seed));
        let content = state["a"].clone().unwrap();
        assert!(content.iter().all(|&byte| byte == 7));
        cuts += usize::from(content.len() < data.len());
    }
    assert!(holes > 20 && cuts > 20, "{holes}, {cuts}");
}

#[test]
fn a_state_that_is_laid_down_is_that_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = State::new();
    state.insert("a".to_owned(), None);
    state.insert("a/b".to_owned(), Some(vec![1, 2, 3]));
    lay_down(folder.path(), &state);
    assert_eq!(state_of(folder.path()), state);
}
