//! Job ids.

/// Shortest and longest id in bytes.
const LENGTH: (usize, usize) = (9, 32);
/// Length of a generated id before its ends are put right.
const GENERATED: usize = 9;
const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// Whether clients may name a job so: 9 to 32 letters, digits, `-` and `_`, not starting or ending with
/// one of the latter; or the id of a rebalance, such as `g7`.
pub fn is_valid_id(id: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let inner = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = id.as_bytes();
    is_rebalance(id)
        || ((LENGTH.0..=LENGTH.1).contains(&bytes.len())
            && bytes.iter().copied().all(word)
            && inner(bytes.first())
            && inner(bytes.last()))
}

/// Whether the id is a rebalance's: `g` and a number.
fn is_rebalance(id: &str) -> bool {
    let number = id.strip_prefix('g').unwrap_or_default();
    !number.is_empty() && number.len() <= 20 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// A new id from 66 random bits: 9 to 11 characters, starting with a letter, ending in a letter or digit.
pub fn job_id(random: u128) -> String {
    let mut bits = random;
    let mut next = |range: usize| {
        let at = (bits % range as u128) as usize;
        bits /= range as u128;
        ALPHABET.get(at).copied().map_or('a', char::from)
    };
    let mut id: String = (0..GENERATED).map(|_| next(ALPHABET.len())).collect();
    let letter = next(26);
    if !id.starts_with(|first: char| first.is_ascii_alphabetic()) || is_rebalance(&id) {
        id.insert(0, letter.to_ascii_uppercase());
    }
    if id.ends_with(['-', '_']) {
        id.push(letter);
    }
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_follow_the_rule() {
        for good in ["abcdefghi", "D-ViE6HEL_j", "g7", "123456789", &"x".repeat(32)] {
            assert!(is_valid_id(good), "{good}");
        }
        for bad in ["", "short", "-bcdefghi", "abcdefgh_", "abc defghi", "gx", &"x".repeat(33)] {
            assert!(!is_valid_id(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn generated_ids_are_valid_and_start_with_a_letter(random in any::<u128>()) {
            let id = job_id(random);
            prop_assert!(is_valid_id(&id) && !is_rebalance(&id), "{}", id);
            prop_assert!((9..=11).contains(&id.len()));
            prop_assert!(id.starts_with(|first: char| first.is_ascii_alphabetic()));
        }
    }
}
