//! What an encrypted file is, kept from one end to the other, and each way in which it can be another.

use std::io::Read as _;

use proptest::prelude::*;
use reeld_model::RecordingSid;

use super::envelope::is_encrypted;
use super::*;
use crate::harness::sid;
use crate::stored::Stored;

fn keys(n: &[u8]) -> Keyring {
    let bytes: Vec<_> = n.iter().map(|n| [*n; keyring::KEY_BYTES]).collect();
    Keyring::of_bytes(&bytes)
}

fn stored_of(sid: RecordingSid, data_bytes: u64) -> Stored {
    let mut stored = crate::stored::tests::sample();
    stored.record.sid = sid;
    stored.record.channels = reeld_model::Channels::Mono;
    stored.record.frames = data_bytes / 2;
    stored
}

/// A finished file of blocks of sound, of which so many bytes are kept.
fn file_of(keys: &Keyring, sid: RecordingSid, blocks: &[&[u8]], keep: u64) -> Vec<u8> {
    let current = keys.current().unwrap();
    let (mut growing, envelope) = Growing::begin(keys, current, sid).unwrap();
    let mut file = envelope.to_vec();
    let rate = growing.rate(16_000).unwrap();
    growing.has_rate(16_000, &rate);
    file.extend(rate);
    for sound in blocks {
        let block = growing.block(sound).unwrap();
        assert_eq!(growing.has_block(&block, block.bytes.len()), sound.len());
        file.extend(&block.bytes);
    }
    assert_eq!(growing.end(), file.len() as u64);
    let (at, end) = growing.finish(&stored_of(sid, keep)).unwrap();
    file.truncate(usize::try_from(at).unwrap());
    file.extend(end);
    file
}

