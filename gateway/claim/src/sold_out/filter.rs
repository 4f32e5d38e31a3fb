//! The winner filter: who certainly holds no claim of a coupon.
//!
//! A binary fuse filter of 8-bit fingerprints over the xxh3-64 of the winners' user ids: 9 bits a
//! winner, no false negatives, and about one stranger in 256 is taken for a winner, who is then
//! asked about in Redis. It travels through Redis as bytes and is held as those bytes:
//!
//! ```text
//! format (1) · coupon (4) · epoch (8) · stock_seq (8) · revision (4) · users (8)
//! · descriptor (20) · fingerprints (n) · xxh3-64 of everything before (8)      all little endian
//! ```

use sluice_domain::id::{CouponId, UserId};
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};
use xxhash_rust::xxh3::xxh3_64;

use crate::port::SoldOutProof;

/// Raised when the layout changes.
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 8 + 8 + 4 + 8;
const BODY_AT: usize = HEAD_BYTES + BinaryFuse8::DESCRIPTOR_LEN;
const CHECKSUM_BYTES: usize = 8;

/// A filter of the winners of one coupon under one proof.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WinnerFilter {
    bytes: Box<[u8]>,
    empty: bool,
}

/// Why a filter was not made or not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    /// The winners that were read are not as many as the proof says.
    #[error("{found} users were read where the proof says {expected}")]
    Count {
        /// Distinct hashes read.
        found: usize,
        /// Users of the proof.
        expected: u64,
    },
    /// The construction gave up.
    #[error("the filter could not be constructed")]
    Construction,
    /// The stored bytes are no filter of this proof.
    #[error("the stored filter is not usable: {0}")]
    Stored(&'static str),
}

/// The hash by which a user is in a filter.
pub(crate) fn user_hash(user: &UserId) -> u64 {
    xxh3_64(user.as_bytes())
}

/// An upper bound of the bytes of a filter of so many winners.
pub(crate) const fn bytes_bound(users: u64) -> u64 {
    // Small filters are mostly segments; large ones 1.125 bytes a winner, rounded up to a segment.
    1_024 + users.saturating_mul(3) / 2
}

// === impl WinnerFilter ===

impl WinnerFilter {
    /// Makes the filter from the hashes of all winners, in any order, repeats allowed. Costs CPU:
    /// about 50 ns a winner.
    pub(crate) fn build(
        coupon: CouponId,
        proof: &SoldOutProof,
        mut hashes: Vec<u64>,
    ) -> Result<Self, FilterError> {
        hashes.sort_unstable();
        hashes.dedup();
        if u64::try_from(hashes.len()) != Ok(proof.users) {
            return Err(FilterError::Count {
                found: hashes.len(),
                expected: proof.users,
            });
        }
        let mut bytes = head(coupon, proof).to_vec();
        if !hashes.is_empty() {
            let fuse = BinaryFuse8::try_from(&hashes).map_err(|_text| FilterError::Construction)?;
            bytes.resize(BODY_AT, 0);
            fuse.dma_copy_descriptor_to(&mut bytes[HEAD_BYTES..]);
            bytes.extend_from_slice(fuse.dma_fingerprints());
        }
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        Ok(Self {
            bytes: bytes.into_boxed_slice(),
            empty: hashes.is_empty(),
        })
    }

    /// Takes a stored filter, after checking that it is whole and of this coupon and proof.
    pub(crate) fn load(
        coupon: CouponId,
        proof: &SoldOutProof,
        bytes: Vec<u8>,
    ) -> Result<Self, FilterError> {
        let (rest, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(FilterError::Stored("it is too short"))?;
        if xxh3_64(rest) != u64::from_le_bytes(*checksum) {
            return Err(FilterError::Stored("its checksum differs"));
        }
        if rest.first() != Some(&FORMAT) {
            return Err(FilterError::Stored("its format is not known here"));
        }
        if rest.get(..HEAD_BYTES) != Some(&head(coupon, proof)) {
            return Err(FilterError::Stored("it belongs to another proof"));
        }
        let empty = rest.len() == HEAD_BYTES;
        if empty != (proof.users == 0) || !(empty || is_sound(&rest[HEAD_BYTES..])) {
            return Err(FilterError::Stored("its parts do not fit each other"));
        }
        Ok(Self {
            bytes: bytes.into_boxed_slice(),
            empty,
        })
    }

    /// False when the user certainly holds no claim.
    pub(crate) fn may_contain(&self, user_hash: u64) -> bool {
        if self.empty {
            return false;
        }
        let end = self.bytes.len() - CHECKSUM_BYTES;
        BinaryFuse8Ref::from_dma(&self.bytes[HEAD_BYTES..BODY_AT], &self.bytes[BODY_AT..end])
            .contains(&user_hash)
    }

    /// The filter as it is stored.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn head(coupon: CouponId, proof: &SoldOutProof) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[0] = FORMAT;
    head[1..5].copy_from_slice(&coupon.0.to_le_bytes());
    head[5..13].copy_from_slice(&proof.epoch.0.to_le_bytes());
    head[13..21].copy_from_slice(&proof.stock_seq.0.to_le_bytes());
    head[21..25].copy_from_slice(&proof.revision.0.to_le_bytes());
    head[25..33].copy_from_slice(&proof.users.to_le_bytes());
    head
}

/// Whether the descriptor keeps every look-up inside the fingerprints: a look-up does not check.
fn is_sound(body: &[u8]) -> bool {
    let word = |at: usize| {
        body.get(at..at + 4)
            .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
            .map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)))
    };
    // After the seed of 8 bytes.
    let (length, mask, count_length) = (word(8), word(12), word(16));
    let fingerprints = body.len().saturating_sub(BinaryFuse8::DESCRIPTOR_LEN);
    length.is_power_of_two()
        && mask == length - 1
        && count_length > 0
        && count_length % length == 0
        && u64::try_from(fingerprints) == Ok(count_length + 2 * length)
}

