use std::io::{Cursor, Write};

use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

const MONO: &str = r#"{"id":"c1","start":1.5,"duration":2.25,"channel":0,"supervisions":[{"id":"s","text":"hi"}],
 "recording":{"id":"r","sources":[{"type":"url","channels":[0],"source":"ais://speech/a/r.flac"}],
 "sampling_rate":16000,"num_samples":160000,"duration":10.0,"channel_ids":[0]},"type":"MonoCut"}"#;

fn parse(text: &str) -> Result<CutSpec, CutSpecError> {
    CutSpec::parse(text.as_bytes())
}

#[test]
fn a_cut_becomes_an_entry() {
    let spec = parse(MONO).unwrap();
    assert_eq!((spec.id.as_str(), spec.frames()), ("c1", Some(36_000)));
    let entries = spec.entries(CutFormat::Npy, None);
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    let json = serde_json::to_value(entry).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "objname": "a/r.flac", "uname": "ais/@#/speech/",
            "cut": {"start": 1.5, "duration": 2.25, "channels": [0], "rate": 16000, "format": "npy"},
        })
    );
}

#[test]
fn files_are_called_like_their_cuts() {
    assert_eq!(parse(MONO).unwrap().file_names(7), ["c1.wav"]);
    let named = |id: &str| parse(&format!(r#"{{"id":"{id}","audio_source":"x"}}"#)).unwrap();
    assert_eq!(named("a/b").file_names(7), ["a/b.wav"]);
    for id in ["", "../a", "/a"] {
        assert_eq!(named(id).file_names(7), ["cut-7.wav"], "{id}");
    }
    let mut pair = parse(MONO).unwrap();
    pair.parts.extend(pair.parts.clone());
    assert_eq!(pair.file_names(7), ["c1.0.wav", "c1.1.wav"]);
}

#[test]
fn recordings_are_found_where_other_tools_write_them() {
    for (text, object, archpath) in [
        (r#"{"id":"a","audio_source":"x.wav"}"#, "x.wav", ""),
        (r#"{"id":"a","recording":{"path":"ais://b/d/x.tar/in/y.wav"}}"#, "d/x.tar", "in/y.wav"),
        (r#"{"id":7,"audio_source":"s3://b/x.tar.gz/y.wav"}"#, "x.tar.gz", "y.wav"),
        (r#"{"audio_source":"ais://b/x.tar"}"#, "x.tar", ""),
    ] {
        let spec = parse(text).unwrap();
        let location = &spec.parts[0].location;
        assert_eq!((location.object.as_str(), location.archpath.as_str()), (object, archpath));
        assert_eq!((spec.start.get(), spec.duration), (0.0, None));
    }
}

#[test]
fn channels_come_from_the_files_that_have_them() {
    let line = |channel: &str| {
        format!(
            r#"{{"id":"m","channel":{channel},"recording":{{"sources":[
            {{"type":"url","channels":[0,1],"source":"ais://b/front.wav"}},
            {{"type":"url","channels":[4],"source":"ais://b/back.wav"}}]}}}}"#
        )
    };
    let channels = |channel| {
        let spec = parse(&line(channel)).unwrap();
        spec.parts.into_iter().map(|p| (p.location.object, p.channels)).collect::<Vec<_>>()
    };
    assert_eq!(channels("[4,1]"), [("front.wav".into(), vec![1]), ("back.wav".into(), vec![0])]);
    assert_eq!(channels("4"), [("back.wav".into(), vec![0])]);
    assert_eq!(channels("null"), [("front.wav".into(), vec![]), ("back.wav".into(), vec![])]);
    let missing = parse(&line("[0,2]")).unwrap_err().to_string();
    assert!(missing.contains("\"m\"") && missing.contains("channel 2"), "{missing}");
}

#[test]
fn what_cutting_cannot_give_is_refused_by_name() {
    for (text, part) in [
        (r#"{"id":"x","type":"MixedCut","tracks":[]}"#, "mixed"),
        (r#"{"id":"x","type":"PaddingCut","duration":1}"#, "silence"),
        (r#"{"id":"x","recording":{"transforms":[{}],"sources":[]}}"#, "transforms"),
        (r#"{"id":"x","recording":{"sources":[{"type":"command","source":"cat"}]}}"#, "command"),
        (r#"{"id":"x","recording":{"sources":[{"type":"memory","source":""}]}}"#, "in memory"),
        (r#"{"id":"x"}"#, "names no recording"),
        (r#"{"id":"x","audio_source":"https://h/x.wav"}"#, "no object"),
        (r#"{"id":"x","audio_source":"/data/x.wav"}"#, "no object"),
        (r#"{"id":"x","audio_source":"ais://b"}"#, "names no object"),
        (r#"{"id":"x","audio_source":"ais://b/../x"}"#, ".."),
        (r#"{"id":"x","audio_source":"a","duration":0}"#, "no duration"),
        (r#"{"id":"x","audio_source":"a","start":-1}"#, "JSON"),
        ("7", "JSON"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

fn lines(bytes: Vec<u8>) -> Vec<Result<(u64, Vec<u8>), String>> {
    let lines = Lines::new(Cursor::new(bytes)).unwrap();
    lines.map(|line| line.map_err(|err| err.to_string())).collect()
}

#[test]
fn manifests_are_read_however_they_are_packed() {
    let text = b"{\"a\":1}\n\n  \n{\"b\":2}\r\n{\"c\":3}".to_vec();
    let expected: Vec<_> = [(1, "{\"a\":1}"), (4, "{\"b\":2}"), (5, "{\"c\":3}")]
        .map(|(n, line)| Ok((n, line.as_bytes().to_vec())))
        .into();
    assert_eq!(lines(text.clone()), expected);
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    let gzip = gzip.finish().unwrap();
    assert_eq!(lines(gzip.clone()), expected);
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&text).unwrap();
    assert_eq!(lines(lz4.finish().unwrap()), expected);
    let cut = lines(gzip[..gzip.len() - 9].to_vec());
    assert!(cut.last().unwrap().is_err(), "{cut:?}");
    assert_eq!(lines(Vec::new()), []);
}

#[test]
fn long_lines_end_in_bounded_memory() {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..40 {
        gzip.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    let found = lines(gzip.finish().unwrap());
    assert_eq!(
        found,
        [Err("line 1 is longer than 16 MiB: is this a manifest of cuts?".to_owned())]
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for line in lines(bytes).into_iter().flatten() {
            let _ = CutSpec::parse(&line.1);
        }
    }

    #[test]
    fn cuts_survive_the_way_to_the_server(
        id in "[a-z]{0,8}", start in 0.0..1e5_f64, duration in 0.001..1e4_f64, channel in 0_u16..8,
    ) {
        let line = serde_json::json!({"id": id, "start": start, "duration": duration, "channel": channel,
            "recording": {"path": "ais://b/x.wav", "sampling_rate": 16000}});
        let spec = parse(&line.to_string()).unwrap();
        let sent = serde_json::to_string(&spec.entries(CutFormat::Wav, None)[0]).unwrap();
        let entry: MossIn = serde_json::from_str(&sent).unwrap();
        let cut = entry.resolve(None).unwrap().cut.unwrap();
        // JSON numbers may lose their last bit; frames do not notice.
        let frames = |seconds| Seconds::try_from(seconds).unwrap().frames(16_000);
        prop_assert_eq!(cut.start.frames(16_000), frames(start));
        prop_assert_eq!(cut.duration.unwrap().frames(16_000), frames(duration));
        prop_assert_eq!(cut.channels, vec![channel]);
    }
}