/// All of a file's sound.
fn read(file: &[u8], keys: &Keyring, sid: RecordingSid) -> Result<Vec<u8>, String> {
    let length = file.len() as u64;
    let mut opened =
        Opened::open(file.to_vec(), length, keys, sid).map_err(|e| format!("{e:?}"))?;
    let mut sound = Vec::new();
    let read = opened.sound().read_to_end(&mut sound);
    read.map_err(|e| e.to_string())?;
    assert_eq!(sound.len() as u64, opened.data_bytes());
    Ok(sound)
}

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut reader = blake3::Hasher::new();
    reader.update(&seed.to_le_bytes());
    let mut noise = vec![0; bytes];
    reader.finalize_xof().fill(&mut noise);
    noise
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_appended_comes_back_from_any_place(
        lengths in prop::collection::vec(prop_oneof![Just(16_000_usize), 1_usize..400, 65_000_usize..140_000], 1..7),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        let keys = keys(&[7]);
        let blocks: Vec<Vec<u8>> = lengths.iter().map(|n| noise(2 * n.div_ceil(2), *n as u64)).collect();
        let all = blocks.concat();
        let keep = 2 * (cut.index(all.len() / 2) + 1);
        let refs: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        let file = file_of(&keys, sid(1), &refs, keep as u64);
        prop_assert_eq!(read(&file, &keys, sid(1)).unwrap(), &all[..keep]);
        let mut opened = Opened::open(file.clone(), file.len() as u64, &keys, sid(1)).unwrap();
        let from = at.index(keep);
        let mut rest = vec![0; keep - from];
        opened.read_exact_at(&mut rest, from as u64).unwrap();
        prop_assert_eq!(&rest[..], &all[from..keep]);
        prop_assert_eq!(opened.read_at(&mut [0; 9], keep as u64).unwrap(), 0);
        prop_assert_eq!(opened.into_stored().unwrap(), stored_of(sid(1), keep as u64));
    }

    #[test]
    fn a_changed_bit_is_found_or_changes_nothing(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let keys = keys(&[7]);
        let all = noise(3_000, 1);
        let mut file = file_of(&keys, sid(1), &[&all[..1_000], &all[1_000..]], 3_000);
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        // The slot that is not used may change unseen, and the piece with the rate behind it: of a finished file
        // the record has that. Nothing else may.
        let unused = 512..ENVELOPE_BYTES + piece::OVERHEAD + size_of::<u32>();
        match read(&file, &keys, sid(1)) {
            Ok(sound) => {
                prop_assert!(unused.contains(&at), "bit {bit} of byte {at}");
                prop_assert_eq!(sound, all);
            }
            Err(_) => prop_assert!(!unused.contains(&at)),
        }
    }

    #[test]
    fn a_file_that_was_cut_or_grew_does_not_open(at in any::<prop::sample::Index>(), more in 1_usize..90) {
        let keys = keys(&[7]);
        let all = noise(3_000, 2);
        let file = file_of(&keys, sid(1), &[&all[..1_000], &all[1_000..]], 3_000);
        prop_assert!(read(&file[..at.index(file.len())], &keys, sid(1)).is_err());
        prop_assert!(read(&[&file[..], &vec![0; more]].concat(), &keys, sid(1)).is_err());
        // Its own end a second time, as if something had been left out before it.
        let longer = [&file[..file.len() - 12], &file[file.len() - more.min(40)..]].concat();
        prop_assert!(longer == file || read(&longer, &keys, sid(1)).is_err());
    }

    #[test]
    fn an_unfinished_take_is_what_is_whole_of_it(at in any::<prop::sample::Index>()) {
        let keys = keys(&[7]);
        let current = keys.current().unwrap();
        let (mut growing, envelope) = Growing::begin(&keys, current, sid(3)).unwrap();
        let mut file = envelope.to_vec();
        let blocks = [noise(700, 1), noise(70_000, 2), noise(20, 3)];
        let mut pieces = vec![(file.len(), 0)];
        for sound in &blocks {
            let block = growing.block(sound).unwrap();
            growing.has_block(&block, block.bytes.len());
            file.extend(&block.bytes);
            if sound.len() > 1 << 16 {
                let first = pieces.last().unwrap().0 + (1 << 16) + piece::OVERHEAD;
                pieces.push((first, pieces.last().unwrap().1 + (1 << 16)));
            }
            let before: usize = blocks.iter().take_while(|b| b.as_ptr() != sound.as_ptr()).map(Vec::len).sum();
            pieces.push((file.len(), before + sound.len()));
        }
        let all = blocks.concat();
        let cut = ENVELOPE_BYTES + at.index(file.len() + 1 - ENVELOPE_BYTES);
        let whole = pieces.iter().rfind(|(end, _)| *end <= cut).unwrap().1;
        let left = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &left, &file[..cut]).unwrap();
        let resumed = Growing::resume(&left, &keys, sid(3)).unwrap();
        prop_assert_eq!(resumed.data_bytes(), whole as u64);
        let mut sound = Vec::new();
        resumed.reader(&left).sound().read_to_end(&mut sound).unwrap();
        prop_assert_eq!(&sound[..], &all[..whole]);
        // A block of which a part was written counts as its whole pieces.
        let mut partly = Growing::resume(&left, &keys, sid(3)).unwrap();
        let block = partly.block(&blocks[1]).unwrap();
        let written = at.index(block.bytes.len() + 1);
        let had = partly.has_block(&block, written);
        let first = (1 << 16) + piece::OVERHEAD;
        let wanted = if written == block.bytes.len() { 70_000 } else if written >= first { 1 << 16 } else { 0 };
        prop_assert_eq!(had, wanted);
        prop_assert_eq!(partly.data_bytes(), (whole + wanted) as u64);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, seed in any::<u64>(), at in any::<prop::sample::Index>(), byte: u8) {
        fuzz(&bytes);
        let mut file = file_of(&keys(&[7]), RecordingSid::from_bytes([1; 16]), &[&noise(100, seed)], 100);
        let at = at.index(file.len());
        file[at] = byte;
        fuzz(&file);
        fuzz(&file[at..]);
    }
}

