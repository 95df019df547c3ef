//! Keep-alive GETs from a fixed number of connections for a fixed time, against any HTTP/1.1 server.
//!
//! `loadgen URLS CONNECTIONS SECONDS [HEADER: VALUE]...` where URLS is a file of lines
//! `HOST:PORT /path`. Each connection is one thread that walks the list from its own offset and keeps
//! one socket per host. Prints one JSON object: requests, bytes, errors, seconds, p50 and p99 in µs.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Tally {
    requests: u64,
    bytes: u64,
    errors: u64,
    micros: Vec<u64>,
}

type Socket = BufReader<TcpStream>;

fn connect(host: &str) -> io::Result<Socket> {
    let stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(BufReader::with_capacity(256 << 10, stream))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// One request; returns the body's length. Fails on any status but 200.
fn fetch(socket: &mut Socket, request: &[u8], scratch: &mut [u8]) -> io::Result<u64> {
    socket.get_mut().write_all(request)?;
    let mut line = String::new();
    socket.read_line(&mut line)?;
    let ok = line.split(' ').nth(1) == Some("200");
    let mut length = None;
    loop {
        line.clear();
        if socket.read_line(&mut line)? == 0 {
            return Err(bad("connection closed in the head"));
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let total = length.ok_or_else(|| bad("no content-length"))?;
    let mut rest = total;
    while rest > 0 {
        let want = usize::try_from(rest).unwrap_or(usize::MAX).min(scratch.len());
        let got = socket.read(&mut scratch[..want])?;
        if got == 0 {
            return Err(bad("connection closed in the body"));
        }
        rest -= got as u64;
    }
    if ok { Ok(total) } else { Err(bad("status is not 200")) }
}

fn work(urls: &[(String, Vec<u8>)], first: usize, until: Instant) -> Tally {
    let mut sockets: HashMap<&str, Socket> = HashMap::new();
    let mut tally = Tally { requests: 0, bytes: 0, errors: 0, micros: Vec::new() };
    let mut scratch = vec![0; 256 << 10];
    for (host, request) in urls.iter().cycle().skip(first) {
        let started = Instant::now();
        if started >= until || tally.errors > 100 {
            break;
        }
        let mut socket = match sockets.remove(host.as_str()).map_or_else(|| connect(host), Ok) {
            Ok(socket) => socket,
            Err(_) => {
                tally.errors += 1;
                continue;
            }
        };
        match fetch(&mut socket, request, &mut scratch) {
            Ok(bytes) => {
                tally.requests += 1;
                tally.bytes += bytes;
                tally.micros.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
                sockets.insert(host, socket);
            }
            Err(_) => tally.errors += 1,
        }
    }
    tally
}

fn run() -> Result<(), String> {
    let args: Vec<String> = std::env::args().collect();
    let [_, file, connections, seconds, headers @ ..] = args.as_slice() else {
        return Err("usage: loadgen URLS CONNECTIONS SECONDS [HEADER]...".into());
    };
    let connections: usize = connections.parse().map_err(|e| format!("connections: {e}"))?;
    let seconds: f64 = seconds.parse().map_err(|e| format!("seconds: {e}"))?;
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let extra: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let urls: Vec<(String, Vec<u8>)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(host, path)| {
            (host.to_owned(), format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n").into_bytes())
        })
        .collect();
    if urls.is_empty() || connections == 0 {
        return Err(format!("{file}: nothing to fetch"));
    }
    let urls = Arc::new(urls);
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(seconds);
    let threads: Vec<_> = (0..connections)
        .map(|i| {
            let urls = Arc::clone(&urls);
            let first = i * urls.len() / connections;
            std::thread::spawn(move || work(&urls, first, until))
        })
        .collect();
    let mut all = Tally { requests: 0, bytes: 0, errors: 0, micros: Vec::new() };
    for thread in threads {
        let tally = thread.join().map_err(|_| "a worker panicked".to_owned())?;
        all.requests += tally.requests;
        all.bytes += tally.bytes;
        all.errors += tally.errors;
        all.micros.extend(tally.micros);
    }
    let elapsed = started.elapsed().as_secs_f64();
    all.micros.sort_unstable();
    let at = |share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = (all.micros.len() as f64 * share) as usize;
        all.micros.get(index.min(all.micros.len().saturating_sub(1))).copied().unwrap_or(0)
    };
    println!(
        "{{\"requests\":{},\"bytes\":{},\"errors\":{},\"seconds\":{elapsed:.4},\"p50_us\":{},\"p99_us\":{}}}",
        all.requests,
        all.bytes,
        all.errors,
        at(0.5),
        at(0.99)
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
