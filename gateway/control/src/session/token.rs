//! The text of an API key: how it is made, taken apart and proven.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const SCHEME: &str = "slk_";
const PREFIX_CHARS: usize = 12;
const SECRET_CHARS: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Bytes below this are spread evenly over the alphabet (four times 62).
const EVEN_BELOW: u8 = 248;

/// A key as its owner holds it. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyText {
    prefix: String,
    secret: String,
}

/// The operating system gave no randomness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness: {0}")]
pub struct RandomUnavailable(String);

// === impl ApiKeyText ===

impl ApiKeyText {
    /// Makes a key of fresh randomness.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn generate() -> Result<Self, RandomUnavailable> {
        Ok(Self {
            prefix: random_text(PREFIX_CHARS)?,
            secret: random_text(SECRET_CHARS)?,
        })
    }

    /// Takes a key apart; `None` where the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, secret) = text.strip_prefix(SCHEME)?.split_once('_')?;
        let whole = |part: &str, chars: usize| {
            part.len() == chars && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        (whole(prefix, PREFIX_CHARS) && whole(secret, SECRET_CHARS)).then(|| Self {
            prefix: prefix.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// The public part: 12 characters.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What is stored of the secret part.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_bytes()).into()
    }

    /// Whether the secret part is the one that was stored, in constant time.
    #[must_use]
    pub fn proves(&self, stored: &[u8; 32]) -> bool {
        self.hash().ct_eq(stored).into()
    }

    /// The whole text, for the one time that it is shown.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{SCHEME}{}_{}", self.prefix, self.secret)
    }
}

impl std::fmt::Debug for ApiKeyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}_(secret)", self.prefix)
    }
}

fn random_text(chars: usize) -> Result<String, RandomUnavailable> {
    let mut text = String::with_capacity(chars);
    let mut bytes = [0_u8; 64];
    while text.len() < chars {
        getrandom::fill(&mut bytes).map_err(|error| RandomUnavailable(error.to_string()))?;
        let drawn = bytes.iter().filter(|&&byte| byte < EVEN_BELOW);
        for byte in drawn.take(chars - text.len()) {
            text.push(char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_no_other_text_is_a_key() {
        let key = ApiKeyText::generate().unwrap();
        let text = key.reveal();
        assert_eq!(text.len(), 4 + 12 + 1 + 43);
        assert_eq!(ApiKeyText::parse(&text).unwrap(), key);
        assert!(!format!("{key:?}").contains(&key.secret));
        for bad in [
            "",
            "slk_",
            "slk__",
            &text[1..],
            &text[..59],
            &format!("{text}0"),
            &text.replace("slk_", "sk_"),
            &text.replacen('_', "{", 2),
            &format!("{}\u{0}", &text[..59]),
        ] {
            assert!(ApiKeyText::parse(bad).is_none(), "{bad:?}");
        }
    }
}
