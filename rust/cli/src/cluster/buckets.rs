//! `ais show cluster bmd`: the buckets that the cluster knows.

use aistore_core::list::format_time;
use serde_json::Value;

use crate::table::{Align, Table};

/// How a bucket's time of creation reads, in UTC.
const CREATED_LAYOUT: &str = "2006-01-02 15:04:05";

/// The buckets of a bucket map: `{"providers": {PROVIDER: {NAMESPACE: {NAME: PROPS}}}}`.
pub(super) fn table(bmd: &Value) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("PROVIDER", Left),
        ("NAMESPACE", Left),
        ("NAME", Left),
        ("COPIES", Right),
        ("EC", Left),
        ("CREATED", Left),
    ]);
    let inside = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (provider, namespaces) in inside(bmd.get("providers").unwrap_or(&Value::Null)) {
        for (namespace, named) in inside(&namespaces) {
            for (name, props) in inside(&named) {
                let at = |path: &str| props.pointer(path).cloned().unwrap_or_default();
                let copies = if at("/mirror/enabled") == Value::Bool(true) {
                    at("/mirror/copies").to_string()
                } else {
                    String::new()
                };
                let slices = if at("/ec/enabled") == Value::Bool(true) {
                    format!("{}:{}", at("/ec/data_slices"), at("/ec/parity_slices"))
                } else {
                    String::new()
                };
                let created = at("/created");
                let created = created.as_str().and_then(|text| text.parse().ok());
                table.push([
                    provider.clone(),
                    namespace.clone(),
                    name.clone(),
                    copies,
                    slices,
                    created.map(|ns| format_time(CREATED_LAYOUT, ns)).unwrap_or_default(),
                ]);
            }
        }
    }
    table.drop_when("NAMESPACE", |cell| cell.is_empty() || cell == "@#");
    table.drop_when("COPIES", str::is_empty);
    table.drop_when("EC", str::is_empty);
    table.drop_when("CREATED", str::is_empty);
    table
}
