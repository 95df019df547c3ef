use super::*;

const BYTES: usize = 1 << 16;

fn read(rows: &Rows, key: &[u8]) -> Option<Vec<u8>> {
    rows.get(key, <[u8]>::to_vec).ok()
}

/// One change of a key.
fn change(rows: &Rows, key: &[u8], value: Option<&[u8]>) {
    rows.end(rows.begin(key), key, value);
}

fn learn(rows: &Rows, key: &[u8], value: &[u8]) {
    if let Err(missed) = rows.get(key, <[u8]>::len) {
        rows.learn(&missed, key, value);
    }
}

#[test]
fn rows_are_learned_from_readers_and_from_changes() {
    let rows = Rows::with_shards(BYTES, 2);
    assert_eq!(read(&rows, b"name"), None);
    learn(&rows, b"name", b"one");
    assert_eq!(read(&rows, b"name").unwrap(), b"one");
    let hash = rows.begin(b"name");
    assert_eq!(read(&rows, b"name"), None);
    rows.end(hash, b"name", Some(b"two"));
    assert_eq!(read(&rows, b"name").unwrap(), b"two");
    change(&rows, b"name", None);
    assert_eq!(read(&rows, b"name"), None);
    learn(&rows, b"name", b"three");
    rows.forget_all();
    assert_eq!(read(&rows, b"name"), None);
    // As many large ones would leave room for little else.
    learn(&rows, b"name", &[0; BYTES / 2 / ROW_SHARE]);
    assert_eq!(read(&rows, b"name"), None);
}

#[test]
fn nothing_is_learned_from_who_may_have_read_before_a_change() {
    let rows = Rows::with_shards(BYTES, 1);
    let before = rows.get(b"name", <[u8]>::len).unwrap_err();
    let hash = rows.begin(b"name");
    let meanwhile = rows.get(b"name", <[u8]>::len).unwrap_err();
    for missed in [&before, &meanwhile] {
        rows.learn(missed, b"name", b"old");
        assert_eq!(read(&rows, b"name"), None);
    }
    rows.end(hash, b"name", None);
    for missed in [&before, &meanwhile] {
        rows.learn(missed, b"name", b"old");
        assert_eq!(read(&rows, b"name"), None);
    }
}

#[test]
fn of_two_changes_of_a_key_at_once_only_the_last_is_seen() {
    let rows = Rows::with_shards(BYTES, 1);
    rows.begin(b"name");
    let hash = rows.begin(b"name");
    rows.end(hash, b"name", Some(b"one"));
    assert_eq!(read(&rows, b"name"), None);
    rows.end(hash, b"name", None);
    assert_eq!(read(&rows, b"name"), None);
    rows.begin(b"name");
    let hash = rows.begin(b"name");
    rows.end(hash, b"name", Some(b"one"));
    rows.end(hash, b"name", Some(b"two"));
    assert_eq!(read(&rows, b"name").unwrap(), b"two");
}
