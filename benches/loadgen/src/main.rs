//! Keep-alive requests from a fixed number of connections for a fixed time, against any HTTP/1.1 server.
//!
//! `loadgen URLS CONNECTIONS SECONDS [--method GET|HEAD|PUT] [--body BYTES] [HEADER: VALUE]...` where URLS is
//! a file of lines `HOST:PORT /path`. Each connection is one thread that walks the list from its own offset
//! and keeps one socket per host. Prints one JSON object: requests, bytes, errors, seconds, p50 and p99 in µs.

mod http;
mod options;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Socket};
use options::Options;

/// A connection that fails more often gives up.
const MAX_ERRORS: u64 = 100;

#[derive(Default)]
struct Tally {
    requests: u64,
    bytes: u64,
    errors: u64,
    micros: Vec<u64>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.micros.extend(other.micros);
    }

    /// The latency that this share of requests did not pass, in µs. Call it on sorted latencies.
    fn percentile(&self, hundredths: usize) -> u64 {
        let index = self.micros.len() * hundredths / 100;
        self.micros.get(index.min(self.micros.len().saturating_sub(1))).copied().unwrap_or(0)
    }
}

fn work(options: &Options, first: usize, until: Instant) -> Tally {
    let mut sockets: HashMap<&str, Socket> = HashMap::new();
    let mut tally = Tally::default();
    let mut scratch = vec![0; 256 << 10];
    for Request { host, head } in options.requests.iter().cycle().skip(first) {
        let started = Instant::now();
        // Each connection asks once at least: so a single request of any length can be timed.
        let asked = tally.requests + tally.errors > 0;
        if (asked && started >= until) || tally.errors > MAX_ERRORS {
            break;
        }
        let socket = sockets.remove(host.as_str()).map_or_else(|| http::connect(host), Ok);
        let Ok(mut socket) = socket else {
            tally.errors += 1;
            continue;
        };
        match http::exchange(&mut socket, head, &options.shape, &mut scratch) {
            Ok(bytes) => {
                tally.requests += 1;
                tally.bytes += bytes;
                tally.micros.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
                sockets.insert(host, socket);
            }
            Err(error) => {
                if tally.errors == 0 {
                    eprintln!("loadgen: {host}: {error}");
                }
                tally.errors += 1;
            }
        }
    }
    tally
}

fn run() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let options = Arc::new(Options::parse(&args)?);
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(options.seconds);
    let threads: Vec<_> = (0..options.connections)
        .map(|i| {
            let options = Arc::clone(&options);
            let first = i * options.requests.len() / options.connections;
            std::thread::spawn(move || work(&options, first, until))
        })
        .collect();
    let mut all = Tally::default();
    for thread in threads {
        all.add(thread.join().map_err(|_| "a worker panicked".to_owned())?);
    }
    let elapsed = started.elapsed().as_secs_f64();
    all.micros.sort_unstable();
    println!(
        "{{\"requests\":{},\"bytes\":{},\"errors\":{},\"seconds\":{elapsed:.4},\"p50_us\":{},\"p99_us\":{}}}",
        all.requests,
        all.bytes,
        all.errors,
        all.percentile(50),
        all.percentile(99)
    );
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("loadgen: {message}");
            ExitCode::FAILURE
        }
    }
}
