//! One ordered page out of several ordered streams: pure, so that it can be proven against a model.

use std::collections::VecDeque;

use super::{ENTRY_STATUS_MASK, ListEntry};

/// Names asked for beyond the expected share, so that an uneven spread rarely needs a second round.
const SLACK: usize = 64;

/// What a target has delivered but the page has not taken.
#[derive(Debug)]
struct Lane {
    waiting: VecDeque<ListEntry>,
    /// Where the lane's next fetch starts; `None` once it has delivered all.
    next: Option<String>,
}

/// A page under construction.
#[derive(Debug)]
pub struct Merge {
    lanes: Vec<Lane>,
    page: Vec<ListEntry>,
    want: usize,
}

impl Merge {
    /// A page of up to `want` names after `after` (exclusive), out of `lanes` streams.
    pub fn new(lanes: usize, want: usize, after: &str) -> Self {
        let lane = || Lane { waiting: VecDeque::new(), next: Some(after.to_owned()) };
        let lanes = std::iter::repeat_with(lane).take(lanes).collect();
        Self { lanes, page: Vec::new(), want }
    }

    /// Lanes that must be fed before the page can grow, each with the token to fetch from.
    pub fn hungry(&self) -> Vec<(usize, String)> {
        if self.page.len() >= self.want {
            return Vec::new();
        }
        let lanes = self.lanes.iter().enumerate();
        lanes
            .filter(|(_, lane)| lane.waiting.is_empty())
            .filter_map(|(at, lane)| lane.next.clone().map(|token| (at, token)))
            .collect()
    }

    /// How many names to ask of each hungry lane: its share of what is missing, and a little more.
    pub fn ask(&self) -> usize {
        let missing = self.want.saturating_sub(self.page.len());
        let share = missing.div_ceil(self.lanes.len().max(1));
        let generous = share.saturating_add(share.saturating_mul(3) / 10).saturating_add(SLACK);
        generous.min(missing.max(1))
    }

    /// Takes what a lane delivered. `next` is where it goes on, empty at its end.
    ///
    /// Answers whether the lane made progress: one that neither delivers nor ends would be asked for ever.
    pub fn feed(&mut self, lane: usize, entries: Vec<ListEntry>, next: &str) -> bool {
        let Some(lane) = self.lanes.get_mut(lane) else { return false };
        let stuck = !next.is_empty() && lane.next.as_deref().is_some_and(|before| next <= before);
        lane.next = (!next.is_empty()).then(|| next.to_owned());
        lane.waiting.extend(entries);
        !stuck
    }

    /// Moves names into the page until it is full or a lane is hungry.
    ///
    /// Entries of one name stay on one page, which may grow past its size for that: the token is a name.
    pub fn advance(&mut self) {
        while self.hungry().is_empty() {
            let heads = self.lanes.iter().enumerate();
            let heads = heads.filter_map(|(at, lane)| lane.waiting.front().map(|head| (head, at)));
            let order = |entry: &ListEntry| entry.flags & ENTRY_STATUS_MASK;
            let least = heads.min_by(|(a, lane_a), (b, lane_b)| {
                (&a.name, order(a), lane_a).cmp(&(&b.name, order(b), lane_b))
            });
            let Some((head, at)) = least else { return };
            let same = self.page.last().is_some_and(|last| last.name == head.name);
            if self.page.len() >= self.want && !same {
                return;
            }
            let Some(entry) = self.lanes.get_mut(at).and_then(|lane| lane.waiting.pop_front())
            else {
                return;
            };
            // Virtual directories live on several targets; of an object there is one, and its copies.
            if !same || order(&entry) != 0 {
                self.page.push(entry);
            }
        }
    }

    /// The page and the token of the next one, empty at the end of the listing.
    ///
    /// A full page always has a token: whether more follows is not known without asking.
    pub fn finish(self) -> (Vec<ListEntry>, String) {
        let full = self.page.len() >= self.want;
        let last = self.page.last().map(|entry| entry.name.clone());
        (self.page, last.filter(|_| full).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A target that lists `names` in pages.
    fn page_of(names: &BTreeSet<String>, after: &str, limit: usize) -> (Vec<ListEntry>, String) {
        let mut rest = names.iter().filter(|name| name.as_str() > after).peekable();
        let entry = |name: &String| ListEntry { name: name.clone(), ..ListEntry::default() };
        let entries: Vec<ListEntry> = rest.by_ref().take(limit).map(entry).collect();
        let more = rest.peek().is_some();
        let token = entries.last().filter(|_| more).map(|entry| entry.name.clone());
        (entries, token.unwrap_or_default())
    }

    fn list_page(
        targets: &[BTreeSet<String>],
        want: usize,
        after: &str,
        at_most: usize,
    ) -> (Vec<String>, String) {
        let mut merge = Merge::new(targets.len(), want, after);
        loop {
            let hungry = merge.hungry();
            if hungry.is_empty() {
                break;
            }
            let ask = merge.ask().min(at_most);
            for (lane, token) in hungry {
                let (entries, next) = page_of(&targets[lane], &token, ask);
                assert!(merge.feed(lane, entries, &next));
            }
            merge.advance();
        }
        let (page, token) = merge.finish();
        (page.into_iter().map(|entry| entry.name).collect(), token)
    }

    proptest! {
        #[test]
        fn pages_equal_the_sorted_union_whatever_the_spread(
            targets in prop::collection::vec(prop::collection::btree_set("[a-c/]{1,4}", 0..40), 0..5),
            want in 1_usize..20,
            at_most in 1_usize..30,
        ) {
            let model: BTreeSet<&String> = targets.iter().flatten().collect();
            let (mut listed, mut token) = (Vec::new(), String::new());
            loop {
                let (page, next) = list_page(&targets, want, &token, at_most);
                prop_assert!(page.len() <= want);
                prop_assert!(next.is_empty() || !page.is_empty());
                prop_assert_eq!(next.is_empty(), page.len() < want);
                listed.extend(page);
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            prop_assert!(listed.iter().eq(model));
        }
    }

    #[test]
    fn entries_of_one_name_stay_together_on_one_page() {
        let entry =
            |name: &str, flags| ListEntry { name: name.to_owned(), flags, ..ListEntry::default() };
        let mut merge = Merge::new(2, 1, "");
        assert!(merge.feed(0, vec![entry("a", 64 | 1), entry("c", 64)], ""));
        assert!(merge.feed(1, vec![entry("a", 64), entry("a", 64 | 3), entry("b", 64)], ""));
        merge.advance();
        let (page, token) = merge.finish();
        let flags: Vec<u16> = page.iter().map(|entry| entry.flags).collect();
        assert_eq!((flags, token.as_str()), (vec![64, 65, 67], "a"));
    }

    #[test]
    fn a_lane_without_progress_is_noticed() {
        let mut merge = Merge::new(1, 10, "m");
        assert!(!merge.feed(0, Vec::new(), "m"));
        assert!(!merge.feed(7, Vec::new(), ""));
    }
}
