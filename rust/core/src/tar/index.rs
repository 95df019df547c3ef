//! Members of an archive with random access: reads headers and skips data.

use super::header::{Headers, Step};
use super::{BLOCK, MAX_MEMBERS, TarError, padding};

/// Bytes read at once while walking headers: enough for several small members, little beside large ones.
const WINDOW_BYTES: usize = 16 << 10;

/// A source that can be read at any offset.
pub trait ReadAt {
    /// Reads at most `buf.len()` bytes at `offset`; 0 means the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize>;
}

impl ReadAt for [u8] {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let source = self.get(start..).unwrap_or_default();
        let count = source.len().min(buf.len());
        buf.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
        Ok(count)
    }
}

/// A regular file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name as stored.
    pub name: String,
    /// Offset of the data in the archive.
    pub offset: u64,
    /// Bytes of data.
    pub size: u64,
    /// Seconds since the epoch.
    pub mtime_s: u64,
}

/// Lists the regular files of an archive of `size` bytes, in order; a name may occur more than once.
///
/// An archive that ends after a complete member without [`END`](super::END) is accepted: its length is known.
/// Cost: one read per header, or less for small members.
///
/// # Errors
///
/// [`TarError`] when the archive is damaged, ends inside a member, or has more than [`MAX_MEMBERS`] members.
pub fn index_members(src: &(impl ReadAt + ?Sized), size: u64) -> Result<Vec<Member>, TarError> {
    let mut window = Window { src, size, start: 0, bytes: Vec::new() };
    let (mut members, mut headers, mut at) = (Vec::new(), Headers::default(), 0_u64);
    while at < size {
        let header_at = at;
        let block: [u8; BLOCK] = window
            .get(at, BLOCK, "a header")?
            .try_into()
            .map_err(|_| TarError::Truncated { at, inside: "a header" })?;
        at += BLOCK as u64;
        let data = match headers.block(&block, header_at)? {
            Step::End => return Ok(members),
            Step::Skip { size } => size,
            Step::Record { kind, size: length } => {
                // Bounded by MAX_RECORD_BYTES, so the conversion cannot fail.
                let length_usize = usize::try_from(length).unwrap_or_default();
                headers.record(
                    kind,
                    window.get(at, length_usize, "an extended header")?,
                    header_at,
                )?;
                length
            }
            Step::Entry { name, size: length, mtime_s } => {
                if members.len() == MAX_MEMBERS {
                    return Err(TarError::Limit {
                        at: header_at,
                        what: "more than 16777216 members",
                    });
                }
                members.push(Member { name, offset: at, size: length, mtime_s });
                length
            }
        };
        // Sizes are bounded by the header reader, far below overflow.
        at += data;
        if at > size {
            return Err(TarError::Truncated { at: size, inside: "the data of a member" });
        }
        // Missing padding at the very end is harmless.
        at += padding(data) as u64;
    }
    Ok(members)
}

/// Read-ahead buffer over a source.
struct Window<'a, R: ?Sized> {
    src: &'a R,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<R: ReadAt + ?Sized> Window<'_, R> {
    /// `count` bytes at `at`.
    fn get(&mut self, at: u64, count: usize, inside: &'static str) -> Result<&[u8], TarError> {
        let in_window = |start: u64, have: usize| {
            let skip = usize::try_from(at.checked_sub(start)?).ok()?;
            (skip.checked_add(count)? <= have).then_some(skip)
        };
        let skip = if let Some(skip) = in_window(self.start, self.bytes.len()) {
            skip
        } else {
            self.fill(at, count.max(WINDOW_BYTES))?;
            0
        };
        self.bytes.get(skip..skip + count).ok_or(TarError::Truncated { at: self.size, inside })
    }

    fn fill(&mut self, at: u64, count: usize) -> Result<(), TarError> {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        self.start = at;
        self.bytes.resize(count.min(left), 0);
        let mut done = 0;
        while let Some(free) = self.bytes.get_mut(done..).filter(|free| !free.is_empty()) {
            match self.src.read_at(free, at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(err) if err.kind() == std::io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err.into()),
            }
        }
        self.bytes.truncate(done);
        Ok(())
    }
}
