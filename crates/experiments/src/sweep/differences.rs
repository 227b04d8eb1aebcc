//! What differs between a run as planned and the same run here.

use anyhow::Result;
use serde_json::Value;

use crate::bench::RunConfig;

/// One line for every setting that differs; empty for the same run.
pub(super) fn differences(planned: &RunConfig, here: &RunConfig) -> Result<Vec<String>> {
    let (planned, here) = (serde_json::to_value(planned)?, serde_json::to_value(here)?);
    let mut lines = Vec::new();
    compare("", &planned, &here, &mut lines);
    Ok(lines)
}

fn compare(path: &str, planned: &Value, here: &Value, lines: &mut Vec<String>) {
    if planned == here {
        return;
    }
    if let (Value::Object(one), Value::Object(other)) = (planned, here) {
        let added = other.keys().filter(|key| !one.contains_key(*key));
        for key in one.keys().chain(added) {
            let at = |object: &serde_json::Map<String, Value>| {
                object.get(key).cloned().unwrap_or(Value::Null)
            };
            let path = match path {
                "" => key.clone(),
                _ => format!("{path}.{key}"),
            };
            compare(&path, &at(one), &at(other), lines);
        }
        return;
    }
    let why = match path {
        "data_fingerprint" => " (other recordings, labels or splits)",
        "backbone_fingerprint" => " (other weights of the backbone)",
        "backbone" => " (another backbone)",
        "results_version" => " (another version of this program)",
        _ => "",
    };
    lines.push(format!("{path}: planned {planned}, here {here}{why}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_difference_is_named_with_its_place() {
        let planned = json!({"a": {"b": 1, "c": 2}, "data_fingerprint": "x", "only": 1});
        let here = json!({"a": {"b": 1, "c": 3}, "data_fingerprint": "y", "new": [1]});
        let mut lines = Vec::new();
        compare("", &planned, &here, &mut lines);
        let text = lines.join("\n");
        assert_eq!(lines.len(), 4, "{text}");
        for part in [
            "a.c: planned 2, here 3",
            "data_fingerprint: planned \"x\", here \"y\" (other recordings",
            "only: planned 1, here null",
            "new: planned null, here [1]",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        lines.clear();
        compare("", &planned, &planned, &mut lines);
        assert!(lines.is_empty());
    }
}
