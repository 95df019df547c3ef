//! Tar archives and batch frames.

use aistore_core::frames::{HEADER_BYTES, Header};
use aistore_core::tar::{Event, StreamDecoder, index_members};
use bytes::Bytes;

/// The decoder that streams and the one that seeks agree, and neither reads past the input.
pub fn archives(data: &[u8]) {
    if let Some(header) = data.first_chunk::<HEADER_BYTES>() {
        if let Ok(header) = Header::decode(header) {
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    }
    let size = data.len() as u64;
    let indexed = index_members(data, size);
    if let Ok(members) = &indexed {
        for member in members {
            assert!(member.offset.checked_add(member.size).is_some_and(|end| end <= size));
        }
    }
    if let (Ok(members), Some(streamed)) = (indexed, stream(data)) {
        let names: Vec<(String, u64)> = members.into_iter().map(|m| (m.name, m.size)).collect();
        assert_eq!(names, streamed);
    }
}

/// Names and sizes as the stream decoder sees them; `None` when it refuses the archive.
fn stream(data: &[u8]) -> Option<Vec<(String, u64)>> {
    let mut decoder = StreamDecoder::new();
    let mut found = Vec::new();
    for piece in data.chunks(700) {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(event) = decoder.push(&mut piece).ok()? {
            if let Event::Entry { name, size, .. } = event {
                found.push((name, size));
            }
        }
    }
    decoder.finish().ok()?;
    Some(found)
}
