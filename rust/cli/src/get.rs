//! `ais get`: objects, parts of them, files in shards, or everything under a prefix.

mod many;

use std::path::Path;

use aistore_client::{Client, GetOptions, ObjectStream};
use aistore_core::checksum::ChecksumType;
use aistore_core::headers::{CHECKSUM_TYPE, CHECKSUM_VALUE};
use serde_json::json;

use crate::args::GetArgs;
use crate::failure::Failure;
use crate::names::{Target, parse_object};
use crate::output::Output;
use crate::progress::{Part, Progress};
use crate::sink::{Destination, Sink};

/// Runs the command.
pub(crate) async fn run(client: &Client, args: &GetArgs, out: &mut Output) -> Result<(), Failure> {
    if let Some(prefix) = &args.prefix {
        return many::run(client, args, prefix, out).await;
    }
    let target = parse_object(&args.object)?;
    let base = base_name(args.archpath.as_deref().unwrap_or(&target.name))?;
    let destination =
        Destination::resolve(args.output.as_deref(), base, |path: &Path| path.is_dir());
    check_folder(args.output.as_deref(), &destination)?;
    let request = Request {
        range: range(args.offset, args.length)?,
        archpath: args.archpath.clone(),
        verify: args.checksum,
    };
    let size = fetch(client, &target, &request, &destination, Show::bar(args, out)).await?;
    report(&target, args.archpath.as_deref(), &destination, size, out)
}

/// A folder is only made where the destination says that it is one, by a slash at its end.
fn check_folder(output: Option<&str>, destination: &Destination) -> Result<(), Failure> {
    let Destination::File(path) = destination else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !output.is_some_and(|text| text.ends_with('/')) && !folder.exists() => {
            Err(Failure::usage(format!(
                "there is no directory \"{}\" for \"{}\": make it first",
                folder.display(),
                path.display()
            )))
        }
        _ => Ok(()),
    }
}

/// `ais object cat`.
pub(crate) async fn cat(client: &Client, object: &str, out: &mut Output) -> Result<(), Failure> {
    let target = parse_object(object)?;
    out.flush()?;
    fetch(client, &target, &Request::default(), &Destination::Stdout, Show::Nothing).await.map(drop)
}

/// What to read of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Request {
    range: Option<String>,
    archpath: Option<String>,
    verify: bool,
}

/// Where one object's progress shows.
enum Show<'p> {
    Nothing,
    /// A bar of its own, once the size is known.
    Bar {
        forced: bool,
        units: crate::sizes::Units,
    },
    /// A share of a larger one.
    Part(&'p Part),
}

impl Show<'_> {
    fn bar(args: &GetArgs, out: &Output) -> Self {
        // A bar across bytes that go to the same terminal would garble both.
        let to_stdout = args.output.as_deref() == Some("-");
        if to_stdout && !args.progress {
            return Self::Nothing;
        }
        Self::Bar { forced: args.progress, units: out.units }
    }
}

/// Reads one object into a destination; returns its size. The client refuses short answers, so a size
/// that comes back means that all bytes are there.
async fn fetch(
    client: &Client,
    target: &Target,
    request: &Request,
    destination: &Destination,
    show: Show<'_>,
) -> Result<u64, Failure> {
    let mut options = GetOptions { range: request.range.clone(), ..GetOptions::default() };
    if let Some(archpath) = &request.archpath {
        options.query.push(("archpath".to_owned(), archpath.clone()));
    }
    let mut stream = client.get(&target.bucket, &target.name, options).await?;
    let expected = if request.verify { Some(checksum_of(&stream, target)?) } else { None };
    let mut sink = Sink::open(destination, expected.as_ref().map(|(kind, _)| *kind)).await?;
    let own = match &show {
        Show::Bar { forced, units } => Some(Progress::start(
            "downloaded",
            1,
            stream.content_length().unwrap_or(0),
            *forced,
            *units,
        )),
        _ => None,
    };
    let own_part = own.as_ref().map(Progress::part);
    let part = match show {
        Show::Part(part) => Some(part),
        _ => own_part.as_ref(),
    };
    let mut size = 0_u64;
    while let Some(bytes) = stream.next().await? {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        sink.write(bytes).await?;
        size += length;
        if let Some(part) = part {
            part.add(length);
        }
    }
    if let Some(own) = &own {
        own.item_done();
        own.finish();
    }
    sink.finish(|computed| match (expected, computed) {
        (Some((kind, expected)), Some(computed)) if expected != computed => Err(Failure::Other(format!(
            "{}: BAD DATA CHECKSUM: {}({expected} != {computed}): the bytes that arrived are not the ones stored; nothing was kept",
            target.cname(),
            kind.as_str(),
        ))),
        _ => Ok(()),
    })
    .await?;
    Ok(size)
}

