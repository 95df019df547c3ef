//! Puts a program that knows nothing of it on disks that fail: a library to be preloaded.
//!
//! ```text
//! LD_PRELOAD=.../libfaulty_disk.so FAULTY_DISK=DIRECTORY FAULTY_RULES=FILE program
//! ```
//!
//! Each line of the file is a rule for what is below the directory, the first that applies counts:
//! `ERROR CALLS PART`, as `EIO sync,write mp1/ais/segments`. `ERROR` may be a number; `all` are all calls; an absent `PART`
//! is any path. The file is read anew when it changes, and then copied to `FILE.seen`: from that moment on it counts.
//! Without the two variables nothing is done. A program that starts others is no good, see `Twin`.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(unsafe_code, reason = "a function that runs before the program does")]

use std::path::PathBuf;
use std::time::Duration;

use aistore_testkit::{Call, Fault, Rule, Twin};

const LOOK: Duration = Duration::from_millis(5);
const ERRORS: [(&str, i32); 3] = [("EIO", 5), ("ENOSPC", 28), ("EROFS", 30)];
const CALLS: [(&str, Call); 10] = [
    ("open", Call::Open),
    ("create", Call::Create),
    ("read", Call::Read),
    ("write", Call::Write),
    ("allocate", Call::Allocate),
    ("truncate", Call::Truncate),
    ("sync", Call::Sync),
    ("rename", Call::Rename),
    ("remove", Call::Remove),
    ("mkdir", Call::MakeDir),
];

// SAFETY: the loader calls what this section points to, once, before the program begins.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    let Some(directory) = std::env::var_os("FAULTY_DISK") else { return };
    let Some(rules) = std::env::var_os("FAULTY_RULES").map(PathBuf::from) else { return };
    let Ok(twin) = Twin::install(directory.as_ref(), None) else { std::process::abort() };
    std::thread::spawn(move || follow(twin, &rules));
}

/// Sets the rules that a file has, whenever it changes.
fn follow(twin: &'static Twin, path: &std::path::Path) {
    let mut known = None;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if known.as_ref() != Some(&text) {
            // A rule that is none would let a test pass.
            let Some(rules) = text.lines().map(parse).collect() else { std::process::abort() };
            twin.set_rules(0, rules);
            if std::fs::write(path.with_added_extension("seen"), &text).is_err() {
                std::process::abort();
            }
            known = Some(text);
        }
        std::thread::sleep(LOOK);
    }
}

fn parse(line: &str) -> Option<Rule> {
    let mut fields = line.split_whitespace();
    let (error, calls, part) = (fields.next()?, fields.next()?, fields.next());
    let named = ERRORS.iter().find(|(name, _)| *name == error).map(|(_, number)| *number);
    let number = named.or_else(|| error.parse().ok())?;
    let call = |name| CALLS.iter().find(|(known, _)| *known == name).map(|(_, call)| *call);
    let calls: Option<Vec<Call>> = match calls {
        "all" => Some(CALLS.map(|(_, call)| call).to_vec()),
        some => some.split(',').map(call).collect(),
    };
    let rule = Rule::new(Fault::Error(number), &calls?);
    Some(part.map_or(rule.clone(), |part| rule.on(part)))
}
