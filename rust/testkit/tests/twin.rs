//! The twin sees what a process does to its files, whatever way it calls the kernel, and fails calls on demand; the
//! replayer keeps what was synced.
//!
//! Each test runs itself again in a process of its own, which is the one on the twin.

#![allow(
    clippy::unwrap_used,
    clippy::pedantic,
    reason = "in helpers of tests a panic is the report"
)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aistore_testkit::replay::{Contents, Mood, Names};
use aistore_testkit::{Call, Event, Fault, Recording, Rule, Twin};

const CHILD: &str = "TESTKIT_CHILD";
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EVERYTHING: Mood = Mood { names: Names::All, contents: Contents::All };
const NOTHING: Mood = Mood { names: Names::Nothing, contents: Contents::Nothing };

/// Runs `work` in a process on a twin; returns the directory and what was recorded.
fn on_twin(
    test: &str,
    prepare: impl FnOnce(&Path),
    work: impl FnOnce(&Twin, &Path),
) -> Option<(tempfile::TempDir, PathBuf, Recording)> {
    if let Ok(root) = std::env::var(CHILD) {
        let root = PathBuf::from(root);
        let directory = root.join("directory");
        let twin = Twin::install(&directory, Some(&root.join("log"))).unwrap();
        work(twin, &directory);
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("directory");
    fs::create_dir(&directory).unwrap();
    prepare(&directory);
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, root.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let recording = Recording::read(&root.path().join("log")).unwrap();
    Some((root, directory, recording))
}

/// Files by their paths, with their content; directories without.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![directory.to_path_buf()]);
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(directory).unwrap().to_path_buf();
            if path.is_dir() {
                waiting.push(path);
                found.insert(relative, None);
            } else {
                found.insert(relative, Some(fs::read(path).unwrap()));
            }
        }
    }
    found
}

fn replay(
    recording: &Recording,
    base: Option<&Path>,
    point: usize,
    mood: Mood,
    seed: u64,
) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let to = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    recording.replay(base, point, mood, &mut random, to.path()).unwrap();
    contents(to.path())
}

#[test]
fn every_way_to_change_a_directory_is_recorded() {
    let before = |directory: &Path| {
        fs::create_dir_all(directory.join("old/deeper")).unwrap();
        fs::write(directory.join("old/deeper/file"), "was here").unwrap();
        fs::write(directory.join("old/other"), vec![7; 5000]).unwrap();
    };
    let work = |twin: &Twin, directory: &Path| {
        use rustix::fs::{AtFlags, Mode, OFlags};
        let outside = directory.with_file_name("outside");
        fs::write(&outside, "not recorded").unwrap();
        fs::write(directory.join("whole"), "by the standard library").unwrap();
        let mut file = File::options().append(true).open(directory.join("whole")).unwrap();
        file.write_all(b", appended").unwrap();
        let file = File::create(directory.join("at")).unwrap();
        file.write_all_at(b"behind a hole", 3000).unwrap();
        file.set_len(3009).unwrap();
        let opened = rustix::fs::open(directory, OFlags::DIRECTORY, Mode::empty()).unwrap();
        rustix::fs::mkdirat(&opened, "made", Mode::RWXU).unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let raw = rustix::fs::openat(&opened, "made/raw", flags, Mode::RUSR).unwrap();
        let slices = [io::IoSlice::new(b"by the "), io::IoSlice::new(b"kernel")];
        rustix::io::pwritev(&raw, &slices, 2).unwrap();
        let mut again = File::from(raw).try_clone().unwrap();
        again.seek(SeekFrom::Start(4)).unwrap();
        again.write_all(b"BY").unwrap();
        rustix::fs::renameat(&opened, "made", &opened, "renamed").unwrap();
        fs::copy(&outside, directory.join("copied")).unwrap();
        fs::hard_link(directory.join("copied"), directory.join("linked")).unwrap();
        let mut changed = OpenOptions::new().write(true).open(directory.join("old/other")).unwrap();
        changed.write_all(b"changed").unwrap();
        fs::rename(directory.join("at"), directory.join("whole")).unwrap();
        fs::remove_file(directory.join("old/deeper/file")).unwrap();
        rustix::fs::unlinkat(&opened, "old/deeper", AtFlags::REMOVEDIR).unwrap();
        File::create(directory.join("copied")).unwrap();
        twin.mark("the end");
        assert_eq!(fs::read(directory.join("renamed/raw")).unwrap(), b"\0\0byBYhe kernel");
    };
    let test = "every_way_to_change_a_directory_is_recorded";
    let Some((_root, directory, recording)) = on_twin(test, before, work) else { return };
    let base = tempfile::tempdir().unwrap();
    before(base.path());
    let end = recording.events.len();
    assert_eq!(recording.marks(end).collect::<Vec<_>>(), ["the end"]);
    let (found, expected) =
        (replay(&recording, Some(base.path()), end, EVERYTHING, 1), contents(&directory));
    assert_eq!(found, expected);
    assert!(found.contains_key(Path::new("renamed/raw")), "{found:?}");
    let nothing = replay(&recording, Some(base.path()), end, NOTHING, 1);
    assert_eq!(nothing, contents(base.path()));
}

