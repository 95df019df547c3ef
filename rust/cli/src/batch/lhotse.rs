//! `ais ml lhotse-get-batch`: the cuts of a manifest as archives of WAV files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aistore_client::{BatchItem, Client};
use aistore_core::archive::{Format, write::Writer};
use aistore_core::bucket::Bucket;
use aistore_core::cut::CutFormat;
use aistore_core::cuts::{CutSpec, LineError, Lines};
use aistore_core::moss::{MossIn, MossReq};
use serde_json::json;

use crate::args::LhotseArgs;
use crate::failure::Failure;
use crate::names::{Target, parse_target};
use crate::output::{Output, note};
use crate::sink::{Destination, Sink};
use aistore_core::template::Template;

/// Cuts in one request, and bytes of the manifest that they take: bounds the memory of large archives.
const CUTS_AT_ONCE: usize = 512;
const LINES_BYTES: usize = 32 << 20;
/// Failed cuts that are named.
const NAMED_FAULTS: u64 = 10;

/// Runs the command.
pub(crate) async fn run(
    client: &Client,
    args: &LhotseArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut work = Work::prepare(args)?;
    let path = args.cuts.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let file = File::open(&path).map_err(Failure::file("read", &path))?;
        Lines::new(file).map_err(Failure::file("read", &path))
    });
    let mut manifest = Manifest { lines: Some(opened.await??), path: args.cuts.clone() };
    let (mut batches, mut cuts) = (0_u64, 0_u64);
    let most = work.cuts_of_one();
    let mut ahead = manifest.take(most).await?;
    while !ahead.is_empty() {
        let destination = work.next_output()?;
        let mut archive = Archive::open(&destination).await?;
        let mut left = most;
        while !ahead.is_empty() {
            cuts += ahead.len() as u64;
            left -= ahead.len();
            work.add(client, std::mem::take(&mut ahead), &mut archive).await?;
            ahead = manifest.take(left).await?;
        }
        ahead = manifest.take(most).await?;
        let files = archive.finish().await?;
        batches += 1;
        if !args.non_verbose && !out.json {
            let path = destination.display();
            out.message(&format!("Created {path} with {files} objects and/or archived files"))?;
        }
    }
    if cuts == 0 {
        return Err(Failure::usage(format!("\"{}\" has no cuts", args.cuts.display())));
    }
    if work.faults > 0 {
        note(&format!("Note: {} of {cuts} cuts could not be had, and are left out", work.faults));
    }
    if out.json {
        let faults = work.faults;
        return out.json(&json!({"batches": batches, "cuts": cuts, "missing": faults}));
    }
    if args.non_verbose {
        return Ok(());
    }
    out.message(&format!("Generated {batches} batches from {cuts} cuts"))
}

/// What the command line says.
struct Work<'a> {
    args: &'a LhotseArgs,
    bucket: Option<Bucket>,
    outputs: VecDeque<PathBuf>,
    template: Option<std::vec::IntoIter<String>>,
    faults: u64,
}

impl<'a> Work<'a> {
    fn prepare(args: &'a LhotseArgs) -> Result<Self, Failure> {
        let (bucket, output) = match args.args.as_slice() {
            [] => (None, None),
            [one] if one.contains("://") => (Some(one), None),
            [one] => (None, Some(one)),
            [bucket, output] => (Some(bucket), Some(output)),
            _ => return Err(Failure::usage("expected [BUCKET] OUTPUT")),
        };
        let bucket = bucket.map(|text| only_bucket(text)).transpose()?;
        let template = match (&args.output_template, args.batch_size) {
            (Some(text), Some(_)) => {
                let names: Vec<String> = Template::parse(text)?.names().collect();
                Some(names.into_iter())
            }
            (Some(_), None) => {
                return Err(Failure::usage("--output-template needs --batch-size"));
            }
            (None, Some(_)) => {
                return Err(Failure::usage(
                    "--batch-size needs --output-template, such as \"b-{001..999}.tar\"",
                ));
            }
            (None, None) => None,
        };
        let outputs = match (output, &template) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage("name either an output or --output-template"));
            }
            (None, None) => {
                return Err(Failure::usage("name an output, such as cuts.tar"));
            }
            (output, _) => output.map(PathBuf::from).into_iter().collect(),
        };
        Ok(Self { args, bucket, outputs, template, faults: 0 })
    }

    /// Cuts of one archive.
    fn cuts_of_one(&self) -> usize {
        let size = self.args.batch_size.map(usize::try_from);
        size.and_then(Result::ok).unwrap_or(usize::MAX)
    }

    fn next_output(&mut self) -> Result<PathBuf, Failure> {
        let named = self.template.as_mut().and_then(Iterator::next).map(PathBuf::from);
        named.or_else(|| self.outputs.pop_front()).ok_or_else(|| {
            Failure::usage(
                "--output-template has fewer names than there are batches: widen its range",
            )
        })
    }

    /// Reads cuts and adds them in their order.
    async fn add(
        &mut self,
        client: &Client,
        lines: Vec<(u64, Vec<u8>)>,
        archive: &mut Archive,
    ) -> Result<(), Failure> {
        let mut names: Vec<Result<String, String>> = Vec::new();
        let mut entries: Vec<MossIn> = Vec::new();
        for (number, line) in lines {
            match CutSpec::parse(&line) {
                Ok(spec) => {
                    entries.extend(spec.entries(CutFormat::Wav, self.args.sample_rate));
                    names.extend(spec.file_names(number).into_iter().map(Ok));
                }
                Err(err) => names.push(Err(format!("line {number}: {err}"))),
            }
        }
        let mut items = if entries.is_empty() {
            None
        } else {
            let request = MossReq { entries, continue_on_error: Some(true), ..MossReq::default() };
            Some(client.batch(request, self.bucket.clone()).await?.patient())
        };
        for name in names {
            let name = match name {
                Ok(name) => name,
                Err(fault) => {
                    self.fault(&fault)?;
                    continue;
                }
            };
            let item = match &mut items {
                Some(items) => items.next().await?,
                None => None,
            };
            match item {
                Some(BatchItem { data: Ok(data), .. }) => archive.add(&name, &data).await?,
                Some(BatchItem { data: Err(err), .. }) => {
                    self.fault(&format!("{name}: {}", err.message))?;
                }
                None => return Err(Failure::Other(format!("{name} did not come"))),
            }
        }
        Ok(())
    }

    fn fault(&mut self, text: &str) -> Result<(), Failure> {
        if !self.args.cont_on_err {
            return Err(Failure::Other(format!("{text} (--cont-on-err goes on without it)")));
        }
        self.faults += 1;
        if self.faults <= NAMED_FAULTS {
            note(text);
        }
        Ok(())
    }
}

