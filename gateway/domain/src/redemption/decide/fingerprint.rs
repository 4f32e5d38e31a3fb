//! Hashes of what was asked for, by which a repeat is told from a misuse.
//!
//! They stand in ledgers: a change here would make repeats across an upgrade look like misuse. The
//! canonical form leaves absent members out, so a field that is added later changes nothing.

use serde::Serialize;

use super::Command;
use crate::cart::{Cart, CartLine};
use crate::id::{ClaimId, OrderId, UserId};
use crate::pricing::Choose;
use crate::redemption::RefundLine;
use crate::refund::Wanted;
use crate::terms::canonical;

const HOLD: &str = "sluice 2026 content of a hold";
const COMMAND: &str = "sluice 2026 content of a command on a redemption";

/// What a hold asks for, apart from the price it expects. Lists may be in any order.
#[derive(Debug, Clone, Copy)]
pub struct HoldContent<'a> {
    /// The order.
    pub order: &'a OrderId,
    /// For whom.
    pub user: &'a UserId,
    /// What is bought.
    pub cart: &'a Cart,
    /// Claims given.
    pub claims: &'a [ClaimId],
    /// Codes given, as they are compared: trimmed, in upper case.
    pub codes: &'a [String],
    /// Which of them are wanted.
    pub choose: Choose,
}

#[derive(Serialize)]
struct CanonicalHold<'a> {
    order: &'a OrderId,
    user: &'a UserId,
    cart: Cart,
    claims: Vec<&'a ClaimId>,
    codes: Vec<&'a String>,
    choose: Choose,
}

#[derive(Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum CanonicalCommand<'a> {
    Confirm,
    Cancel,
    Expire,
    Refund {
        refund_id: &'a str,
        /// Absent: everything that is left.
        lines: Option<Vec<&'a RefundLine>>,
    },
}

// === impl HoldContent ===

impl HoldContent<'_> {
    /// The hash. Equal for requests that mean the same.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut cart = self.cart.clone();
        cart.lines.sort_by(|a, b| a.id.cmp(&b.id));
        for CartLine {
            categories, tags, ..
        } in &mut cart.lines
        {
            sort(categories);
            sort(tags);
        }
        let mut claims: Vec<&ClaimId> = self.claims.iter().collect();
        sort(&mut claims);
        let mut codes: Vec<&String> = self.codes.iter().collect();
        sort(&mut codes);
        hash(
            HOLD,
            &CanonicalHold {
                order: self.order,
                user: self.user,
                cart,
                claims,
                codes,
                choose: self.choose,
            },
        )
    }
}

// === impl Command ===

impl Command {
    /// The hash of what this command asks for, without the key it is asked under.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let content = match self {
            Self::Hold(hold) => return hold.fingerprint,
            Self::Confirm { .. } => CanonicalCommand::Confirm,
            Self::Cancel { .. } => CanonicalCommand::Cancel,
            Self::Expire => CanonicalCommand::Expire,
            Self::Refund { refund_id, wanted } => CanonicalCommand::Refund {
                refund_id,
                lines: match wanted {
                    Wanted::Everything => None,
                    Wanted::Pieces(lines) => {
                        let mut lines: Vec<&RefundLine> = lines.iter().collect();
                        lines.sort_by(|a, b| (&a.id, a.quantity).cmp(&(&b.id, b.quantity)));
                        Some(lines)
                    }
                },
            },
        };
        hash(COMMAND, &content)
    }
}

/// The first 128 bits in hexadecimal: as much as an operation id needs of a fingerprint.
pub(super) fn short(fingerprint: &[u8; 32]) -> String {
    let (first, _rest) = fingerprint.split_at(16);
    first.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(context: &str, content: &impl Serialize) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&canonical(content));
    *hasher.finalize().as_bytes()
}

fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort();
    list.dedup();
}
