//! A disk that fills up: what is refused, what goes on, and that nothing is lost or left behind.
//!
//! The test binary starts itself again in a mount namespace of its own, where it may mount a small file
//! system. Where the machine does not allow that, the test says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in helpers of tests a panic is the report"
)]

mod support;

use std::path::Path;
use std::process::Command;

use aistore_store::{Store, StoreConfig, StoreError};
use support::{delete, get, put};

const CHILD_ENV: &str = "STORE_FULL_DISK";
const TEST_NAME: &str = "a_full_disk_refuses_puts_and_loses_nothing";
const OBJECT_BYTES: usize = 1 << 20;

fn name(i: usize) -> String {
    format!("object{i:03}")
}

fn open(disk: &Path) -> Store {
    Store::open(StoreConfig::new(vec![disk.join("mountpath")])).unwrap()
}

fn scenario(disk: &Path) {
    let store = open(disk);
    let bytes = vec![7; OBJECT_BYTES];
    let mut count = 0;
    let error = loop {
        match put(&store, &name(count), &bytes) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("mountpath"), "{error}");
    assert!(count > 10, "{count} objects fitted");
    assert_eq!(std::fs::read_dir(disk.join("mountpath/ais/tmp")).unwrap().count(), 0);

    // Reading and deleting go on, and make room.
    assert_eq!(get(&store, &name(0)).unwrap(), bytes);
    for i in 0..5 {
        assert!(delete(&store, &name(i)));
    }
    put(&store, &name(0), &bytes).unwrap();

    // A stream of unknown length is stopped before it eats the reserve, and leaves nothing.
    let mut writer = store.begin_put(support::BID, "u", "endless", support::options()).unwrap();
    let error = loop {
        if let Err(error) = writer.write(&bytes) {
            break error;
        }
    };
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    drop(writer);
    put(&store, &name(1), &bytes).unwrap();

    // Someone else takes the last byte.
    let filler = disk.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &bytes[..4096]).is_ok() {}
    assert!(matches!(put(&store, "late", b"x"), Err(StoreError::NoSpace { .. })));
    assert_eq!(get(&store, &name(1)).unwrap(), bytes);
    // Not even that keeps anybody from deleting.
    for i in 6..10 {
        assert!(delete(&store, &name(i)), "{i}");
    }
    drop((store, file));
    std::fs::remove_file(&filler).unwrap();
    let store = open(disk);
    for i in 6..10 {
        assert_eq!(get(&store, &name(i)), None);
    }
    for i in [0, 1].into_iter().chain(10..count) {
        assert_eq!(get(&store, &name(i)).unwrap(), bytes);
    }
    assert!(delete(&store, &name(10)));
    put(&store, "late", b"x").unwrap();
}

#[test]
fn a_full_disk_refuses_puts_and_loses_nothing() {
    if let Ok(disk) = std::env::var(CHILD_ENV) {
        return scenario(Path::new(&disk));
    }
    let dir = tempfile::tempdir().unwrap();
    let itself = std::env::current_exe().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=160m none \"${CHILD_ENV}\" || exit 77; exec \"$0\" --exact {TEST_NAME} --nocapture"
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(itself)
        .env(CHILD_ENV, dir.path())
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        // 1: unshare was refused; 77: mount was.
        Ok(output) if matches!(output.status.code(), Some(1 | 77)) => {
            println!("skipped: no mount namespace: {}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => println!("skipped: no unshare: {error}"),
        Ok(output) => {
            let (out, err) = (output.stdout, output.stderr);
            panic!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        }
    }
}
