//! The archive formats of the protocol.

use crate::error::ApiError;

/// Archive formats of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Plain TAR.
    Tar,
    /// TAR squeezed by gzip.
    TarGz,
    /// ZIP.
    Zip,
    /// TAR squeezed into LZ4 frames.
    TarLz4,
}

impl Format {
    /// Bytes at the start of an archive that [`by_magic`](Self::by_magic) looks at.
    pub const MAGIC_BYTES: usize = 512;

    /// Extension, as messages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tar => ".tar",
            Self::TarGz => ".tgz",
            Self::Zip => ".zip",
            Self::TarLz4 => ".tar.lz4",
        }
    }

    /// Whether files are only reached through all before them.
    pub fn is_packed(self) -> bool {
        matches!(self, Self::TarGz | Self::TarLz4)
    }

    /// Normalizes what a client calls a format: `tar`, `.tar`, `application/x-tar` are one.
    ///
    /// # Errors
    ///
    /// 400 for any other.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let known = [
            ("tar.gz", Self::TarGz),
            ("tar.lz4", Self::TarLz4),
            ("tar", Self::Tar),
            ("tgz", Self::TarGz),
            ("zip", Self::Zip),
        ];
        let found = known.into_iter().find(|(word, _)| text.contains(word));
        found.map(|(_, format)| format).ok_or_else(|| {
            ApiError::bad_request(format!(
                "unknown mime type \"{text}\" (expecting .tar, .tgz, .tar.gz, .zip or .tar.lz4)"
            ))
        })
    }

    /// The format that a name's extension promises.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::extension(name).map(|(_, format)| format)
    }

    /// The extension of an archive's name, as spelt, and the format.
    pub fn extension(name: &str) -> Option<(&'static str, Self)> {
        let known = [
            (".tar", Self::Tar),
            (".tgz", Self::TarGz),
            (".tar.gz", Self::TarGz),
            (".zip", Self::Zip),
            (".tar.lz4", Self::TarLz4),
        ];
        known.into_iter().find(|(extension, _)| name.ends_with(extension))
    }

    /// The format that the first [`MAGIC_BYTES`](Self::MAGIC_BYTES) show.
    pub fn by_magic(head: &[u8]) -> Option<Self> {
        if head.get(257..262) == Some(b"ustar") {
            return Some(Self::Tar);
        }
        let known: [(&[u8], Self); 3] = [
            (&[0x1f, 0x8b], Self::TarGz),
            (b"PK", Self::Zip),
            (&[0x04, 0x22, 0x4d, 0x18], Self::TarLz4),
        ];
        known.into_iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, format)| format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_names_are_normalized_as_the_protocol_does() {
        for (text, format) in [
            (".tar", Format::Tar),
            ("application/x-tar", Format::Tar),
            ("tar.gz", Format::TarGz),
            ("application/zip", Format::Zip),
            (".tar.lz4", Format::TarLz4),
            ("tgz", Format::TarGz),
        ] {
            assert_eq!(Format::parse(text).unwrap(), format, "{text}");
        }
        let err = Format::parse("rar").unwrap_err();
        assert!(err.status == 400 && err.message.starts_with("unknown mime type \"rar\""), "{err}");
        assert_eq!(Format::by_name("a/b.tar.gz"), Some(Format::TarGz));
        assert_eq!(Format::by_name("a.txt"), None);
        assert_eq!(Format::by_magic(b"PK\x03\x04"), Some(Format::Zip));
        assert_eq!(Format::by_magic(b""), None);
    }
}
