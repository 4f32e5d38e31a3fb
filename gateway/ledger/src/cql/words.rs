//! Public words on CQL: a row for each, reserved before a coupon's document uses it.
//!
//! Who has a word is said by documents; the row only keeps two coupons apart. A word that is
//! reserved by a coupon whose document does not use it is free: whoever wants it first writes the
//! other's partition anew, so that a write under way there fails, and then takes the row.

use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, Revision};

use super::store::{Reading, back_off, fresh_op};
use super::value::values;
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::coupons::change::word_in_use;
use crate::redemptions::check::folded;

const READ: &str = "SELECT coupon, revision, op FROM words WHERE word = ?";
const MAKE: &str =
    "INSERT INTO words (word, coupon, revision, op) VALUES (?, ?, ?, ?) IF NOT EXISTS";
const WRITE: &str = "UPDATE words SET coupon = ?, revision = ?, op = ? WHERE word = ? IF op = ?";
const FREE: &str = "DELETE FROM words WHERE word = ? IF op = ?";

pub(super) const STATEMENTS: &[&str] = &[READ, MAKE, WRITE, FREE];

/// Others that may be met at one word.
const ROUNDS: u32 = 20;

// === impl CqlLedger ===

impl CqlLedger {
    /// Reserves a word for a revision of a coupon that is about to be written; gives the coupon
    /// that has it, where another does.
    pub(super) async fn reserve_word(
        &self,
        word: &str,
        coupon: CouponId,
        revision: Revision,
    ) -> Result<Option<CouponId>, LedgerError> {
        for round in 0..ROUNDS {
            let row = self.store.row(READ, values![word], Reading::Serial).await?;
            let op = fresh_op()?;
            let (call, seen) = match &row {
                None => ((MAKE, values![word, coupon, revision.0, op]), None),
                Some(row) => {
                    let holder = row.coupon("coupon")?;
                    if holder != coupon && !self.word_is_free(word, holder).await? {
                        return Ok(Some(holder));
                    }
                    let seen: [u8; 16] = row.bytes("op")?;
                    let values = values![coupon, revision.0, op, word, seen];
                    ((WRITE, values), Some(seen))
                }
            };
            let probe = (READ, values![word]);
            if self.store.write(vec![call], probe, seen, op).await? {
                return Ok(None);
            }
            back_off(round).await;
        }
        Err(crowded("the public word", word))
    }

    /// Whether the coupon that reserved a word does not use it, and cannot come to use it by a
    /// write that is under way.
    async fn word_is_free(&self, word: &str, holder: CouponId) -> Result<bool, LedgerError> {
        for round in 0..ROUNDS {
            let part = self.read_part(holder, Reading::Serial).await?;
            if part.coupon.as_ref().and_then(word_in_use) == Some(word) {
                return Ok(false);
            }
            if self.write_part(&part, Vec::new()).await? {
                return Ok(true);
            }
            back_off(round).await;
        }
        Err(crowded("coupon", holder))
    }

    /// Gives a word back that a written revision does not use any more. Where it fails the row
    /// stays, and the word is free all the same.
    pub(super) async fn free_word(&self, word: &str, coupon: &Coupon) -> Result<(), LedgerError> {
        let row = self.store.row(READ, values![word], Reading::Serial).await?;
        let Some(row) = row else { return Ok(()) };
        // A later revision may have reserved it again.
        let held = Revision(row.number("revision")?);
        if row.coupon("coupon")? != coupon.id || held >= coupon.revision {
            return Ok(());
        }
        let seen: [u8; 16] = row.bytes("op")?;
        if let Err(error) = self.store.cas(FREE, values![word, seen]).await {
            tracing::debug!(?error, word, "a public word stays reserved");
        }
        Ok(())
    }

    /// The coupon that uses a word, published or not.
    pub(super) async fn coupon_with_word(&self, code: &str) -> Result<Option<Coupon>, LedgerError> {
        let word = folded(code);
        let row = self.store.row(READ, values![word], Reading::Quorum).await?;
        let Some(row) = row else { return Ok(None) };
        let part = self
            .read_part(row.coupon("coupon")?, Reading::Quorum)
            .await?;
        let uses = |coupon: &Coupon| word_in_use(coupon) == Some(word.as_str());
        Ok(part.coupon.filter(uses))
    }
}
