//! Manifests of cuts, and recordings.
#![no_main]

use std::io::Cursor;

use aistore_core::cut::CutFormat;
use aistore_core::cuts::{CutSpec, Lines};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(lines) = Lines::new(Cursor::new(data.to_vec())) else { return };
    for (_, line) in lines.take(64).flatten() {
        let Ok(spec) = CutSpec::parse(&line) else { continue };
        for entry in spec.entries(CutFormat::Npy, None) {
            let sent = serde_json::to_vec(&entry).expect("what was read can be written");
            let got = serde_json::from_slice::<aistore_core::moss::MossIn>(&sent).expect("and read");
            assert_eq!(got, entry);
            let _ = got.resolve(None);
        }
    }
});
