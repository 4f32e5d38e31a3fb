//! The body that claims take: nothing, or an object without fields. Whatever else it holds is
//! pointed at, so that a caller who believes to have set something learns that it means nothing.

use std::collections::HashSet;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::respond::FieldError;

/// Nesting that is read; deeper is refused before the parser sees it.
const DEPTH_MAX: usize = 16;
/// Errors that are listed.
const ERRORS_MAX: usize = 16;
/// Bytes of a field's name that are repeated in an answer.
const NAME_BYTES_MAX: usize = 128;

/// Accepts white space and `{}`; lists what is wrong otherwise.
pub(super) fn check(body: &[u8]) -> Result<(), Vec<FieldError>> {
    let trimmed = body.trim_ascii();
    if trimmed.is_empty() || trimmed == b"{}" {
        return Ok(());
    }
    let whole = |detail: &'static str| {
        vec![FieldError {
            pointer: String::new(),
            detail: detail.into(),
        }]
    };
    if too_deep(trimmed) {
        return Err(whole("is nested too deeply"));
    }
    let mut parser = serde_json::Deserializer::from_slice(trimmed);
    let errors = parser
        .deserialize_map(Fields)
        .and_then(|errors| parser.end().map(|()| errors))
        .map_err(|error| {
            whole(if error.is_data() {
                "is not an object"
            } else {
                "is not valid JSON"
            })
        })?;
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Counts brackets outside of strings. Right for valid JSON; for other text it may say anything,
/// since the parser refuses that.
fn too_deep(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// Collects one error per field.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<FieldError>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut errors = Vec::new();
        let mut seen = HashSet::new();
        while let Some((name, _value)) = map.next_entry::<String, IgnoredAny>()? {
            if name.len() > NAME_BYTES_MAX {
                return Err(A::Error::custom("a name is too long"));
            }
            let detail = if seen.contains(&name) {
                "is there more than once"
            } else {
                "is not known here"
            };
            if errors.len() < ERRORS_MAX {
                errors.push(FieldError {
                    // RFC 6901: ~ and / are escaped.
                    pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                    detail: detail.into(),
                });
            }
            seen.insert(name);
        }
        Ok(errors)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    fn errors(body: &str) -> Vec<(String, &'static str)> {
        check(body.as_bytes())
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|error| match error.detail {
                Cow::Borrowed(detail) => (error.pointer, detail),
                Cow::Owned(detail) => panic!("not a word of ours: {detail}"),
            })
            .collect()
    }

    #[test]
    fn nothing_and_the_empty_object_are_accepted() {
        for body in ["", " \r\n", "{}", " { } ", "{\n}"] {
            assert_eq!(errors(body), [], "{body:?}");
        }
    }

    #[test]
    fn everything_else_is_pointed_at() {
        let one = |pointer: &str, detail| vec![(pointer.to_owned(), detail)];
        assert_eq!(errors(r#"{"a":1}"#), one("/a", "is not known here"));
        assert_eq!(
            errors(r#"{"a/b~c":{}}"#),
            one("/a~1b~0c", "is not known here")
        );
        assert_eq!(
            errors(r#"{"a":1,"a":2}"#),
            vec![
                ("/a".to_owned(), "is not known here"),
                ("/a".to_owned(), "is there more than once")
            ]
        );
        for body in ["[]", "null", "1", "\"{}\""] {
            assert_eq!(errors(body), one("", "is not an object"), "{body}");
        }
        for body in [
            "{",
            "{}{}",
            "{} x",
            "{\"a\"}",
            "{'a':1}",
            "{\u{0}}",
            "\u{feff}{}",
        ] {
            assert_eq!(errors(body), one("", "is not valid JSON"), "{body:?}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(17), "]".repeat(17));
        assert_eq!(errors(&deep), one("", "is nested too deeply"));
        let brackets_in_text = format!("{{\"a\":\"{}\"}}", "[".repeat(99));
        assert_eq!(errors(&brackets_in_text), one("/a", "is not known here"));
    }

    proptest! {
        #[test]
        fn no_input_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _outcome = check(&body);
        }

        #[test]
        fn only_empty_objects_pass(body in "[{}\\[\\]\", a:0-9\\\\]{0,40}") {
            let passes = check(body.as_bytes()).is_ok();
            let parsed = serde_json::from_str::<serde_json::Value>(&body);
            let is_empty_object = parsed.is_ok_and(|value| value == serde_json::json!({}));
            prop_assert_eq!(passes, is_empty_object || body.trim().is_empty());
        }
    }
}
