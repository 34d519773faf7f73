//! What only the inside of a take can be brought to.

use crate::harness::*;
use crate::{MediaKind, MediaReader, NewRecording, Store};

use super::*;

const fn assert_send<T: Send>() {}
const fn assert_shared<T: Clone + Send + Sync>() {}
const _: () = {
    assert_send::<Take>();
    assert_send::<MediaReader>();
    assert_shared::<Store>();
};

#[test]
fn a_take_ends_before_riff_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), MediaKind::Local);
    let channels = reeld_model::Channels::Mono;
    begin(&store, NewRecording { channels, ..new(1) });
    let mut take = store.take(sid(1)).unwrap();
    take.append(&sound(100), 100).unwrap();
    let most = u64::from(wav::MAX_DATA_BYTES) / 2;
    take.frames = most - 1;
    for _ in 0..2 {
        let error = take.append(&[0; 2], most).unwrap_err();
        assert!(error.to_string().contains("4 GiB"), "{error}");
    }
    take.frames = 100;
    let record = store.finish(take, end(100)).unwrap();
    assert_eq!(
        (record.frames, record.ended_by),
        (100, Some(EndedBy::MaxSize))
    );
    assert_eq!(served(&store, &record), file_of(channels, &sound(100)));
    assert_clean(&store);
}
