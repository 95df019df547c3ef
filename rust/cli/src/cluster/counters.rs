//! `ais show cluster stats`: what nodes have counted.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::failure::Failure;
use crate::table::{Align, Table};

/// One row per node and counter that is not zero.
pub(super) fn table(answers: &BTreeMap<String, Result<Value, Failure>>) -> Table {
    let mut table =
        Table::new([("NODE", Align::Left), ("COUNTER", Align::Left), ("VALUE", Align::Right)]);
    for (node, answer) in answers {
        let counters = match answer {
            Ok(answer) => answer.get("tracker").and_then(Value::as_object),
            Err(err) => {
                table.push([node.clone(), err.to_string(), String::new()]);
                continue;
            }
        };
        for (name, value) in counters.into_iter().flatten() {
            let value = value.get("v").unwrap_or(value);
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if text != "0" {
                table.push([node.clone(), name.clone(), text]);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counters_at_zero_are_left_out() {
        let answer = json!({"tracker": {"get.n": {"v": "3"}, "put.n": {"v": "0"}, "up.n": 4}});
        let text = table(&[("t1".to_owned(), Ok(answer))].into()).render(false);
        assert!(text.contains("get.n") && text.contains('3') && text.contains("up.n"), "{text}");
        assert!(!text.contains("put.n"), "{text}");
    }
}
