//! Which names there are afterwards.

use std::collections::HashMap;

use super::Syncs;
use crate::events::Event;
use crate::tree::{Id, Tree};

/// Which changes of names are kept beyond those that last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// None.
    Nothing,
    /// All.
    All,
    /// All up to some point.
    Journal,
    /// In each directory all up to some point.
    Loose,
}

impl Names {
    /// Any of them.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        let all = [Self::Nothing, Self::All, Self::Journal, Self::Loose];
        all[random.usize(..all.len())]
    }
}

/// A change of names.
struct Change<'e> {
    at: u64,
    event: &'e Event,
    /// What has another name thereby.
    subject: Option<Id>,
    directories: [Id; 2],
    /// Changes that it takes along: the last ones before in its directories, and their making.
    needs: Vec<usize>,
    lasts: bool,
}

/// The names after loss of power at the end of `events`.
pub(super) fn surviving(
    events: &[Event],
    syncs: &Syncs,
    mood: Names,
    random: &mut fastrand::Rng,
) -> Tree {
    let mut tree = Tree::default();
    let mut changes = changes(events, &mut tree);
    // From the last to the first: what lasts takes along what it needs.
    for index in (0..changes.len()).rev() {
        let Some(change) = changes.get_mut(index) else { continue };
        change.lasts |= lasts(change, syncs);
        if change.lasts {
            for needed in std::mem::take(&mut change.needs) {
                if let Some(needed) = changes.get_mut(needed) {
                    needed.lasts = true;
                }
            }
        }
    }
    let least = changes.iter().rposition(|change| change.lasts).map_or(0, |last| last + 1);
    let cut = random.usize(least..=changes.len());
    let chance = random.f64();
    let mut kept: Vec<bool> = Vec::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        let keep = match mood {
            _ if change.lasts => true,
            Names::Nothing => false,
            Names::All => true,
            Names::Journal => index < cut,
            Names::Loose => {
                change.needs.iter().all(|needed| kept.get(*needed) == Some(&true))
                    && random.f64() < chance.sqrt().sqrt()
            }
        };
        kept.push(keep);
        if keep {
            apply(change.event, &mut tree);
        }
    }
    tree
}

/// All changes of names, and in `tree` what was there before.
fn changes<'e>(events: &'e [Event], tree: &mut Tree) -> Vec<Change<'e>> {
    let mut found: Vec<Change<'e>> = Vec::new();
    // With all of them, to know what a name stood for.
    let mut now = Tree::default();
    let mut last_in: HashMap<Id, usize> = HashMap::new();
    let mut made: HashMap<Id, usize> = HashMap::new();
    for (at, event) in (0..).zip(events) {
        let (subject, directories) = match event {
            Event::Known { id, parent, dir, name } => {
                tree.add(*id, *parent, name, *dir);
                now.add(*id, *parent, name, *dir);
                continue;
            }
            Event::Create { id, parent, .. } | Event::Link { id, parent, .. } => {
                (Some(*id), [*parent; 2])
            }
            Event::Rename { from, to, old, .. } => (now.child(*from, old), [*from, *to]),
            Event::Remove { parent, .. } => (None, [*parent; 2]),
            _ => continue,
        };
        let mut needs: Vec<usize> = Vec::new();
        for directory in directories {
            needs.extend(last_in.get(&directory).or_else(|| made.get(&directory)));
        }
        let index = found.len();
        last_in.extend(directories.map(|directory| (directory, index)));
        if let Event::Create { id, .. } = event {
            made.insert(*id, index);
        }
        apply(event, &mut now);
        found.push(Change { at, event, subject, directories, needs, lasts: false });
    }
    found
}

/// Whether something made a change last.
fn lasts(change: &Change<'_>, syncs: &Syncs) -> bool {
    let done = |id: &Id, data_only: bool| {
        let attempts = syncs.get(id).into_iter().flatten();
        let mut good = attempts.filter(|attempt| !attempt.failed && attempt.covers > change.at);
        good.any(|attempt| data_only || !attempt.data_only)
    };
    let made = matches!(change.event, Event::Create { .. });
    change.directories.iter().any(|directory| done(directory, false))
        || change.subject.is_some_and(|subject| done(&subject, made))
}

fn apply(event: &Event, tree: &mut Tree) {
    match event {
        Event::Create { id, parent, dir, name } => tree.add(*id, *parent, name, *dir),
        Event::Link { id, parent, name } => tree.add(*id, *parent, name, false),
        Event::Rename { from, to, old, new } => drop(tree.rename((*from, old), (*to, new))),
        Event::Remove { parent, name } => drop(tree.remove(*parent, name)),
        _ => {}
    }
}
