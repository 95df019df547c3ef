//! Which states a disk may be in after loss of power.
//!
//! Names and contents are looked at apart, as file systems do not promise an order between the two.
//!
//! **Names.** `fsync` of a directory makes what was done to its names before last. `fsync` of a file makes last that
//! it was made, and the renames that gave it its name; `fdatasync` the former alone. What lasts takes along all that
//! was done before in the same directories, and the making of these. Of the rest, a random part happened: either
//! up to some point, as a journal that knows one order has it ([`Names::Journal`]; ext4, xfs), or up to a point of its own in
//! each directory ([`Names::Loose`]; what POSIX allows). A rename between two directories happens in both or in neither.
//!
//! **Contents.** What was written to a file before an `fsync` or `fdatasync` of it began, lasts once that has
//! returned. Of each other write a random part reached the disk: all, nothing, or some sectors of 512 bytes, each as the
//! page cache had it at that time. What was cut off may be back, and the end of what was appended may be missing, or zeros.
//! After a failed sync the kernel may forget which pages it failed to write, so a later one that succeeds says nothing
//! about them: they last or not, at random, for good.
//!
//! What this does not model: sectors that come back as garbage, and disks that lie about what they have written.

mod contents;
mod image;
mod names;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

pub use contents::Contents;
pub use names::Names;

use crate::events::{Event, Recording};
use crate::tree::{Id, ROOT, Tree};

/// What a disk kept of what it did not have to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mood {
    /// Of names.
    pub names: Names,
    /// Of contents.
    pub contents: Contents,
}

impl Mood {
    /// Any of them.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        Self { names: Names::random(random), contents: Contents::random(random) }
    }
}

/// The attempts to make something last, each as (events covered, whether it failed, whether only data was asked for), in
/// the order in which they ended.
type Syncs = HashMap<Id, Vec<Attempt>>;

#[derive(Debug, Clone, Copy)]
struct Attempt {
    covers: u64,
    failed: bool,
    data_only: bool,
}

impl Recording {
    /// Writes to the empty directory `to` what a disk may hold that lost power after the first `point` events.
    /// `base` is a copy of what was there when the recording began.
    pub fn replay(
        &self,
        base: Option<&Path>,
        point: usize,
        mood: Mood,
        random: &mut fastrand::Rng,
        to: &Path,
    ) -> io::Result<()> {
        // What was there before is there in any case.
        let known = self.events.iter().take_while(|event| matches!(event, Event::Known { .. }));
        let point = point.max(known.count());
        let events = self.events.get(..point).unwrap_or(&self.events);
        let syncs = attempts(events);
        let tree = names::surviving(events, &syncs, mood.names, random);
        let mut before = Tree::default();
        let mut changes: HashMap<Id, Vec<(u64, &Event)>> = HashMap::new();
        for (at, event) in (0..).zip(events) {
            if let Event::Known { id, parent, dir, name } = event {
                before.add(*id, *parent, name, *dir);
            } else if let Some(id) = event.content_of() {
                changes.entry(id).or_default().push((at, event));
            }
        }
        let mut made: BTreeMap<Id, std::path::PathBuf> = BTreeMap::new();
        let mut waiting = vec![(ROOT, to.to_path_buf())];
        while let Some((id, path)) = waiting.pop() {
            let Some(node) = tree.nodes.get(&id) else { continue };
            if let Some(children) = &node.children {
                if id != ROOT {
                    fs::create_dir(&path)?;
                }
                waiting.extend(children.iter().map(|(name, id)| (*id, path.join(os(name)))));
                continue;
            }
            if let Some(first) = made.get(&id) {
                fs::hard_link(first, &path)?;
                continue;
            }
            let start = match base {
                Some(base) if before.nodes.contains_key(&id) => {
                    image::Image::read(&base.join(os(&before.path(id))))?
                }
                _ => image::Image::default(),
            };
            let changes = changes.get(&id).map(Vec::as_slice).unwrap_or_default();
            let syncs = syncs.get(&id).map(Vec::as_slice).unwrap_or_default();
            contents::surviving(start, changes, syncs, mood.contents, random).store(&path)?;
            made.insert(id, path);
        }
        Ok(())
    }
}

fn attempts(events: &[Event]) -> Syncs {
    let mut syncs = Syncs::new();
    let mut known = vec![ROOT];
    for event in events {
        match event {
            Event::Known { id, .. } | Event::Create { id, .. } => known.push(*id),
            Event::Sync { id, begun, data_only, failed } => {
                let attempt = Attempt { covers: *begun, failed: *failed, data_only: *data_only };
                syncs.entry(*id).or_default().push(attempt);
            }
            Event::SyncAll { begun } => {
                let attempt = Attempt { covers: *begun, failed: false, data_only: false };
                for id in &known {
                    syncs.entry(*id).or_default().push(attempt);
                }
            }
            _ => {}
        }
    }
    syncs
}

fn os(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}
