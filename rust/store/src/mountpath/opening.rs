//! Opening a mountpath: cleaning up after the last run, and its index, which is rebuilt where it must be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};

use aistore_core::placement;

use super::{Claimed, Mountpath, REBUILD_MARKER};
use crate::commit::Committer;
use crate::config::Limits;
use crate::descriptors::Descriptors;
use crate::doubts::{self, Doubts, Past};
use crate::durability::{Policies, Unsynced};
use crate::error::StoreError;
use crate::faults::Counts;
use crate::files::Files;
use crate::identity::RunState;
use crate::ids::{BlobIds, CEILING_STEP, now_ns};
use crate::index::{Index, OpenFailure, Standing};
use crate::locations::Locations;
use crate::meta::BlobId;
use crate::rebuild;
use crate::segments::Segments;
use crate::space::{Space, Watermark};
use crate::sync::Mutex;
use crate::tally::Tally;

/// How an index came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Built {
    /// Change by change.
    Gradually,
    /// By an earlier start from the blobs, and it was not compared with those of the other mountpaths yet.
    Earlier,
    /// By this start, from the blobs, of which this is the greatest.
    Now(BlobId),
}

impl Mountpath {
    /// Cleans up after the last run and opens the index, rebuilding it where needed.
    pub(crate) fn open(
        claimed: Claimed,
        peers: &BTreeSet<String>,
        scattered: bool,
        limits: Limits,
        rules: (Watermark, Policies),
    ) -> Result<Self, StoreError> {
        let settled = claimed.run.as_ref().filter(|run| run.clean);
        let settled = settled.and_then(|run| run.settled.clone());
        let lost_power = claimed.lost_power();
        let index = |files: &Files, segments: &Segments| {
            if let Some(settled) = settled {
                Index::empty_journals(&files.path("index"), &settled);
                step!("open: journals emptied");
            }
            if lost_power {
                Index::cut_unsynced(&files.path("index")).map_err(|failure| failure.told(files))?;
            }
            open_index(files, segments, limits.cache_bytes)
        };
        Self::open_with(claimed, peers, scattered, limits, rules, index)
    }

    /// As [`open`](Self::open), with what opens the index and says how it came to be.
    pub(crate) fn open_with(
        claimed: Claimed,
        peers: &BTreeSet<String>,
        scattered: bool,
        limits: Limits,
        (watermark, policies): (Watermark, Policies),
        index: impl FnOnce(&Files, &Segments) -> Result<(Index, Built), StoreError>,
    ) -> Result<Self, StoreError> {
        let Claimed { files, format, fresh, run, lock } = claimed;
        let torn = files.empty_tmp()?;
        step!("open: unfinished uploads removed");
        if torn > 0 {
            tracing::info!(mountpath = %files.mountpath().display(), torn, "unfinished uploads removed");
        }
        let clean = run.as_ref().is_some_and(|run| run.clean);
        let waiting = Unsynced::new(policies.clone());
        if run.is_some() && !clean {
            waiting.note_interrupted();
        }
        let segments = Segments::open(files.path("segments"), clean, limits)?;
        let (index, built) = index(&files, &segments)?;
        let rebuilt = built != Built::Gradually;
        step!("open: index opened");
        // The stored bound is missing or a crash may have lost it: look at the blobs themselves.
        let greatest = match (&run, built) {
            (_, Built::Now(greatest)) => greatest,
            (Some(_), _) => BlobId(0),
            (None, _) => rebuild::greatest_blob(&files, &segments)?,
        };
        if !clean && !segments.is_numbered() {
            // A number that the index knows must not be given to another segment.
            for entry in index.locations() {
                segments.pass_over(entry?.1.segment);
            }
        }
        let last = greatest.0.max(run.as_ref().map_or(0, |run| run.id_ceiling)).max(now_ns());
        let boot = doubts::boot();
        let synced = doubts::read_synced(&files);
        let past = match &run {
            None if fresh => Past::default(),
            run => Past::of(run.as_ref(), &boot, synced, last),
        };
        // What a process that was killed wrote, the system has still.
        let unsynced =
            run.as_ref().is_some_and(|run| !run.clean && run.unsynced && run.boot == boot);
        if past.doubt.is_some() {
            tracing::warn!(mountpath = %files.mountpath().display(),
                "what was written last may have been lost with the power: it is compared before it is read");
        }
        let saved = run.and_then(|run| run.stored).filter(|_| clean && !rebuilt);
        let tally = Tally::start(&index, saved.as_ref());
        match &saved {
            Some(saved) => files.count.restore(saved.files),
            None => files.count.begin(BlobId(last)),
        }
        let run = RunState {
            clean: false,
            id_ceiling: last.saturating_add(CEILING_STEP),
            peers: peers.clone(),
            scattered,
            boot,
            loose: past.loose,
            unsynced,
            doubt: past.doubt,
            stored: None,
            settled: None,
        };
        // With it the names of the directories reach the disk; and after loss of power nobody takes this run for
        // one that ended in order.
        run.write(&files)?;
        step!("open: run noted");
        Ok(Self {
            space: Space::new(watermark),
            faults: Counts::start(files.mountpath()),
            index,
            tally,
            segments,
            locations: Locations::default(),
            descriptors: Descriptors::new(limits.descriptors),
            max_record_bytes: limits.max_record_bytes,
            digest: placement::digest(&format.uuid),
            uuid: format.uuid,
            interrupted: !clean || rebuilt,
            first_of_run: BlobId(last),
            policies,
            unsynced: waiting,
            committer: Committer::default(),
            ids: BlobIds::new(BlobId(last), run.id_ceiling),
            loose: AtomicBool::new(run.loose.is_some()),
            index_loose: AtomicBool::new(run.unsynced),
            synced: AtomicU64::new(synced),
            doubts: Doubts::new(run.doubt),
            run: Mutex::new(run),
            failed: AtomicBool::new(false),
            unswept: AtomicBool::new(!clean || rebuilt),
            swept: AtomicBool::new(clean && !rebuilt),
            rebuilt: AtomicBool::new(rebuilt),
            files,
            _lock: lock,
        })
    }
}

