//! Whatever an rtpengine answers, nothing panics.

use proptest::prelude::*;

use crate::rtpengine::fuzz::answers;

/// A call from its beginning to its end, as the fuzzer has it too.
const CALL: &[u8] = include_bytes!("../../../../fuzz/seeds/ng/call");

#[test]
fn a_call_of_the_fuzzers_is_one() {
    assert!(answers(CALL) > 10);
}

proptest! {
    #[test]
    fn no_answers_panic(bytes: Vec<u8>, changes in proptest::collection::vec((0..CALL.len(), any::<u8>()), 1..8), cut in 0..CALL.len()) {
        answers(&bytes);
        let mut changed = CALL.to_vec();
        for (at, byte) in changes {
            changed[at] = byte;
        }
        answers(&changed);
        changed.drain(..cut);
        answers(&changed);
    }
}