fn only_bucket(text: &str) -> Result<Bucket, Failure> {
    match parse_target(text)? {
        Target { bucket, name } if name.is_empty() => Ok(bucket),
        _ => Err(Failure::usage(format!(
            "\"{text}\" is no bucket: expected one such as ais://speech"
        ))),
    }
}

/// The next lines, at most so many; none = end.
fn some(lines: &mut Lines, most: usize) -> Result<Vec<(u64, Vec<u8>)>, LineError> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while taken.len() < most && bytes < LINES_BYTES {
        let Some(line) = lines.next() else { break };
        let line = line?;
        bytes += line.1.len();
        taken.push(line);
    }
    Ok(taken)
}

/// A manifest, read off the workers.
struct Manifest {
    lines: Option<Lines>,
    path: PathBuf,
}

impl Manifest {
    async fn take(&mut self, most: usize) -> Result<Vec<(u64, Vec<u8>)>, Failure> {
        let Some(mut lines) = self.lines.take() else { return Ok(Vec::new()) };
        let taken = tokio::task::spawn_blocking(move || {
            let taken = some(&mut lines, most.min(CUTS_AT_ONCE));
            (taken, lines)
        });
        let (taken, lines) = taken.await?;
        self.lines = Some(lines);
        taken.map_err(|err| Failure::usage(format!("\"{}\": {err}", self.path.display())))
    }
}

/// What an archive's writer has written and nobody has sent yet.
#[derive(Clone, Default)]
struct Drain(Arc<Mutex<Vec<u8>>>);

impl Drain {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Drain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive being written; it has its name when it is complete.
struct Archive {
    writer: Writer<Drain>,
    drain: Drain,
    sink: Sink,
    files: u64,
}

impl Archive {
    async fn open(path: &Path) -> Result<Self, Failure> {
        let format = Format::by_name(&path.to_string_lossy()).ok_or_else(|| {
            Failure::usage(format!(
                "output \"{}\": name it with .tar, .tar.gz, .tgz, .tar.lz4 or .zip",
                path.display()
            ))
        })?;
        let drain = Drain::default();
        let sink = Sink::open(&Destination::File(path.to_owned()), None).await?;
        Ok(Self { writer: Writer::new(drain.clone(), format), drain, sink, files: 0 })
    }

    async fn add(&mut self, name: &str, data: &[u8]) -> Result<(), Failure> {
        let written = self.writer.begin(name, data.len() as u64, 0);
        let written =
            written.and_then(|()| self.writer.data(data)).and_then(|()| self.writer.end());
        written.map_err(|err| Failure::Other(err.to_string()))?;
        self.files += 1;
        self.sink.write(self.drain.take().into()).await
    }

    async fn finish(self) -> Result<u64, Failure> {
        let Self { writer, drain, mut sink, files } = self;
        writer.finish().map_err(|err| Failure::Other(err.to_string()))?;
        sink.write(drain.take().into()).await?;
        sink.finish(|_| Ok(())).await?;
        Ok(files)
    }
}
