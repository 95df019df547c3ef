//! Object checksums: types, streaming computation and the wire encoding (lower-case hex).

use std::fmt::Write as _;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha2::{Sha256, Sha512};
use xxhash_rust::xxh64::Xxh64;

/// How objects of a bucket are checksummed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumType {
    /// Not at all.
    None,
    /// XXH64, seed 0.
    Xxhash,
    /// XXH64, seed 0: same value as `xxhash` under another name; the default.
    #[default]
    Xxhash2,
    /// MD5.
    Md5,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// A type name that is none of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid checksum type \"{0}\" (expecting [crc32c md5 sha256 sha512 xxhash xxhash2 none])")]
pub struct UnknownChecksum(pub String);

impl ChecksumType {
    /// Parses the wire name.
    pub fn parse(text: &str) -> Result<Self, UnknownChecksum> {
        match text {
            "none" => Ok(Self::None),
            "xxhash" => Ok(Self::Xxhash),
            "xxhash2" => Ok(Self::Xxhash2),
            "md5" => Ok(Self::Md5),
            "crc32c" => Ok(Self::Crc32c),
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            other => Err(UnknownChecksum(other.to_owned())),
        }
    }

    /// Wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Xxhash => "xxhash",
            Self::Xxhash2 => "xxhash2",
            Self::Md5 => "md5",
            Self::Crc32c => "crc32c",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

enum State {
    None,
    Xxh64(Box<Xxh64>),
    Md5(Box<Md5>),
    Crc32c(u32),
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

/// Streaming computation of one checksum.
pub struct Hasher(State);

impl Hasher {
    /// Starts a computation.
    pub fn new(kind: ChecksumType) -> Self {
        Self(match kind {
            ChecksumType::None => State::None,
            ChecksumType::Xxhash | ChecksumType::Xxhash2 => State::Xxh64(Box::new(Xxh64::new(0))),
            ChecksumType::Md5 => State::Md5(Box::default()),
            ChecksumType::Crc32c => State::Crc32c(0),
            ChecksumType::Sha256 => State::Sha256(Box::default()),
            ChecksumType::Sha512 => State::Sha512(Box::default()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::None => {}
            State::Xxh64(state) => state.update(bytes),
            State::Md5(state) => state.update(bytes),
            State::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Ends the computation; the value is lower-case hex, empty for [`ChecksumType::None`].
    pub fn finish(self) -> String {
        match self.0 {
            State::None => String::new(),
            State::Xxh64(state) => format!("{:016x}", state.digest()),
            State::Md5(state) => hex(&state.finalize()),
            State::Crc32c(crc) => format!("{crc:08x}"),
            State::Sha256(state) => hex(&state.finalize()),
            State::Sha512(state) => hex(&state.finalize()),
        }
    }
}

/// Checksum of one buffer.
pub fn checksum(kind: ChecksumType, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(kind);
    hasher.update(bytes);
    hasher.finish()
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_match_published_vectors() {
        let cases = [
            (ChecksumType::Xxhash, "", "ef46db3751d8e999"),
            (ChecksumType::Xxhash2, "abc", "44bc2cf5ad770999"),
            (ChecksumType::Xxhash2, "123456789", "8cb841db40e6ae83"),
            (ChecksumType::Crc32c, "abc", "364b3fb7"),
            (ChecksumType::Crc32c, "123456789", "e3069283"),
            (ChecksumType::Md5, "abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                ChecksumType::Sha256,
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(checksum(kind, text.as_bytes()), expected, "{kind:?} {text}");
        }
        assert_eq!(checksum(ChecksumType::Sha512, b"").len(), 128);
    }

    #[test]
    fn pieces_give_the_same_value_as_the_whole() {
        let data: Vec<u8> = (0..10_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        for name in ["none", "xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512"] {
            let kind = ChecksumType::parse(name).unwrap();
            let mut hasher = Hasher::new(kind);
            data.chunks(77).for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.finish(), checksum(kind, &data), "{name}");
        }
        assert!(ChecksumType::parse("sha1").is_err());
    }
}
