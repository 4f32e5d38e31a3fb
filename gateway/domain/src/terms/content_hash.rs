//! The content address of terms.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Terms;

/// Separates these hashes from every other use of the hash function.
const CONTEXT: &str = "sluice 2026 terms content address";

/// The content address of terms: equal terms have equal hashes, in every version of the program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TermsHash(pub [u8; 32]);

impl Terms {
    /// BLAKE3 over a canonical form: the stored JSON with sorted keys, without spaces and without
    /// members that are null. So neither the order of fields in the source nor a later field that
    /// is absent from these terms changes it.
    #[must_use]
    pub fn content_hash(&self) -> TermsHash {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&canonical(self));
        TermsHash(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for TermsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TermsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TermsHash({self})")
    }
}

/// The stored JSON with sorted keys, without spaces and without members that are null.
pub(crate) fn canonical(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::with_capacity(1_024);
    let tree = serde_json::to_value(value).expect("our types have text keys only");
    write_canonical(&tree, &mut text);
    text
}

/// Depth is that of our own types.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members
                .iter()
                .filter(|(_key, value)| !value.is_null())
                .collect();
            members.sort_by_key(|(key, _value)| *key);
            out.push(b'{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_plain(&Value::String(key.clone()), out);
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        plain => write_plain(plain, out),
    }
}

fn write_plain(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}
