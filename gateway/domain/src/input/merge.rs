//! RFC 7396 over the API form of a coupon.

use serde_json::{Map, Value};

use super::FieldError;
use crate::coupon::CouponSpec;
use crate::render;

/// Members by which a variant is chosen: what belongs to another variant is not carried over.
const TAGS: &[&str] = &["type", "kind"];

/// The coupon's API form with the patch applied.
///
/// # Errors
/// When the patch is not an object, or the API form cannot be made.
pub(super) fn merge(spec: &CouponSpec, patch: Value) -> Result<Value, Vec<FieldError>> {
    let refuse = |message: &str| {
        vec![FieldError {
            pointer: String::new(),
            message: message.to_owned(),
        }]
    };
    let Value::Object(patch) = patch else {
        return Err(refuse("is not an object; send the fields to change"));
    };
    let unlimited = patch
        .get("limits")
        .and_then(|limits| limits.get("total"))
        .is_some_and(Value::is_null);
    let mut merged = serde_json::to_value(render::Definition::of(spec))
        .map_err(|_error| refuse("cannot be applied to this coupon"))?;
    if let Value::Object(fields) = &mut merged {
        merge_object(fields, patch);
        if let (true, Some(Value::Object(limits))) = (unlimited, fields.get_mut("limits")) {
            limits.insert("total".to_owned(), Value::Null);
        }
    }
    Ok(merged)
}

/// Bounded by the depth of the patch, which was checked when it was read.
fn merge_object(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    let other_variant = TAGS.iter().any(|tag| {
        patch
            .get(*tag)
            .is_some_and(|chosen| target.contains_key(*tag) && target.get(*tag) != Some(chosen))
    });
    if other_variant {
        target.clear();
    }
    for (name, change) in patch {
        match change {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(changes) => {
                let slot = target.entry(name).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(inner) = slot {
                    merge_object(inner, changes);
                }
            }
            plain => {
                target.insert(name, plain);
            }
        }
    }
}
