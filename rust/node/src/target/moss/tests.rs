//! Batches over a real store and peers in memory.

use std::collections::HashMap;
use std::io::Read;

use aistore_core::frames::{HEADER_BYTES, Header};
use aistore_core::tar;
use aistore_store::{PutOptions, Store, StoreConfig};

use super::pack::{Packed, layout_of};
use super::peer::tests::{frame, peer};
use super::plan::tests::entry;
use super::*;
use crate::target::archive::Format;
use crate::target::objects::Objects;

struct Fixture {
    objects: Arc<Objects>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = vec![directory.path().join("a"), directory.path().join("b")];
        let store = Arc::new(Store::open(StoreConfig::new(paths)).unwrap());
        Self { objects: Arc::new(Objects::new(store)), _directory: directory }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let uname = Bucket::ais("b").object_uname(name);
        let options = PutOptions { now_ns: 7_000_000_000, ..PutOptions::default() };
        let mut writer = self.objects.store.begin_put(1, &uname, name, options).unwrap();
        writer.write(bytes).unwrap();
        writer.finish().unwrap();
    }

    fn assembler(
        &self,
        entries: Vec<(Wanted, Option<ObjectRef>)>,
        remote: HashMap<usize, usize>,
        peers: Vec<PeerEntries>,
        layout: Layout,
        on_failure: OnFailure,
    ) -> Assembler {
        let mut plan = Plan::local(entries);
        for (position, peer) in remote {
            plan.entries[position].route = Route::Peer(peer);
        }
        let (plan, objects) = (Arc::new(plan), Arc::clone(&self.objects));
        let pieces = Pieces::unlimited();
        let local = LocalEntries::new(
            Arc::clone(&objects),
            Arc::clone(&plan),
            (layout, "t[me]".into()),
            pieces.clone(),
        );
        Assembler::new(plan, layout, on_failure, pieces, local, peers)
    }
}

const TAR_LAYOUT: Layout = Layout::Tar { only_object_name: true };

async fn collect(assembler: &mut Assembler) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::new();
    while let Some(piece) = assembler.next().await? {
        assert!(!piece.is_empty() && piece.len() <= 256 << 10, "{}", piece.len());
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

/// Names and contents, in order.
fn unpack(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    assert!(archive.ends_with(&tar::END), "properly closed");
    let members = tar::index_members(archive, archive.len() as u64).unwrap();
    let content = |m: &tar::Member| {
        let at = usize::try_from(m.offset).unwrap();
        archive[at..at + usize::try_from(m.size).unwrap()].to_vec()
    };
    members.iter().map(|m| (m.name.clone(), content(m))).collect()
}

fn payload(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + seed * 7) % 251).unwrap()).collect()
}

