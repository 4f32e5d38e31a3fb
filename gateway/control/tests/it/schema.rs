//! As much of JSON Schema as the `OpenAPI` document uses, and stricter: a field that the schema does
//! not have is wrong, and so is a keyword that this file does not know.

use serde_json::{Map, Value};

/// Keywords that say nothing about a value.
const SILENT: [&str; 2] = ["description", "example"];

/// A document whose schemas values are held against.
pub(crate) struct Schemas(Value);

impl Schemas {
    pub(crate) fn new(document: Value) -> Self {
        Self(document)
    }

    /// The schema of an answer; panics where the document has none.
    #[track_caller]
    pub(crate) fn of_answer(&self, method: &str, path: &str, status: u16) -> &Value {
        let answers = &self.0["paths"][path][method.to_lowercase()]["responses"];
        let answer = &answers[status.to_string()];
        let schema = &answer["content"]["application/json"]["schema"];
        assert!(
            schema.is_object(),
            "{method} {path} does not document {status}: {answers}"
        );
        schema
    }

    /// A named schema.
    #[track_caller]
    pub(crate) fn named(&self, name: &str) -> &Value {
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "no schema {name}");
        schema
    }

    /// Everything that is wrong with a value, each with its place.
    pub(crate) fn check(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        self.hold(schema, value, "", &mut wrong);
        wrong
    }

    fn hold(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let schema = schema.as_object().unwrap();
        for (keyword, rule) in schema {
            match keyword.as_str() {
                "$ref" => self.hold(self.referred(rule), value, at, wrong),
                "type" => check_type(rule, value, at, wrong),
                "enum" => {
                    if !rule.as_array().unwrap().contains(value) {
                        wrong.push(format!("{at}: {value} is none of {rule}"));
                    }
                }
                "oneOf" => self.hold_one(rule.as_array().unwrap(), value, at, wrong),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.hold(rule, item, &format!("{at}/{index}"), wrong);
                    }
                }
                "required" => {
                    for name in rule.as_array().unwrap() {
                        let name = name.as_str().unwrap();
                        if value.as_object().is_some_and(|has| !has.contains_key(name)) {
                            wrong.push(format!("{at}/{name} is missing"));
                        }
                    }
                }
                "properties" => self.hold_fields(rule.as_object().unwrap(), value, at, wrong),
                "minimum" | "maximum" => check_bound(keyword, rule, value, at, wrong),
                "format" => check_format(rule.as_str().unwrap(), value, at, wrong),
                silent => assert!(SILENT.contains(&silent), "{at}: keyword {silent} is new"),
            }
        }
    }

    fn hold_fields(
        &self,
        fields: &Map<String, Value>,
        value: &Value,
        at: &str,
        wrong: &mut Vec<String>,
    ) {
        for (name, field) in value.as_object().into_iter().flatten() {
            match fields.get(name) {
                Some(schema) => self.hold(schema, field, &format!("{at}/{name}"), wrong),
                None => wrong.push(format!("{at}/{name} is not in the schema")),
            }
        }
    }

    fn hold_one(&self, variants: &[Value], value: &Value, at: &str, wrong: &mut Vec<String>) {
        let tried: Vec<Vec<String>> = variants
            .iter()
            .map(|variant| {
                let mut of_variant = Vec::new();
                self.hold(variant, value, at, &mut of_variant);
                of_variant
            })
            .collect();
        let fits = tried.iter().filter(|of_variant| of_variant.is_empty());
        if fits.count() != 1 {
            wrong.push(format!("{at}: not exactly one variant fits: {tried:?}"));
        }
    }

    fn referred(&self, reference: &Value) -> &Value {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        self.0
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

fn check_type(rule: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let fits = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("{at}: type {other} is new"),
    };
    let fits = match rule {
        Value::Array(names) => names.iter().any(fits),
        name => fits(name),
    };
    if !fits {
        wrong.push(format!("{at}: {value} is not {rule}"));
    }
}

fn check_bound(keyword: &str, rule: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let (Some(value), Some(bound)) = (value.as_i64(), rule.as_i64()) else {
        return;
    };
    let within = if keyword == "minimum" {
        value >= bound
    } else {
        value <= bound
    };
    if !within {
        wrong.push(format!("{at}: {value} is beyond the {keyword} {bound}"));
    }
}

fn check_format(name: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let fits = match (name, value) {
        ("date-time", Value::String(text)) => {
            text.ends_with('Z') && text.parse::<sluice_domain::time::Timestamp>().is_ok()
        }
        ("int32", Value::Number(number)) => {
            number.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
        }
        // Every number of a JSON integer fits; others are refused by their type.
        ("int64", _) | (_, Value::Null) => true,
        ("date-time" | "int32", _) => false,
        (other, _) => panic!("{at}: format {other} is new"),
    };
    if !fits {
        wrong.push(format!("{at}: {value} is no {name}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Schemas;

    #[test]
    fn what_does_not_fit_is_said_with_its_place() {
        let schemas = Schemas::new(json!({"components": {"schemas": {
            "Word": {"type": "string", "enum": ["a", "b"]},
            "Thing": {
                "type": "object", "required": ["word", "at"],
                "properties": {
                    "word": {"$ref": "#/components/schemas/Word"},
                    "at": {"type": "string", "format": "date-time"},
                    "count": {"type": ["integer", "null"], "format": "int32", "minimum": 0},
                    "list": {"type": "array", "items": {"oneOf": [{"type": "null"}, {"type": "boolean"}]}},
                },
            },
        }}}));
        let good =
            json!({"word": "a", "at": "2026-11-27T00:00:00Z", "count": null, "list": [true, null]});
        let thing = schemas.named("Thing");
        assert_eq!(schemas.check(thing, &good), Vec::<String>::new());
        for (field, value, place) in [
            ("word", json!("c"), "/word"),
            ("word", json!(1), "/word"),
            ("at", json!("yesterday"), "/at"),
            ("count", json!(-1), "/count"),
            ("count", json!(1.5), "/count"),
            ("count", json!(3_000_000_000_u64), "/count"),
            ("list", json!([true, 1]), "/list/1"),
            ("list", json!({}), "/list"),
            ("more", json!(1), "/more"),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            let wrong = schemas.check(thing, &bad);
            assert!(
                wrong.iter().any(|said| said.starts_with(place)),
                "{bad}: {wrong:?}"
            );
        }
        let mut bad = good;
        bad.as_object_mut().unwrap().remove("at");
        assert_eq!(schemas.check(thing, &bad), ["/at is missing"]);
    }
}