#[test]
fn what_was_synced_is_kept_and_nothing_else_has_to_be() {
    let work = |twin: &Twin, directory: &Path| {
        let dir = directory.join("dir");
        fs::create_dir(&dir).unwrap();
        let mut file = File::create(dir.join("new")).unwrap();
        file.write_all(&[1; 2000]).unwrap();
        file.sync_all().unwrap();
        twin.mark("synced");
        file.write_all(&[2; 2000]).unwrap();
        fs::rename(dir.join("new"), dir.join("renamed")).unwrap();
        twin.mark("renamed");
        file.sync_data().unwrap();
        twin.mark("data synced");
        File::open(&dir).unwrap().sync_all().unwrap();
        twin.mark("directory synced");
        let rule = Rule::new(Fault::Error(EIO), &[Call::Sync]).times(1);
        twin.set_rules(1, vec![rule]);
        file.write_all(&[3; 2000]).unwrap();
        assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(EIO));
        file.sync_all().unwrap();
        assert_eq!(twin.end_rules().len(), 1);
        twin.mark("synced again");
    };
    let test = "what_was_synced_is_kept_and_nothing_else_has_to_be";
    let Some((_root, _, recording)) = on_twin(test, |_| (), work) else { return };
    let after = |mark: &str| {
        let mark = Event::Mark(mark.to_owned());
        recording.events.iter().position(|event| *event == mark).unwrap()
    };
    let (new, renamed) = (Path::new("dir/new"), Path::new("dir/renamed"));
    let (first, both) = (vec![1; 2000], [[1; 2000], [2; 2000]].concat());
    let (mut torn, mut lost) = (0, 0);
    for seed in 0..60 {
        let mood = Mood::random(&mut fastrand::Rng::with_seed(seed));
        let at = |mark| replay(&recording, None, after(mark), mood, seed);
        assert_eq!(at("synced").get(new), Some(&Some(first.clone())));
        let found = at("renamed");
        let content = found.get(new).or(found.get(renamed)).unwrap().clone().unwrap();
        assert!(content.starts_with(&first) && content.len() <= both.len());
        torn += u32::from(content != first && content != both);
        let found = at("data synced");
        let content = found.get(new).or(found.get(renamed)).unwrap();
        assert_eq!(*content, Some(both.clone()));
        assert_eq!(at("directory synced").get(renamed), Some(&Some(both.clone())));
        let found = at("synced again");
        let content = found.get(renamed).unwrap().clone().unwrap();
        assert!(content.starts_with(&both));
        lost += u32::from(content == both);
    }
    assert!(torn > 5, "torn {torn}");
    assert!(lost > 5, "a failed sync passed for a good one: lost {lost}");
    assert!(replay(&recording, None, after("synced") - 2, NOTHING, 0).is_empty());
}

#[test]
fn calls_fail_as_the_rules_say() {
    let work = |twin: &Twin, directory: &Path| {
        let path = directory.join("file");
        let mut file =
            File::options().create(true).read(true).write(true).truncate(true).open(&path).unwrap();
        twin.set_rules(3, vec![Rule::new(Fault::Short, &[Call::Write, Call::Read]).on("file")]);
        let part = file.write(&[1; 1000]).unwrap();
        assert!((1..1000).contains(&part), "{part}");
        file.write_all(&[2; 1000]).unwrap();
        assert_eq!(file.metadata().unwrap().len(), part as u64 + 1000);
        file.rewind().unwrap();
        let mut bytes = vec![0; 100];
        assert!((1..100).contains(&file.read(&mut bytes).unwrap()));
        assert!(twin.end_rules().len() > 3);

        let full = Rule::new(Fault::Error(ENOSPC), &[Call::Write, Call::Create, Call::Allocate]);
        twin.set_rules(3, vec![full.after(1).times(2)]);
        let mut write = || file.write(&[3; 10]).map_err(|error| error.raw_os_error());
        assert_eq!((write(), write()), (Ok(10), Err(Some(ENOSPC))));
        let error = File::create(directory.join("another")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(write(), Ok(10));
        let hits = twin.end_rules();
        assert_eq!(hits[0].path, "file");
        assert_eq!((hits[1].call, hits[1].path.as_str()), (Call::Create, "another"));

        let rules = [Call::Open, Call::Rename, Call::Remove, Call::MakeDir, Call::Truncate];
        twin.set_rules(3, rules.map(|call| Rule::new(Fault::Error(EIO), &[call])).to_vec());
        assert!(File::open(&path).is_err() && fs::rename(&path, directory.join("new")).is_err());
        assert!(fs::remove_file(&path).is_err() && fs::create_dir(directory.join("dir")).is_err());
        assert!(file.set_len(0).is_err());
        assert_eq!(twin.end_rules().len(), rules.len());
        // Torn: a part is there all the same.
        let length = file.metadata().unwrap().len();
        twin.set_rules(5, vec![Rule::new(Fault::Torn(EIO), &[Call::Write])]);
        assert!(file.write_all_at(&[4; 1000], length).is_err());
        let torn = file.metadata().unwrap().len() - length;
        assert!((1..1000).contains(&torn), "{torn}");
        twin.end_rules();
    };
    let test = "calls_fail_as_the_rules_say";
    let Some((_root, directory, recording)) = on_twin(test, |_| (), work) else { return };
    let found = replay(&recording, None, recording.events.len(), EVERYTHING, 1);
    assert_eq!(found, contents(&directory));
}