#[tokio::test]
async fn entries_of_all_sizes_come_in_request_order_from_disks_and_peers() {
    let fixture = Fixture::new();
    let sizes = [0, 1, 511, 512, 10_000, 65_536, 65_537, 300_000, 1_000_000, 3, 200_000];
    let mut entries = Vec::new();
    let mut expected = Vec::new();
    let mut remote = HashMap::new();
    let mut streams = [Vec::new(), Vec::new()];
    let mut counts = [0_u32; 2];
    for position in 0..120_usize {
        let (name, bytes) =
            (format!("dir/o{position}"), payload(position, sizes[position * 7 % sizes.len()]));
        match position % 3 {
            0 => fixture.put(&name, &bytes),
            at => {
                remote.insert(position, at - 1);
                streams[at - 1].extend_from_slice(&frame(counts[at - 1], &bytes));
                counts[at - 1] += 1;
            }
        }
        entries.push(entry(&name));
        expected.push((name, bytes));
    }
    for stream in &mut streams {
        stream.extend_from_slice(&Header::end().encode());
    }
    let peers = streams.map(|stream| peer(Ok(stream), 10_007)).into();
    let mut assembler = fixture.assembler(entries, remote, peers, TAR_LAYOUT, OnFailure::Abort);
    let archive = collect(&mut assembler).await.unwrap();
    assert!(unpack(&archive) == expected);
    let sizes: Vec<u64> = assembler.results().iter().map(|r| r.bytes).collect();
    assert_eq!(sizes, expected.iter().map(|(_, b)| b.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn missing_entries_are_marked_up_to_the_limit() {
    let fixture = Fixture::new();
    fixture.put("here", b"x");
    let names = ["gone1", "here", "gone2"];
    let entries = || names.iter().map(|name| entry(name)).collect::<Vec<_>>();
    let run = |on_failure| {
        fixture.assembler(entries(), HashMap::new(), Vec::new(), TAR_LAYOUT, on_failure)
    };
    let mut marked = run(OnFailure::Mark(2));
    let archive = collect(&mut marked).await.unwrap();
    let got = unpack(&archive);
    let expected = [("__404__/gone1", &b""[..]), ("here", b"x"), ("__404__/gone2", b"")];
    assert_eq!(got, expected.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    let error = marked.results()[2].error.clone().unwrap();
    assert!(error.contains("ais://b/gone2 does not exist"), "{error}");

    let err = collect(&mut run(OnFailure::Mark(1))).await.unwrap_err();
    assert!(
        err.status == 400 && err.message.contains("exceeded soft-errors limit: 2 (max: 1)"),
        "{err}"
    );
    let err = collect(&mut run(OnFailure::Abort)).await.unwrap_err();
    assert_eq!((err.status, err.tcode.as_str()), (404, "ErrNotFound"));
}

#[tokio::test]
async fn ranges_are_strict_and_fail_the_batch_even_when_it_goes_on_after_errors() {
    let fixture = Fixture::new();
    fixture.put("o", b"0123456789");
    fixture.put("empty", b"");
    let part = |name: &str, start, length| {
        let (wanted, object) = entry(name);
        (Wanted { start, length, ..wanted }, object)
    };
    let run = |entries| {
        fixture.assembler(entries, HashMap::new(), Vec::new(), TAR_LAYOUT, OnFailure::Mark(8))
    };
    let good = vec![part("o", 2, Some(3)), part("o", 9, None), part("empty", 0, None)];
    let got = unpack(&collect(&mut run(good)).await.unwrap());
    assert_eq!(
        got.iter().map(|(_, b)| b.as_slice()).collect::<Vec<_>>(),
        [b"234".as_slice(), b"9", b""]
    );
    for (start, length) in [(8, Some(3)), (10, None), (11, Some(1))] {
        let err = collect(&mut run(vec![part("o", start, length)])).await.unwrap_err();
        assert!(err.status == 400 && err.message.contains("not satisfiable range"), "{err}");
    }
}

#[tokio::test]
async fn files_are_read_out_of_shards() {
    let fixture = Fixture::new();
    let mut shard = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| {
        shard.extend_from_slice(&tar::encode_header(name, bytes.len() as u64, 0));
        shard.extend_from_slice(bytes);
        shard.resize(shard.len() + tar::padding(bytes.len() as u64), 0);
    };
    put("./a.txt", b"first");
    put("big.bin", &payload(1, 500_000));
    put("a.txt", b"second");
    shard.extend_from_slice(&tar::END);
    fixture.put("s.tar", &shard);
    fixture.put("s.zip", b"PK");
    let file = |shard: &str, path: &str| {
        let (wanted, object) = entry(shard);
        (Wanted { archpath: path.into(), ..wanted }, object)
    };
    let (mut part, object) = file("s.tar", "big.bin");
    (part.start, part.length) = (100, Some(5));
    let entries =
        vec![file("s.tar", "a.txt"), file("s.tar", "big.bin"), (part, object), file("s.tar", "no")];
    let mut assembler =
        fixture.assembler(entries, HashMap::new(), Vec::new(), TAR_LAYOUT, OnFailure::Mark(8));
    let got = unpack(&collect(&mut assembler).await.unwrap());
    assert_eq!(got[0], ("s.tar/a.txt".to_owned(), b"first".to_vec()));
    assert!(got[1].1 == payload(1, 500_000));
    assert_eq!(got[2].1, payload(1, 500_000)[100..105]);
    assert_eq!(got[3], ("__404__/s.tar/no".to_owned(), Vec::new()));
    let zip = vec![file("s.zip", "a")];
    let mut assembler =
        fixture.assembler(zip, HashMap::new(), Vec::new(), TAR_LAYOUT, OnFailure::Mark(8));
    let err = collect(&mut assembler).await.unwrap_err();
    assert!(err.status == 400 && err.message.contains("ais://b/s.zip"), "{err}");
}

#[tokio::test]
async fn a_dead_peer_costs_its_entries_or_the_batch() {
    let fixture = Fixture::new();
    fixture.put("local", b"L");
    let names = ["r0", "local", "r1", "r2"];
    let run = |stream: Vec<u8>, on_failure| {
        let entries = names.iter().map(|name| entry(name)).collect();
        let remote = HashMap::from([(0, 0), (2, 0), (3, 0)]);
        fixture.assembler(entries, remote, vec![peer(Ok(stream), 9)], TAR_LAYOUT, on_failure)
    };
    // The second entry breaks off in the middle.
    let mut stream = frame(0, b"R");
    stream.extend_from_slice(&frame(1, &payload(0, 5000))[..3000]);
    let got = unpack(&collect(&mut run(stream.clone(), OnFailure::Mark(8))).await.unwrap());
    let names: Vec<_> = got.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["r0", "local", "__404__/r1", "__404__/r2"]);
    assert_eq!(got[0].1, b"R");
    let err = collect(&mut run(stream, OnFailure::Abort)).await.unwrap_err();
    assert!(err.status == 502 && err.message.contains("t[peer]"), "{err}");

    // A large entry whose header is out cannot be taken back: the batch fails, whatever was asked.
    let mut stream = frame(0, b"R");
    stream.extend_from_slice(&frame(1, &payload(0, 300_000))[..200_000]);
    collect(&mut run(stream, OnFailure::Mark(8))).await.unwrap_err();
}

#[tokio::test]
async fn frames_report_every_entry_and_end_with_the_end_frame() {
    let fixture = Fixture::new();
    fixture.put("small", b"abc");
    fixture.put("large", &payload(3, 400_000));
    let mut entries = vec![entry("small"), entry("gone"), entry("large"), entry("small")];
    entries[3].1 = None;
    let mut assembler =
        fixture.assembler(entries, HashMap::new(), Vec::new(), Layout::Frames, OnFailure::Report);
    let stream = collect(&mut assembler).await.unwrap();
    let mut rest = stream.as_slice();
    let mut got = Vec::new();
    loop {
        let (head, tail) = rest.split_first_chunk::<HEADER_BYTES>().unwrap();
        let header = Header::decode(head).unwrap();
        if header.is_end() {
            assert!(tail.is_empty());
            break;
        }
        let (payload, tail) = tail.split_at(usize::try_from(header.length).unwrap());
        got.push((header.index, header.status, payload.to_vec()));
        rest = tail;
    }
    assert_eq!(
        got.iter().map(|(i, s, _)| (*i, *s)).collect::<Vec<_>>(),
        [(0, 0), (1, 404), (2, 0), (3, 404)]
    );
    assert_eq!(got[0].2, b"abc");
    assert!(got[2].2 == payload(3, 400_000));
    assert!(String::from_utf8_lossy(&got[3].2).contains("bucket \"ais://b\" does not exist"));
}

type Files = Vec<(String, Vec<u8>)>;

/// Small, large and missing entries, from here and from a peer.
fn mixed(fixture: &Fixture) -> (Vec<(Wanted, Option<ObjectRef>)>, Files) {
    let sizes = [0, 1, 700, 20_000, 65_537, 400_000];
    let mut expected = Vec::new();
    let mut entries = Vec::new();
    for at in 0..60_usize {
        let name = format!("dir/ü{at}");
        let content = payload(at, sizes[at % sizes.len()]);
        entries.push(entry(&name));
        if at % 20 == 7 {
            expected.push((format!("__404__/{name}"), Vec::new()));
            continue;
        }
        fixture.put(&name, &content);
        expected.push((name, content));
    }
    (entries, expected)
}

async fn packed(fixture: &Fixture, format: Format) -> (Vec<u8>, Files) {
    let (entries, expected) = mixed(fixture);
    let layout = layout_of(format, true);
    let assembler =
        fixture.assembler(entries, HashMap::new(), Vec::new(), layout, OnFailure::Mark(8));
    let mut packed = Packed::new(assembler, format, true, Pieces::unlimited());
    let mut out = Vec::new();
    while let Some(piece) = packed.next().await.unwrap() {
        assert!(!piece.is_empty());
        out.extend_from_slice(&piece);
    }
    assert!(packed.next().await.unwrap().is_none());
    (out, expected)
}

#[tokio::test]
async fn compressed_archives_hold_the_same() {
    let fixture = Fixture::new();
    let (gzip, expected) = packed(&fixture, Format::TarGz).await;
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut tar).unwrap();
    assert!(unpack(&tar) == expected);
    let (lz4, expected) = packed(&fixture, Format::TarLz4).await;
    assert_eq!(lz4[..4], [0x04, 0x22, 0x4d, 0x18]);
    let mut tar = Vec::new();
    lz4_flex::frame::FrameDecoder::new(lz4.as_slice()).read_to_end(&mut tar).unwrap();
    assert!(unpack(&tar) == expected);
}

#[tokio::test]
async fn a_zip_holds_the_same() {
    let (zip, expected) = packed(&Fixture::new(), Format::Zip).await;
    let number = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = zip.windows(4).rposition(|at| at == b"PK\x05\x06").unwrap();
    let mut at = number(end + 16);
    for (name, content) in &expected {
        let (crc, size, local) = (number(at + 16), number(at + 24), number(at + 42));
        assert_eq!(&zip[local + 30..local + 30 + name.len()], name.as_bytes());
        let data = local + 30 + name.len();
        assert!(zip[data..data + size] == content[..], "{name}");
        let mut hasher = flate2::Crc::new();
        hasher.update(content);
        assert_eq!(crc, hasher.sum() as usize, "{name}");
        at += 46 + 2 * name.len();
    }
    assert_eq!(at, end);
}

#[tokio::test]
async fn a_cut_that_nobody_waits_for_is_not_made() {
    use super::cuts::{Opened, Stored};
    use crate::target::archive::Watch;
    use crate::target::read::Extent;

    let fixture = Fixture::new();
    let mut wav =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x64\0\0\0\xc8\0\0\0\x02\0\x10\0data".to_vec();
    wav.extend_from_slice(&400_u32.to_le_bytes());
    wav.extend_from_slice(&[7; 400]);
    fixture.put("r.wav", &wav);
    let object = entry("r.wav").1.unwrap();
    let reader = fixture.objects.open(&object).unwrap().unwrap();
    let (watch, gone) = Watch::new();
    let open = || {
        let source = Stored::boxed(Extent::whole(Arc::clone(&reader)), gone.clone());
        Opened::open(source, &aistore_core::cut::Cut::default(), "r.wav".into(), 0)
    };
    let opened = open().unwrap_or_else(|err| panic!("{err:?}"));
    drop(watch);
    let late = opened.make_late(&Pieces::unlimited(), &fixture.objects).await;
    assert_eq!(late.err().map(|err| err.status), Some(503));
    assert_eq!(open().err().map(|err| err.status), Some(503));
}