#[cfg(test)]
mod tests {
    use sluice_domain::id::{Epoch, Revision, StockSeq};

    use super::*;

    const COUPON: CouponId = CouponId(7);

    fn proof(users: u64) -> SoldOutProof {
        SoldOutProof {
            epoch: Epoch(2),
            revision: Revision(3),
            stock_seq: StockSeq(4),
            users,
            more_may_come: false,
        }
    }

    fn hashes(range: std::ops::Range<u32>) -> Vec<u64> {
        range
            .map(|n| user_hash(&UserId::new(&format!("u{n}")).unwrap()))
            .collect()
    }

    #[test]
    fn every_winner_is_in_and_few_strangers_are() {
        for users in [1_u32, 2, 3, 10, 100, 1_000, 10_000] {
            let winners = hashes(0..users);
            let filter =
                WinnerFilter::build(COUPON, &proof(users.into()), winners.clone()).unwrap();
            assert!(
                winners.iter().all(|hash| filter.may_contain(*hash)),
                "{users}"
            );
            let strangers = hashes(1_000_000..1_020_000);
            let taken = strangers.iter().filter(|hash| filter.may_contain(**hash));
            assert!(taken.count() < 200, "more than one in a hundred of {users}");
            assert!(u64::try_from(filter.as_bytes().len()).unwrap() <= bytes_bound(users.into()));
        }
    }

    #[test]
    fn nobody_is_in_the_filter_of_a_coupon_without_winners() {
        let filter = WinnerFilter::build(COUPON, &proof(0), Vec::new()).unwrap();
        assert!(
            hashes(0..1_000)
                .iter()
                .all(|hash| !filter.may_contain(*hash))
        );
        let stored = WinnerFilter::load(COUPON, &proof(0), filter.as_bytes().to_vec());
        assert_eq!(stored, Ok(filter));
    }

    #[test]
    fn repeats_count_once_and_a_wrong_count_is_thrown_away() {
        let mut read = hashes(0..50);
        read.extend(hashes(0..10));
        assert!(WinnerFilter::build(COUPON, &proof(50), read.clone()).is_ok());
        let refused = WinnerFilter::build(COUPON, &proof(51), read).unwrap_err();
        assert_eq!(
            refused,
            FilterError::Count {
                found: 50,
                expected: 51
            }
        );
    }

    #[test]
    fn a_stored_filter_is_taken_only_whole_and_under_its_own_proof() {
        let built = WinnerFilter::build(COUPON, &proof(500), hashes(0..500)).unwrap();
        let bytes = built.as_bytes().to_vec();
        assert_eq!(
            WinnerFilter::load(COUPON, &proof(500), bytes.clone()),
            Ok(built)
        );
        let mut other = proof(500);
        other.stock_seq = StockSeq(5);
        assert!(WinnerFilter::load(COUPON, &other, bytes.clone()).is_err());
        assert!(WinnerFilter::load(CouponId(8), &proof(500), bytes.clone()).is_err());
        for cut in 0..bytes.len() {
            assert!(WinnerFilter::load(COUPON, &proof(500), bytes[..cut].to_vec()).is_err());
            let mut flipped = bytes.clone();
            flipped[cut] ^= 1;
            assert!(WinnerFilter::load(COUPON, &proof(500), flipped).is_err());
        }
    }

    #[test]
    fn a_descriptor_that_points_outside_is_refused_even_with_a_right_checksum() {
        let built = WinnerFilter::build(COUPON, &proof(500), hashes(0..500)).unwrap();
        for at in HEAD_BYTES + 8..BODY_AT {
            let mut bytes = built.as_bytes().to_vec();
            bytes[at] ^= 0x10;
            let body = bytes.len() - CHECKSUM_BYTES;
            let checksum = xxh3_64(&bytes[..body]).to_le_bytes();
            bytes[body..].copy_from_slice(&checksum);
            assert!(
                WinnerFilter::load(COUPON, &proof(500), bytes).is_err(),
                "byte {at}"
            );
        }
    }
}
