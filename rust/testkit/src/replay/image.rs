//! A file in memory, without its holes: programs take space in advance, and copies of it would be most of the work.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::SeekFrom;

pub(super) const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;
const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    length: u64,
    /// By number. What is behind the length is zero.
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl Image {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut image = Self { length: file.metadata()?.len(), pages: BTreeMap::new() };
        let mut at = 0;
        while at < image.length {
            at = match rustix::fs::seek(&file, SeekFrom::Data(at)) {
                Ok(data) => data / PAGE * PAGE,
                Err(rustix::io::Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            let mut page = Box::new(ZEROS);
            let most = usize::try_from(image.length - at).unwrap_or(usize::MAX).min(page.len());
            file.read_exact_at(&mut page[..most], at)?;
            if *page != ZEROS {
                image.pages.insert(at / PAGE, page);
            }
            at += PAGE;
        }
        Ok(image)
    }

    /// Makes the file at `path`, which is not there yet.
    pub(super) fn store(&self, path: &Path) -> io::Result<()> {
        let file = File::create_new(path)?;
        file.set_len(self.length)?;
        for (number, page) in &self.pages {
            let start = number * PAGE;
            let most = usize::try_from(self.length.saturating_sub(start)).unwrap_or(usize::MAX);
            file.write_all_at(&page[..most.min(page.len())], start)?;
        }
        Ok(())
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn set_length(&mut self, length: u64) {
        if length < self.length {
            self.pages.split_off(&length.div_ceil(PAGE));
            if let Some(page) = self.pages.get_mut(&(length / PAGE)) {
                page[offset_in_page(length)..].fill(0);
            }
        }
        self.length = length;
    }

    pub(super) fn write(&mut self, mut at: u64, mut bytes: &[u8]) {
        self.length = self.length.max(at + bytes.len() as u64);
        while !bytes.is_empty() {
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Box::new(ZEROS));
            let room = &mut page[offset_in_page(at)..];
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room[..now.len()].copy_from_slice(now);
            at += now.len() as u64;
            bytes = later;
        }
    }

    /// Bytes up to `end`, which is in the same page or at its end.
    pub(super) fn within_page(&self, start: u64, end: u64) -> &[u8] {
        let page = self.pages.get(&(start / PAGE)).map_or(&ZEROS, |page| page);
        let first = offset_in_page(start);
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        &page[first..first.saturating_add(length).min(page.len())]
    }
}

fn offset_in_page(at: u64) -> usize {
    usize::try_from(at % PAGE).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_file_that_the_same_calls_make() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create(&path).unwrap();
        let mut image = Image::default();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            if random.u8(..5) == 0 {
                let length = random.u64(..60_000);
                file.set_len(length).unwrap();
                image.set_length(length);
            } else {
                let (at, bytes) = (random.u64(..60_000), vec![random.u8(..); random.usize(..9000)]);
                file.write_all_at(&bytes, at).unwrap();
                if !bytes.is_empty() {
                    image.write(at, &bytes);
                }
            }
            let copy = directory.path().join("copy");
            image.store(&copy).unwrap();
            assert!(std::fs::read(&copy).unwrap() == std::fs::read(&path).unwrap());
            let again = Image::read(&copy).unwrap();
            let other = directory.path().join("other");
            again.store(&other).unwrap();
            assert!(std::fs::read(&other).unwrap() == std::fs::read(&path).unwrap());
            std::fs::remove_file(copy).unwrap();
            std::fs::remove_file(other).unwrap();
        }
    }
}
