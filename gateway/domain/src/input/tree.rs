//! From bytes to a JSON tree, refusing what serde's own would let through: a key said twice, and
//! nesting beyond [`DEPTH_MAX`].

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::reader::escape;
use super::{DEPTH_MAX, FieldError};

/// Reads a whole body.
///
/// # Errors
/// What is not JSON at all is one error about the whole; keys said twice are all listed.
pub(super) fn parse(body: &[u8]) -> Result<Value, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Tree {
        depth: 0,
        pointer: String::new(),
        errors: &mut errors,
    };
    let tree = seed
        .deserialize(&mut deserializer)
        .and_then(|tree| deserializer.end().map(|()| tree));
    match tree {
        Ok(tree) if errors.is_empty() => Ok(tree),
        Ok(_) => Err(errors),
        Err(error) => {
            if errors.is_empty() {
                errors.push(FieldError {
                    pointer: String::new(),
                    message: format!("is not JSON: {error}; send one JSON object"),
                });
            }
            Err(errors)
        }
    }
}

struct Tree<'e> {
    /// Levels above this value.
    depth: usize,
    pointer: String,
    errors: &'e mut Vec<FieldError>,
}

impl Tree<'_> {
    fn child(&mut self, step: &str) -> Tree<'_> {
        Tree {
            depth: self.depth + 1,
            pointer: format!("{}/{}", self.pointer, escape(step)),
            errors: self.errors,
        }
    }

    /// Called before going into an array or object.
    fn check_depth<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        self.errors.push(FieldError {
            pointer: std::mem::take(&mut self.pointer),
            message: format!("is nested too deep; at most {DEPTH_MAX} levels are accepted"),
        });
        Err(E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.child(&items.len().to_string()))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut members = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(self.child(&key))?;
            if members.contains_key(&key) {
                self.twice(&key)?;
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

impl Tree<'_> {
    fn twice<E: serde::de::Error>(&mut self, key: &str) -> Result<(), E> {
        if self.errors.len() >= super::ERRORS_MAX {
            return Err(E::custom("too many errors"));
        }
        self.errors.push(FieldError {
            pointer: format!("{}/{}", self.pointer, escape(key)),
            message: "is there twice; say it once".to_owned(),
        });
        Ok(())
    }
}
