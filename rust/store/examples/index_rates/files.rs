//! What one would have without an index: a file per object on the file system.

use std::fs::{self, File};

use crate::Options;
use crate::meter::mix;

pub fn run(options: &Options) {
    let Options { files, calls, meter, .. } = options;
    let (files, calls) = (*files, *calls);
    let dir = options.dir.join("files");
    // Some thousand files to a directory, as one does.
    let folders = files / 2_000 + 1;
    (0..folders).for_each(|one| fs::create_dir_all(dir.join(one.to_string())).unwrap());
    let path = |n: usize| dir.join((n % folders).to_string()).join(format!("{n:08}.jpg"));
    for threads in [1, 32] {
        let from = if threads == 1 { 0 } else { files / 2 };
        let title = format!("files: created, empty, {threads} threads");
        meter.rate(&title, files / 2, threads, |n| drop(File::create(path(from + n)).unwrap()));
    }
    meter.rate("files: stat of a present file, 1 thread", calls, 1, |n| {
        fs::metadata(path(mix(n) % (files / 2 * 2))).unwrap();
    });
    meter.rate("files: stat of an absent file, 1 thread", calls, 1, |n| {
        assert!(fs::metadata(path(files + mix(n) % files)).is_err());
    });
    fs::remove_dir_all(&dir).unwrap();
}
