//! Which target owns an object: a pure function of the object's uname and the cluster map.
//!
//! Source: rendezvous hashing, Thaler & Ravishankar, IEEE/ACM Trans. Networking 6(1), 1998. Seed and
//! mixing function are the wire's: existing clients compute the same owner and read from it directly.

use xxhash_rust::xxh64::xxh64;

use crate::smap::{Smap, Snode};

const SEED: u64 = 1_103_515_245;

/// Digest of a node id or an object's uname.
pub fn digest(text: &str) -> u64 {
    xxh64(text.as_bytes(), SEED)
}

/// Final mixing step of the rendezvous weight (all arithmetic wraps).
pub fn mix(x: u64) -> u64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    const A: u64 = 0xbf58_476d_1ce4_e5b9;
    const B: u64 = 0x94d0_49bb_1331_11eb;
    let scramble = |x: u64| {
        let z = x.wrapping_add(GAMMA);
        let z = (z ^ (z >> 30)).wrapping_mul(A);
        let z = (z ^ (z >> 27)).wrapping_mul(B);
        z ^ (z >> 31)
    };
    let first = scramble(x);
    let second = scramble(first);
    second.wrapping_mul(5).rotate_left(7).wrapping_mul(9)
}

/// Weight of one candidate for one object.
pub fn weight(candidate_digest: u64, object_digest: u64) -> u64 {
    mix(candidate_digest ^ object_digest)
}

/// Returns the target that owns `uname`, or `None` when no target accepts data.
///
/// Targets in maintenance or being decommissioned are skipped. Ties break on the node id, so the
/// order in which a map was built never matters.
pub fn owner<'m>(smap: &'m Smap, uname: &str) -> Option<&'m Snode> {
    let object = digest(uname);
    smap.tmap
        .values()
        .filter(|node| node.accepts_data())
        .max_by_key(|node| (weight(node.id_digest, object), std::cmp::Reverse(&node.daemon_id)))
}

/// Returns the index of the candidate (a mountpath, say) that wins `uname`; `None` for no candidates.
pub fn pick(candidate_digests: &[u64], uname: &str) -> Option<usize> {
    let object = digest(uname);
    let weights = candidate_digests.iter().map(|candidate| weight(*candidate, object));
    weights.enumerate().max_by_key(|(_, weight)| *weight).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ids: &[&str]) -> Smap {
        let mut smap = Smap::default();
        for id in ids {
            smap.tmap.insert((*id).to_owned(), Snode::for_test(id));
        }
        smap
    }

    #[test]
    fn mixing_function_matches_the_wire_vectors() {
        assert_eq!(mix(0), 1_905_207_664_160_064_169);
        assert_eq!(mix(4_573_842), 5_026_071_747_115_404_967);
    }

    #[test]
    fn departure_moves_only_what_the_target_owned() {
        let (before, after) = (map(&["t1", "t2", "t3", "t4"]), map(&["t4", "t3", "t1"]));
        for i in 0..2_000 {
            let uname = format!("ais/@#/b/{i}");
            let old = &owner(&before, &uname).unwrap().daemon_id;
            if old != "t2" {
                assert_eq!(&owner(&after, &uname).unwrap().daemon_id, old, "{uname}");
            }
        }
    }

    #[test]
    fn each_target_owns_its_share() {
        let smap = map(&["t1", "t2", "t3", "t4", "t5"]);
        let share = (0..10_000)
            .filter(|i| owner(&smap, &format!("ais/@#/b/{i}")).unwrap().daemon_id == "t3")
            .count();
        assert!(share.abs_diff(2_000) < 120, "t3 owns {share}; 2000 expected, 3 sigma is 120");
    }

    #[test]
    fn targets_in_maintenance_own_nothing() {
        let mut smap = map(&["t1", "t2"]);
        smap.tmap.get_mut("t1").unwrap().flags = crate::smap::FLAG_MAINTENANCE;
        for i in 0..100 {
            assert_eq!(owner(&smap, &format!("o{i}")).unwrap().daemon_id, "t2");
        }
        smap.tmap.get_mut("t2").unwrap().flags = crate::smap::FLAG_DECOMMISSION;
        assert!(owner(&smap, "o").is_none());
    }
}
