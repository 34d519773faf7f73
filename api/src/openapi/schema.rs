//! A JSON schema out of answers: what all of them have is required, what differs is allowed.
//!
//! Called by `openapi` with answers that the faces themselves have written, so that a field that is
//! added to a resource is in the document without another word.

use reeld_model::{AccountSid, CallSid, RecordingSid};
use serde_json::{Map, Value as Json, json};

/// The schema that each of `examples` fulfils, of the dialect of OpenAPI 3.1 (JSON Schema 2020-12).
pub(super) fn of(examples: &[Json]) -> Json {
    let examples: Vec<&Json> = examples.iter().collect();
    schema(&examples)
}

fn schema(examples: &[&Json]) -> Json {
    let mut types: Vec<&str> = Vec::new();
    for example in examples {
        let name = type_of(example);
        if !types.contains(&name) {
            types.push(name);
        }
    }
    let mut schema = Map::new();
    match types.as_slice() {
        // An empty list: nothing is known of its items.
        [] => {}
        // Never known here; text where Twilio has it.
        ["null"] => drop(schema.insert("type".into(), json!(["string", "null"]))),
        [one] => drop(schema.insert("type".into(), json!(one))),
        several => drop(schema.insert("type".into(), json!(several))),
    }
    if let Some(pattern) = sid_pattern(examples) {
        schema.insert("pattern".into(), pattern.into());
    }
    let lists: Vec<&Json> = examples
        .iter()
        .filter_map(|example| example.as_array())
        .flatten()
        .collect();
    if types.contains(&"array") {
        schema.insert("items".into(), self::schema(&lists));
    }
    let objects: Vec<&Map<String, Json>> = examples
        .iter()
        .filter_map(|example| example.as_object())
        .collect();
    let mut properties = Map::new();
    for key in objects.iter().flat_map(|object| object.keys()) {
        if !properties.contains_key(key) {
            let values: Vec<&Json> = objects.iter().filter_map(|one| one.get(key)).collect();
            properties.insert(key.clone(), self::schema(&values));
        }
    }
    let required: Vec<&String> = properties
        .keys()
        .filter(|key| objects.iter().all(|object| object.contains_key(*key)))
        .collect();
    if !properties.is_empty() {
        schema.insert("required".into(), json!(required));
        schema.insert("properties".into(), properties.into());
    }
    schema.into()
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// What all of them are, if they are Sids of one kind.
fn sid_pattern(examples: &[&Json]) -> Option<&'static str> {
    let texts: Vec<&str> = examples.iter().filter_map(|one| one.as_str()).collect();
    let all = |is_one: fn(&str) -> bool| !texts.is_empty() && texts.iter().all(|text| is_one(text));
    [
        (
            all(|text| text.parse::<AccountSid>().is_ok()),
            "^AC[0-9a-f]{32}$",
        ),
        (
            all(|text| text.parse::<CallSid>().is_ok()),
            "^CA[0-9a-f]{32}$",
        ),
        (
            all(|text| text.parse::<RecordingSid>().is_ok()),
            "^RE[0-9a-f]{32}$",
        ),
    ]
    .into_iter()
    .find_map(|(is_so, pattern)| is_so.then_some(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_have_is_required_and_what_differs_is_allowed() {
        let schema = of(&[
            json!({ "sid": "CAcd420fcb3c4b86e360ea0cc27ebc8698", "duration": "3", "price": null }),
            json!({ "sid": "CAcd420fcb3c4b86e360ea0cc27ebc8698", "duration": null, "price": null,
                "media": [{ "port": 1 }, { "port": 2, "codec": "PCMU" }], "ppm": 0.5 }),
        ]);
        let expected = json!({
            "type": "object",
            "required": ["sid", "duration", "price"],
            "properties": {
                "sid": { "type": "string", "pattern": "^CA[0-9a-f]{32}$" },
                "duration": { "type": ["string", "null"] },
                "price": { "type": ["string", "null"] },
                "media": { "type": "array", "items": {
                    "type": "object", "required": ["port"],
                    "properties": { "port": { "type": "integer" }, "codec": { "type": "string" } },
                } },
                "ppm": { "type": "number" },
            },
        });
        assert_eq!(schema, expected);
        assert_eq!(of(&[json!([])]), json!({ "type": "array", "items": {} }));
    }
}