#[test]
fn pieces_that_change_places_or_come_from_another_recording_are_found() {
    let keys = keys(&[7]);
    let all = noise(3_000, 4);
    let blocks = [&all[..1_000], &all[1_000..2_000], &all[2_000..]];
    let file = file_of(&keys, sid(1), &blocks, 3_000);
    let other = file_of(&keys, sid(2), &blocks, 3_000);
    let rate = 4 + piece::OVERHEAD;
    let one = 1_000 + piece::OVERHEAD;
    let place = |n: usize| ENVELOPE_BYTES + rate + n * one..ENVELOPE_BYTES + rate + (n + 1) * one;
    assert_eq!(read(&file, &keys, sid(1)).unwrap(), all);

    let mut swapped = file.clone();
    swapped[place(0)].copy_from_slice(&file[place(1)]);
    swapped[place(1)].copy_from_slice(&file[place(0)]);
    assert!(
        read(&swapped, &keys, sid(1))
            .unwrap_err()
            .contains("not as it was written")
    );

    let mut doubled = file.clone();
    doubled[place(2)].copy_from_slice(&file[place(1)]);
    assert!(read(&doubled, &keys, sid(1)).is_err());

    // The other's piece, its end, its sound and end together, its envelope, all of it.
    for range in [
        place(1),
        place(2).end..file.len(),
        place(0).start..file.len(),
        0..ENVELOPE_BYTES,
        0..file.len(),
    ] {
        let mut mixed = file.clone();
        mixed[range.clone()].copy_from_slice(&other[range.clone()]);
        assert!(read(&mixed, &keys, sid(1)).is_err(), "{range:?}");
    }
    // All of it, with the Sid put right.
    let mut renamed = other.clone();
    for slot in [0, 512] {
        renamed[slot + 16..slot + 32].copy_from_slice(sid(1).as_bytes());
    }
    assert!(
        read(&renamed, &keys, sid(1))
            .unwrap_err()
            .contains("does not open under the key")
    );

    // A piece left out, with the rest moved up.
    let without = [&file[..place(1).start], &file[place(1).end..]].concat();
    assert!(
        read(&without, &keys, sid(1))
            .unwrap_err()
            .contains("its length")
    );
}

#[test]
fn another_key_is_named_and_the_same_key_later_opens() {
    let file = file_of(&keys(&[7]), sid(1), &[&noise(10, 1)], 10);
    let id = keys(&[7]).current().unwrap();
    let refused = Opened::open(file.clone(), file.len() as u64, &keys(&[8, 9]), sid(1)).err();
    assert!(
        matches!(refused, Some(Shut::NoKey(key)) if key == id),
        "{refused:?}"
    );
    assert_eq!(read(&file, &keys(&[8, 7]), sid(1)).unwrap(), noise(10, 1));
    assert!(is_encrypted(&file) && !is_encrypted(b"RIFF...."));
}

#[test]
fn no_two_files_of_the_same_sound_have_a_byte_run_in_common() {
    let keys = keys(&[7]);
    let sound = vec![0; 4_000];
    let (one, two) = (
        file_of(&keys, sid(1), &[&sound], 4_000),
        file_of(&keys, sid(1), &[&sound], 4_000),
    );
    let end = one.len();
    let runs: std::collections::HashSet<&[u8]> = one[ENVELOPE_BYTES..end].windows(16).collect();
    assert!(
        !two[ENVELOPE_BYTES..end]
            .windows(16)
            .any(|run| runs.contains(run))
    );
    assert!(
        !one.windows(16).any(|run| run == [0; 16])
            || one[ENVELOPE_BYTES..].windows(16).all(|run| run != [0; 16])
    );
}

