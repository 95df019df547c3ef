//! Manifests of cuts, and recordings in WAV. The decoders of the other formats are not ours: the node guards itself
//! against what they do, and `cargo test -p aistore-audio` feeds them.

use std::io::Cursor;

use aistore_core::cut::{Cut, CutFormat, Seconds};
use aistore_core::cuts::{CutSpec, Lines};
use aistore_core::moss::MossIn;

/// Reads manifests, and cuts recordings.
pub fn cuts(data: &[u8]) {
    if data.starts_with(b"RIFF") {
        cut(data);
    }
    let Ok(lines) = Lines::new(Cursor::new(data.to_vec())) else { return };
    for (_, line) in lines.take(64).flatten() {
        let Ok(spec) = CutSpec::parse(&line) else { continue };
        for entry in spec.entries(CutFormat::Npy, None) {
            let sent = serde_json::to_vec(&entry).expect("what was read can be written");
            let got = serde_json::from_slice::<MossIn>(&sent).expect("and read");
            assert_eq!(without_seconds(got.clone()), without_seconds(entry));
            let _ = got.resolve(None);
        }
    }
}

/// Numbers in JSON may lose their last bit; which frames they mean does not depend on it.
fn without_seconds(mut entry: MossIn) -> MossIn {
    if let Some(cut) = &mut entry.cut {
        (cut.start, cut.duration) = (Seconds::default(), None);
    }
    entry
}

fn cut(data: &[u8]) {
    for format in [CutFormat::Wav, CutFormat::Npy] {
        let Ok(recording) = aistore_audio::open(Box::new(Cursor::new(data.to_vec()))) else {
            return;
        };
        let start = Seconds::try_from(0.001).expect("a number");
        let Ok(planned) = recording.plan(&Cut { start, format, ..Cut::default() }) else {
            continue;
        };
        if let Ok(made) = recording.read(&planned) {
            assert!(made.len() as u64 <= planned.bytes);
        }
    }
}
