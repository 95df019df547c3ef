//! Prints what a process on a twin did: `cargo run -p aistore-testkit --example show-log -- LOG`.

#![allow(clippy::print_stdout, reason = "a tool")]

use std::collections::HashMap;
use std::path::Path;

use aistore_testkit::{Event, Recording};

fn main() -> std::io::Result<()> {
    let log =
        std::env::args().nth(1).ok_or_else(|| std::io::Error::other("usage: show-log LOG"))?;
    let mut paths: HashMap<u64, String> = HashMap::from([(0, String::new())]);
    for (at, event) in Recording::read(Path::new(&log))?.events.into_iter().enumerate() {
        let path = |id: &u64| paths.get(id).cloned().unwrap_or_else(|| format!("#{id}"));
        let inside =
            |id: &u64, name: &[u8]| format!("{}/{}", path(id), String::from_utf8_lossy(name));
        let text = match &event {
            Event::Known { name, parent, .. } => format!("known {}", inside(parent, name)),
            Event::Create { name, parent, id, .. } => {
                format!("create {} #{id}", inside(parent, name))
            }
            Event::Link { id, parent, name } => {
                format!("link {} {}", path(id), inside(parent, name))
            }
            Event::Rename { from, to, old, new } => {
                format!("rename {} {}", inside(from, old), inside(to, new))
            }
            Event::Remove { parent, name } => format!("remove {}", inside(parent, name)),
            Event::Write { id, offset, data } => {
                format!("write {} at {offset}, {} bytes", path(id), data.len())
            }
            Event::Truncate { id, length } => format!("truncate {} to {length}", path(id)),
            Event::Sync { id, begun, data_only, failed } => {
                format!(
                    "sync {} of the first {begun}, data only {data_only}, failed {failed}",
                    path(id)
                )
            }
            Event::SyncAll { begun } => format!("sync all of the first {begun}"),
            Event::Mark(text) => format!("mark {text}"),
        };
        println!("{at} {text}");
        if let Event::Known { id, parent, name, .. } | Event::Create { id, parent, name, .. } =
            &event
        {
            let path = inside(parent, name);
            paths.insert(*id, path);
        }
    }
    Ok(())
}
