//! `ais show object` and `ais version`.

use aistore_client::Client;
use aistore_core::AIS_VERSION;
use aistore_core::headers;
use serde_json::{Map, json};

use crate::args::ShowObjectArgs;
use crate::failure::Failure;
use crate::names::parse_object;
use crate::output::Output;
use crate::sizes::Units;
use crate::table::{Align, Table};

/// What `--props all` asks for.
const ALL_PROPS: &str =
    "name,size,checksum,atime,version,custom,location,copies,ec,chunked,last-modified,etag";

/// Headers that describe an object, under the names of the properties.
const SHOWN: [(&str, &str); 14] = [
    ("atime", headers::ATIME),
    ("checksum", headers::CHECKSUM_VALUE),
    ("checksum-type", headers::CHECKSUM_TYPE),
    ("chunks", headers::CHUNKS_COUNT),
    ("chunks-max-size", headers::CHUNKS_MAX_SIZE),
    ("copies", headers::MIRROR_COPIES),
    ("copies-at", headers::MIRROR_PATHS),
    ("custom", headers::CUSTOM_MD),
    ("etag", "etag"),
    ("last-modified", "last-modified"),
    ("location", headers::LOCATION),
    ("present", headers::PRESENT),
    ("size", "content-length"),
    ("version", headers::VERSION),
];

/// `ais show object`.
pub(crate) async fn object(
    client: &Client,
    args: &ShowObjectArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let target = parse_object(&args.object)?;
    let props = if args.props == "all" { ALL_PROPS } else { args.props.as_str() };
    let reply = client.head(&target.bucket, &target.name, props).await?;
    let mut rows = vec![("name".to_owned(), target.cname())];
    for (prop, header) in SHOWN {
        let values: Vec<_> = reply
            .get_all(header)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        if !values.is_empty() {
            rows.push((prop.to_owned(), values.join(", ")));
        }
    }
    if out.json {
        let map: Map<_, _> = rows.into_iter().map(|(key, value)| (key, json!(value))).collect();
        return out.json(&map);
    }
    out.table(&property_table(&rows, out.units))
}

fn property_table(rows: &[(String, String)], units: Units) -> Table {
    let mut table = Table::new([("PROPERTY", Align::Left), ("VALUE", Align::Left)]);
    for (key, value) in rows {
        let shown = match value.parse() {
            Ok(bytes) if key == "size" => units.size(bytes),
            _ => value.clone(),
        };
        table.push([key.clone(), shown]);
    }
    table
}

/// `ais version`.
pub(crate) fn version(out: &mut Output) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if out.json {
        return out.json(&json!({"version": version, "protocol": AIS_VERSION}));
    }
    out.text(&format!("version {version} (protocol {AIS_VERSION})\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_units() {
        let rows =
            [("name".to_owned(), "ais://b/1".to_owned()), ("size".to_owned(), "2048".to_owned())];
        assert!(property_table(&rows, Units::Iec).render(false).contains("2.00KiB"));
        assert!(property_table(&rows, Units::Raw).render(false).contains("2048"));
    }
}