fn checksum_of(stream: &ObjectStream, target: &Target) -> Result<(ChecksumType, String), Failure> {
    let header = |name: &str| stream.headers().get(name).and_then(|value| value.to_str().ok());
    let (Some(kind), Some(value)) = (header(CHECKSUM_TYPE), header(CHECKSUM_VALUE)) else {
        return Err(Failure::Other(format!(
            "{} has no checksum to verify: leave out --checksum",
            target.cname()
        )));
    };
    let kind = ChecksumType::parse(kind)
        .map_err(|err| Failure::Other(format!("{}: {err}", target.cname())))?;
    Ok((kind, value.to_owned()))
}

/// `Range` header of `--offset` and `--length`.
fn range(offset: Option<u64>, length: Option<u64>) -> Result<Option<String>, Failure> {
    let (Some(offset), Some(length)) = (offset, length) else { return Ok(None) };
    let last =
        length.checked_sub(1).and_then(|rest| offset.checked_add(rest)).ok_or_else(|| {
            Failure::usage(format!(
                "--offset {offset} --length {length}: not a range of at least one byte"
            ))
        })?;
    Ok(Some(format!("bytes={offset}-{last}")))
}

/// The part after the last slash.
fn base_name(name: &str) -> Result<&str, Failure> {
    let base = name.rsplit('/').next().unwrap_or_default();
    if base.is_empty() || base == "." || base == ".." {
        return Err(Failure::usage(format!("\"{name}\" has no base name: name the output file")));
    }
    Ok(base)
}

fn report(
    target: &Target,
    archpath: Option<&str>,
    destination: &Destination,
    size: u64,
    out: &mut Output,
) -> Result<(), Failure> {
    // Standard output carries the object and nothing else.
    let Destination::File(path) = destination else { return Ok(()) };
    if out.json {
        return out.json(&json!({
            "bucket": target.bucket.cname(), "object": target.name, "archpath": archpath.unwrap_or_default(),
            "file": path.display().to_string(), "size": size,
        }));
    }
    let what =
        archpath.map_or_else(|| target.name.clone(), |inner| format!("{}/{inner}", target.name));
    out.message(&format!(
        "GET {} from {} as {} ({})",
        crate::table::printable(&what),
        target.bucket,
        path.display(),
        out.units.size(size)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive_and_never_empty() {
        assert_eq!(range(None, None).unwrap(), None);
        assert_eq!(range(Some(10), Some(5)).unwrap().unwrap(), "bytes=10-14");
        assert_eq!(
            range(Some(u64::MAX), Some(1)).unwrap().unwrap(),
            format!("bytes={0}-{0}", u64::MAX)
        );
        assert!(range(Some(0), Some(0)).is_err());
        assert!(range(Some(u64::MAX), Some(2)).is_err());
    }

    #[test]
    fn base_names_are_what_follows_the_last_slash() {
        assert_eq!(base_name("a/b/c.tar").unwrap(), "c.tar");
        assert_eq!(base_name("c").unwrap(), "c");
        for bad in ["a/", "a/.."] {
            assert!(base_name(bad).unwrap_err().to_string().contains(bad));
        }
    }
}
