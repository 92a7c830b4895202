//! What the command line reads from JSON Schemas: a form for people, and what can be told without a validator.

use std::collections::BTreeMap;

use odeon_core::suggest;
use serde_json::{Value, json};

/// A schema on one line, without what only programs read; its definitions go to `definitions`.
pub(crate) fn compact(schema: &Value, definitions: &mut BTreeMap<String, String>) -> String {
    let mut schema = schema.clone();
    if let Some(Value::Object(defined)) = schema.as_object_mut().and_then(|object| object.remove("$defs")) {
        for (name, mut schema) in defined {
            strip(&mut schema);
            definitions.insert(name, schema.to_string());
        }
    }
    strip(&mut schema);
    schema.to_string()
}

/// Removes annotations, at every depth.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // A property may be called like an annotation; its value is a schema then, and no text.
            object.retain(|key, value| {
                !(matches!(key.as_str(), "$schema" | "title" | "description" | "format") && value.is_string())
            });
            object.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Whether a schema is that of a Rust `Result`: exactly `Ok` or `Err`.
pub(crate) fn is_result(schema: &Value) -> bool {
    let choices = schema["oneOf"].as_array().map_or(&[][..], Vec::as_slice);
    let has = |key: &str| choices.iter().any(|one| one["required"] == json!([key]));
    choices.len() == 2 && has("Ok") && has("Err")
}

/// What of `arguments` does not fit their schema, as far as it shows without a validator: names, and the types of
/// plain values. The actor has the last word.
pub(crate) fn misfit(arguments: &Value, schema: &Value) -> Option<String> {
    let Some(given) = arguments.as_object() else {
        return Some("expected a JSON object with the arguments".to_owned());
    };
    let properties = schema["properties"].as_object();
    let is_known = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
    if let Some(unknown) = given.keys().find(|name| !is_known(name)) {
        let names = properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str));
        let hint = suggest(unknown, names).map_or_else(String::new, |near| format!("; {near}"));
        return Some(format!("unknown argument `{unknown}`{hint}"));
    }
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    let is_missing = |name: &&str| !given.contains_key(*name);
    if let Some(missing) = required.iter().filter_map(Value::as_str).find(is_missing) {
        return Some(format!("argument `{missing}` is missing"));
    }
    given.iter().find_map(|(name, value)| {
        let expected = properties?.get(name)?["type"].as_str()?;
        (!is_of(value, expected)).then(|| format!("argument `{name}` is {value}, expected {expected}"))
    })
}

fn is_of(value: &Value, expected: &str) -> bool {
    match expected {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_known_by_its_schema() {
        let one = |key: &str| json!({"type": "object", "properties": {key: {}}, "required": [key]});
        assert!(is_result(&json!({"oneOf": [one("Ok"), one("Err")]})));
        assert!(!is_result(&json!({"oneOf": [one("Ok"), one("Err"), one("Maybe")]})));
        assert!(!is_result(&json!({"type": "object", "properties": {"Err": {}}})));
        assert!(!is_result(&json!(true)));
    }

    #[test]
    fn definitions_are_shown_once_and_words_for_programs_not_at_all() {
        let id = json!({"type": "string", "description": "an id", "format": "id"});
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Row",
            "type": "object", "properties": {"title": {"$ref": "#/$defs/Id"}}, "$defs": {"Id": id},
        });
        let mut definitions = BTreeMap::new();
        let text = compact(&schema, &mut definitions);
        assert_eq!(text, r##"{"properties":{"title":{"$ref":"#/$defs/Id"}},"type":"object"}"##);
        assert_eq!(definitions, BTreeMap::from([("Id".to_owned(), r#"{"type":"string"}"#.to_owned())]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let schema = json!({
            "type": "object", "required": ["text"],
            "properties": {"text": {"type": "string"}, "n": {"type": "integer"}, "any": true},
        });
        let why = |arguments: Value| misfit(&arguments, &schema);
        assert_eq!(why(json!({"text": "x", "n": -1, "any": [1]})), None);
        assert_eq!(why(json!([])).as_deref(), Some("expected a JSON object with the arguments"));
        assert_eq!(why(json!({})).as_deref(), Some("argument `text` is missing"));
        let unknown = why(json!({"txt": "x"}));
        assert_eq!(unknown.as_deref(), Some("unknown argument `txt`; did you mean `text`?"));
        let wrong = why(json!({"text": "x", "n": 1.5}));
        assert_eq!(wrong.as_deref(), Some("argument `n` is 1.5, expected integer"));
    }
}
