//! Tar archives: writing headers, listing members, and decoding a stream.
//!
//! Written archives are ustar where possible, with PAX records before members whose name is long or not
//! ASCII, or whose size or time does not fit. Read are ustar, PAX, old V7 and GNU long names.
//! Only regular files are reported; directories, links, devices and global headers are passed over.

mod header;
mod index;
mod stream;
mod walk;

pub use self::index::{Member, ReadAt, index_members};
pub use self::stream::{Event, StreamDecoder};
pub use self::walk::{Head, Skip, Walker};

use self::header::{Field, MAX_OCTAL_11, checksum_of};

/// Unit of a tar archive in bytes: headers are one block, data is padded to whole blocks.
pub const BLOCK: usize = 512;
/// The two zero blocks that end an archive.
pub static END: [u8; 1024] = [0; 1024];
/// Longest extended header (PAX records, GNU long name) that is read, in bytes.
pub const MAX_RECORD_BYTES: u64 = 1 << 20;
/// Most members that [`index_members`] lists.
pub const MAX_MEMBERS: usize = 16 << 20;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// Input ends inside the archive.
    #[error(
        "truncated tar archive: input ends at byte {at}, inside {inside}; upload the archive again"
    )]
    Truncated {
        /// Bytes present.
        at: u64,
        /// What is incomplete.
        inside: &'static str,
    },
    /// Damaged, or not a tar archive.
    #[error("malformed tar archive: {what} at byte {at}")]
    Malformed {
        /// Offset of the header concerned.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A limit of this reader.
    #[error("tar archive exceeds a limit: {what} at byte {at}")]
    Limit {
        /// Offset of the header concerned.
        at: u64,
        /// Which limit.
        what: &'static str,
    },
    /// A sparse file: its stored bytes are not its content.
    #[error(
        "tar member \"{name}\" is a sparse file, which cannot be read: pack it again without --sparse"
    )]
    Sparse {
        /// Name of the member.
        name: String,
    },
    /// The source failed.
    #[error("cannot read tar archive: {0}")]
    Io(#[from] std::io::Error),
}

/// Bytes of padding after `size` bytes of data.
pub fn padding(size: u64) -> usize {
    let used = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    (BLOCK - used) % BLOCK
}

/// Whether two member names mean the same file: a leading `/` or `./` does not count.
pub fn same_member(a: &str, b: &str) -> bool {
    lookup_name(a) == lookup_name(b)
}

/// The part of a member name that counts when it is looked up: without leading `/` and `./`.
pub fn lookup_name(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    name
}

/// Header blocks of a regular file: mode 0644, uid and gid 0; a multiple of [`BLOCK`] bytes.
///
/// `mtime_s` is in seconds since the epoch. Data, [`padding`] and finally [`END`] are up to the caller.
pub fn encode_header(name: &str, size: u64, mtime_s: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let split = if name.is_ascii() && !name.contains('\0') { split_name(name) } else { None };
    if split.is_none() {
        push_record(&mut records, "path", name);
    }
    if size > MAX_OCTAL_11 {
        push_record(&mut records, "size", &size.to_string());
    }
    if mtime_s > MAX_OCTAL_11 {
        push_record(&mut records, "mtime", &mtime_s.to_string());
    }
    let stand_in = stand_in_name(name);
    let mut out = Vec::with_capacity(BLOCK * if records.is_empty() { 1 } else { 3 });
    if !records.is_empty() {
        let length = records.len() as u64;
        let record_name =
            format!("PaxHeaders.0/{}", stand_in.rsplit('/').next().unwrap_or_default());
        let kept = record_name.get(..Field::NAME.len).unwrap_or(&record_name);
        out.extend_from_slice(&block("", kept, length, 0, b'x'));
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(length), 0);
    }
    let (prefix, base) = split.unwrap_or(("", &stand_in));
    // Readers without PAX see an empty file instead of a wrong length.
    let octal = |value: u64| if value > MAX_OCTAL_11 { 0 } else { value };
    out.extend_from_slice(&block(prefix, base, octal(size), octal(mtime_s), b'0'));
    out
}

/// Splits a name into ustar prefix and name; `None` when it does not fit.
fn split_name(name: &str) -> Option<(&str, &str)> {
    if name.len() <= Field::NAME.len {
        return Some(("", name));
    }
    // The last slash within reach leaves the shortest second part.
    let reach = name.get(..=Field::PREFIX.len.min(name.len() - 1))?;
    let (prefix, _) = reach.rsplit_once('/')?;
    let base = name.get(prefix.len() + 1..)?;
    let fits = !prefix.is_empty() && !base.is_empty() && base.len() <= Field::NAME.len;
    fits.then_some((prefix, base))
}

/// What readers without PAX show: ASCII, cut to the field.
fn stand_in_name(name: &str) -> String {
    let ascii = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '_' };
    name.chars().map(ascii).take(Field::NAME.len).collect()
}

/// Appends `length key=value\n`, where length counts its own digits.
fn push_record(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut total = rest + 1;
    while rest + total.to_string().len() > total {
        total += 1;
    }
    out.extend_from_slice(format!("{total} {key}={value}\n").as_bytes());
}

/// One ustar header block. The caller has made sure that everything fits.
fn block(prefix: &str, name: &str, size: u64, mtime_s: u64, kind: u8) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    Field::NAME.write(&mut out, name.as_bytes());
    Field::MODE.write(&mut out, b"0000644\0");
    Field::UID.write(&mut out, b"0000000\0");
    Field::GID.write(&mut out, b"0000000\0");
    Field::SIZE.write(&mut out, format!("{size:011o}\0").as_bytes());
    Field::MTIME.write(&mut out, format!("{mtime_s:011o}\0").as_bytes());
    Field::KIND.write(&mut out, &[kind]);
    Field::MAGIC.write(&mut out, b"ustar\x0000");
    Field::PREFIX.write(&mut out, prefix.as_bytes());
    let sum = checksum_of(&out).0;
    Field::CHECKSUM.write(&mut out, format!("{sum:06o}\0 ").as_bytes());
    out
}

#[cfg(test)]
mod tests;