#[test]
fn an_envelope_goes_from_key_to_key_and_each_step_opens() {
    let all = noise(500, 5);
    let (old, both, new) = (keys(&[7]), keys(&[8, 7]), keys(&[8]));
    let before = file_of(&old, sid(1), &[&all], 500);
    let sound = before[ENVELOPE_BYTES..].to_vec();
    let current = both.current().unwrap();
    let plan = |file: &[u8]| {
        Envelope::parse(file)
            .unwrap()
            .rewrap(&both, current, sid(1))
            .unwrap()
            .unwrap()
    };
    let put = |file: &mut Vec<u8>, write: Option<&envelope::Write>| {
        let write = write.unwrap();
        let at = usize::try_from(write.at).unwrap();
        file[at..at + write.bytes.len()].copy_from_slice(&write.bytes);
    };
    let rewrap = plan(&before);
    let mut file = before.clone();
    // A slot that is torn: the old one still opens.
    let torn = rewrap.first.as_ref().unwrap();
    let at = usize::try_from(torn.at).unwrap();
    for length in 0..torn.bytes.len() {
        let mut file = before.clone();
        file[at..at + length].copy_from_slice(&torn.bytes[..length]);
        assert_eq!(read(&file, &both, sid(1)).unwrap(), all, "{length} bytes");
    }
    put(&mut file, rewrap.first.as_ref());
    for keys in [&old, &both, &new] {
        assert_eq!(read(&file, keys, sid(1)).unwrap(), all);
    }
    // Repeated after a crash there, it comes to the same.
    let mut again = file.clone();
    let repeated = plan(&again);
    if let Some(first) = &repeated.first {
        put(&mut again, Some(first));
    }
    put(&mut again, repeated.then.as_ref());
    put(&mut file, rewrap.then.as_ref());
    for file in [&file, &again] {
        assert_eq!(read(file, &new, sid(1)).unwrap(), all);
        assert!(read(file, &old, sid(1)).unwrap_err().contains("NoKey"));
        assert!(plan(file).is_nothing());
        assert!(is_encrypted(file));
        assert_eq!(file[ENVELOPE_BYTES..], sound);
    }
    // And on to a third.
    let third = keys(&[9, 8]);
    let next = Envelope::parse(&file)
        .unwrap()
        .rewrap(&third, third.current().unwrap(), sid(1))
        .unwrap()
        .unwrap();
    put(&mut file, next.first.as_ref());
    put(&mut file, next.then.as_ref());
    assert_eq!(read(&file, &keys(&[9]), sid(1)).unwrap(), all);
    assert_eq!(Envelope::parse(&file).unwrap().keys().count(), 1);
}

/// What `fuzz/seeds/encrypted` has: made by `WRITE_SEEDS=1 cargo test -p reeld-store seeds`.
#[test]
fn the_fuzz_targets_seeds_are_files_of_this_version() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/encrypted");
    let one = RecordingSid::from_bytes([1; 16]);
    if std::env::var_os("WRITE_SEEDS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        let file = file_of(&keys(&[7]), one, &[&noise(200, 1), &noise(202, 2)], 400);
        std::fs::write(folder.join("whole.reeld"), &file).unwrap();
    }
    let file = std::fs::read(folder.join("whole.reeld")).unwrap();
    let sound = [noise(200, 1), noise(202, 2)].concat();
    assert_eq!(read(&file, &keys(&[7]), one).unwrap(), &sound[..400]);
    fuzz(&file);
}

#[test]
fn a_parked_take_is_known_by_its_end_and_not_read() {
    let keys = keys(&[7]);
    let blocks = [noise(16_000, 1), noise(16_000, 2), noise(900, 3)];
    let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    let mut file = file_of(&keys, sid(3), &blocks, 32_900);
    let temporary = |bytes: &[u8]| {
        let mut temporary = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut temporary, bytes).unwrap();
        temporary
    };
    let whole = Growing::resume(&temporary(&file), &keys, sid(3)).unwrap();
    let parked = Growing::parked(&temporary(&file), &keys, sid(3)).unwrap();
    assert_eq!(
        (parked.end(), parked.data_bytes(), parked.rate_hz()),
        (whole.end(), whole.data_bytes(), Some(16_000))
    );
    // What is wrong with a piece is found where it is read, and by who judges each.
    file[ENVELOPE_BYTES + 20_000] ^= 1;
    let torn = temporary(&file);
    let parked = Growing::parked(&torn, &keys, sid(3)).unwrap();
    assert_eq!(parked.data_bytes(), 32_900);
    let mut sound = Vec::new();
    parked
        .reader(&torn)
        .sound()
        .read_to_end(&mut sound)
        .unwrap_err();
    assert_eq!(sound, blocks[0]);
    let judged = Growing::resume(&torn, &keys, sid(3)).unwrap();
    assert_eq!(judged.data_bytes(), 16_000);
    // No end, and what is not of this recording.
    file.pop();
    assert!(Growing::parked(&temporary(&file), &keys, sid(3)).is_err());
    assert!(Growing::parked(&torn, &keys, sid(4)).is_err());
}
