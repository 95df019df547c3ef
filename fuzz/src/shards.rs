//! Shards of every format, read front to back, and the directory of zip archives.

use std::io::{self, Read};
use std::sync::Arc;

use aistore_core::archive::zip::read_directory;
use aistore_core::archive::{Format, Walk};
use aistore_core::tar::ReadAt;

/// Bytes of one file that are looked at: enough for the first blocks of a bomb.
const MOST: u64 = 1 << 20;
/// Files of one archive that are looked at.
const MOST_FILES: usize = 200;

struct Shard(Vec<u8>);

impl ReadAt for Shard {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.as_slice().read_at(buf, offset)
    }
}

/// TAR: no file has more bytes than it claims.
pub fn tar(data: &[u8]) {
    walk(data, Format::Tar);
}

/// TAR in LZ4 frames, and in gzip.
pub fn lz4(data: &[u8]) {
    walk(data, Format::TarLz4);
    walk(data, Format::TarGz);
}

/// ZIP: files lie within the archive, and what the walk gives out is what the directory says.
pub fn zip(data: &[u8]) {
    let size = data.len() as u64;
    if let Ok(members) = read_directory(data, size) {
        for member in &members {
            if let Ok(offset) = member.data_offset(data, size) {
                assert!(offset.checked_add(member.packed).is_some_and(|end| end <= size));
            }
        }
    }
    walk(data, Format::Zip);
}

fn walk(data: &[u8], format: Format) {
    let Ok(mut walk) = Walk::open(Arc::new(Shard(data.to_vec())), data.len() as u64, format) else {
        return;
    };
    for _ in 0..MOST_FILES {
        let Ok(Some(entry)) = walk.next_entry() else { return };
        let read = io::copy(&mut walk.by_ref().take(MOST), &mut io::sink());
        if let Ok(read) = read {
            assert_eq!(read, entry.size.min(MOST), "{}", entry.name);
        }
    }
}