/// Opens the index, and tells how it came to be.
fn open_index(
    files: &Files,
    segments: &Segments,
    cache_bytes: u64,
) -> Result<(Index, Built), StoreError> {
    let (path, marker) = (files.path("index"), files.path(REBUILD_MARKER));
    let asked = marker.exists();
    let existed = path.exists();
    let mut empty = None;
    if asked {
        set_aside(files, &path, "a rebuild was asked for")?;
    } else {
        match Index::open(&path, cache_bytes) {
            Ok(index) => match index.standing()? {
                Standing::Complete => return Ok((index, Built::Gradually)),
                Standing::Uncompared => return Ok((index, Built::Earlier)),
                Standing::Unfinished if !existed => empty = Some(index),
                // Nobody ever used it, so there is nothing in it to look at.
                Standing::Unfinished => {
                    drop(index);
                    tracing::warn!(path = %path.display(), "the index is unfinished and built anew");
                    fs::remove_dir_all(&path)
                        .map_err(|source| StoreError::io(&path, "remove", source))?;
                }
            },
            Err(OpenFailure::Damaged(reason)) => set_aside(files, &path, &reason)?,
            Err(OpenFailure::Failed(error)) => return Err(error),
        }
    }
    let index = match empty.map_or_else(|| Index::open(&path, cache_bytes), Ok) {
        Ok(index) => index,
        Err(failure) => return Err(failure.told(files)),
    };
    let greatest = rebuild::rebuild(files, segments, &index)?;
    step!("rebuild: index filled");
    index.mark_filled()?;
    step!("rebuild: index complete");
    if asked {
        fs::remove_file(&marker).map_err(|source| StoreError::io(&marker, "remove", source))?;
    }
    Ok((index, Built::Now(greatest)))
}

/// Moves a damaged index away, in place of the one set aside before it.
fn set_aside(files: &Files, path: &Path, reason: &str) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), reason, "the index is set aside and rebuilt from the blobs");
    let aside: PathBuf = files.path("index.damaged");
    let remove = if aside.is_dir() { fs::remove_dir_all(&aside) } else { Ok(()) };
    remove.map_err(|source| StoreError::io(&aside, "remove", source))?;
    step!("rebuild: place for the old index made");
    fs::rename(path, &aside).map_err(|source| StoreError::io(path, "set aside", source))
}
