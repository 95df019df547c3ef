//! Standard input as an object. Its length is unknown until it ends, and a request that fails has to
//! be repeatable: short input is kept in memory, long input goes through a temporary file.

use std::io::{self, Read, Seek, Write};

use aistore_client::Client;
use bytes::Bytes;

use crate::failure::Failure;
use crate::names::Target;

/// Input up to this size stays in memory.
const MEMORY_BYTES: u64 = 16 << 20;

/// Everything that standard input held.
enum Spooled {
    Memory(Bytes),
    File(tempfile::NamedTempFile, u64),
}

/// Reads standard input to its end and stores it; returns its size.
pub(super) async fn store(client: &Client, target: &Target) -> Result<u64, Failure> {
    let spooled = tokio::task::spawn_blocking(|| spool(io::stdin().lock(), MEMORY_BYTES)).await??;
    match spooled {
        Spooled::Memory(bytes) => {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            client.put(&target.bucket, &target.name, bytes).await?;
            Ok(size)
        }
        Spooled::File(file, size) => {
            client.put_file(&target.bucket, &target.name, file.path(), None).await?;
            Ok(size)
        }
    }
}

fn spool(mut input: impl Read, memory: u64) -> Result<Spooled, Failure> {
    let stdin = |source| Failure::Stream { stream: "standard input", source };
    let mut head = Vec::new();
    input.by_ref().take(memory + 1).read_to_end(&mut head).map_err(stdin)?;
    if u64::try_from(head.len()).is_ok_and(|length| length <= memory) {
        return Ok(Spooled::Memory(head.into()));
    }
    let dir = std::env::temp_dir();
    let failed = |source| Failure::File {
        action: "buffer standard input (TMPDIR chooses another directory) in",
        path: dir.clone(),
        source,
    };
    let mut file = tempfile::NamedTempFile::with_prefix_in("ais-put-", &dir).map_err(failed)?;
    file.write_all(&head).map_err(failed)?;
    drop(head);
    // Read and write errors need different words, so this is not io::copy.
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(stdin(err)),
        };
        file.write_all(buffer.get(..read).unwrap_or_default()).map_err(failed)?;
    }
    let size = file.stream_position().map_err(failed)?;
    Ok(Spooled::File(file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_input_moves_to_a_file_unchanged() {
        for size in [0_u16, 9, 10, 11, 5_000] {
            let data: Vec<u8> = (0..size).map(|i| i.to_le_bytes()[0]).collect();
            let back = match spool(data.as_slice(), 10).unwrap() {
                Spooled::Memory(bytes) => {
                    assert!(size <= 10);
                    bytes.to_vec()
                }
                Spooled::File(file, length) => {
                    assert!(size > 10 && length == u64::from(size));
                    std::fs::read(file.path()).unwrap()
                }
            };
            assert_eq!(back, data);
        }
    }

    #[test]
    fn a_broken_input_is_an_error_not_a_short_object() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("unplugged"))
            }
        }
        let err = spool(b"abc".chain(Broken), 10).err().unwrap();
        assert!(err.to_string().contains("standard input"), "{err}");
    }
}
