//! What the fuzz target `call` was started from, and what it has found, played again: each breaks nothing.

use std::fs;
use std::path::Path;

#[test]
fn what_was_found_breaks_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/call");
    let files = fs::read_dir(&folder).expect("the target's seeds");
    let mut played = 0;
    for file in files {
        let path = file.expect("a file").path();
        let bytes = fs::read(&path).expect("it can be read");
        if let Err(what) = reeld_network::chaos::call(&bytes) {
            panic!("{}: {what}", path.display());
        }
        played += 1;
    }
    assert!(played > 0, "{}", folder.display());
}
