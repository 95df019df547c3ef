//! The command line.

use std::fmt::Write as _;

use crate::http::{Request, Shape};

const USAGE: &str =
    "usage: loadgen URLS CONNECTIONS SECONDS [--method GET|HEAD|PUT] [--body BYTES] [HEADER]...";
/// Larger bodies repeat a block of this size.
const BLOCK: usize = 1 << 20;

pub struct Options {
    pub requests: Vec<Request>,
    pub connections: usize,
    pub seconds: f64,
    pub shape: Shape,
}

impl Options {
    pub fn parse(args: &[String]) -> Result<Self, String> {
        let [file, connections, seconds, rest @ ..] = args else { return Err(USAGE.into()) };
        let connections: usize = connections.parse().map_err(|e| format!("connections: {e}"))?;
        let seconds: f64 = seconds.parse().map_err(|e| format!("seconds: {e}"))?;
        let (mut method, mut body, mut headers) = ("GET".to_owned(), 0, String::new());
        let mut rest = rest.iter();
        while let Some(arg) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{arg}: a value is missing"));
            match arg.as_str() {
                "--method" => method.clone_from(value()?),
                "--body" => body = value()?.parse().map_err(|e| format!("{arg}: {e}"))?,
                header => headers = format!("{headers}{header}\r\n"),
            }
        }
        if method == "PUT" {
            let _ = write!(headers, "Content-Length: {body}\r\n");
        }
        let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let requests: Vec<_> = lines
            .map(|(host, path)| {
                let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
                Request { host: host.to_owned(), head: head.into_bytes() }
            })
            .collect();
        if requests.is_empty() || connections == 0 {
            return Err(format!("{file}: nothing to ask for"));
        }
        let block = noise(usize::try_from(body).unwrap_or(usize::MAX).min(BLOCK));
        let shape = Shape { head_only: method == "HEAD", body, block };
        Ok(Self { requests, connections, seconds, shape })
    }
}

/// Bytes that no server compresses (splitmix64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut words = std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).to_le_bytes()
    });
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&words.next().unwrap_or_default());
    }
    bytes.truncate(length);
    bytes
}
