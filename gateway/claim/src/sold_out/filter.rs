//! The winner filter: who certainly holds no claim of a coupon.
//!
//! A binary fuse filter of 16-bit fingerprints over the xxh3-64 of the winners' user ids: 18 bits a
//! winner, no false negatives, and about one stranger in 65,536 is taken for a winner, who is then
//! asked about in Redis. (8 bits would do for the memory, and cost a call for one stranger in 256:
//! nearly half of the one in a hundred that strangers may cost.) It travels through Redis as:
//!
//! ```text
//! format (1) · coupon (4) · epoch (8) · stock_seq (8) · revision (4) · users (8)
//! · descriptor (20) · fingerprints (2 n) · xxh3-64 of everything before (8)    all little endian
//! ```

use sluice_domain::id::{CouponId, UserId};
use xorf::{BinaryFuse16, Descriptor, Filter};
use xxhash_rust::xxh3::xxh3_64;

use crate::port::SoldOutProof;

/// Raised when the layout changes.
const FORMAT: u8 = 2;
const HEAD_BYTES: usize = 1 + 4 + 8 + 8 + 4 + 8;
const DESCRIPTOR_BYTES: usize = Descriptor::DMA_LEN;
const FINGERPRINT_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// A filter of the winners of one coupon under one proof.
#[derive(Debug)]
pub(crate) struct WinnerFilter {
    /// `None` where nobody has won.
    fuse: Option<BinaryFuse16>,
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
    // Small filters are mostly segments; large ones 2.25 bytes a winner, rounded up to a segment.
    2_048 + users.saturating_mul(3)
}

// === impl WinnerFilter ===

impl WinnerFilter {
    /// Makes the filter from the hashes of all winners, in any order, repeats allowed. Costs CPU:
    /// about 50 ns a winner.
    pub(crate) fn build(proof: &SoldOutProof, mut hashes: Vec<u64>) -> Result<Self, FilterError> {
        hashes.sort_unstable();
        hashes.dedup();
        if u64::try_from(hashes.len()) != Ok(proof.users) {
            return Err(FilterError::Count {
                found: hashes.len(),
                expected: proof.users,
            });
        }
        let fuse = if hashes.is_empty() {
            None
        } else {
            Some(BinaryFuse16::try_from(&hashes).map_err(|_text| FilterError::Construction)?)
        };
        Ok(Self { fuse })
    }

    /// Takes a stored filter, after checking that it is whole and of this coupon and proof.
    pub(crate) fn load(
        coupon: CouponId,
        proof: &SoldOutProof,
        bytes: &[u8],
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
        let body = &rest[HEAD_BYTES..];
        let fuse = if proof.users == 0 && body.is_empty() {
            None
        } else {
            Some(decode(body).ok_or(FilterError::Stored("its parts do not fit each other"))?)
        };
        if fuse.is_none() != (proof.users == 0) {
            return Err(FilterError::Stored("its parts do not fit each other"));
        }
        Ok(Self { fuse })
    }

    /// False when the user certainly holds no claim.
    pub(crate) fn may_contain(&self, user_hash: u64) -> bool {
        self.fuse
            .as_ref()
            .is_some_and(|fuse| fuse.contains(&user_hash))
    }

    /// The filter as it is stored, bound to the coupon and the proof that it was made under.
    pub(crate) fn encode(&self, coupon: CouponId, proof: &SoldOutProof) -> Vec<u8> {
        let mut bytes = head(coupon, proof).to_vec();
        if let Some(fuse) = &self.fuse {
            let parts = &fuse.descriptor;
            bytes.extend_from_slice(&parts.seed.to_le_bytes());
            for word in [
                parts.segment_length,
                parts.segment_length_mask,
                parts.segment_count_length,
            ] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            for fingerprint in &fuse.fingerprints {
                bytes.extend_from_slice(&fingerprint.to_le_bytes());
            }
        }
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// How many bytes it takes while it is held.
    pub(crate) fn bytes_held(&self) -> usize {
        let fingerprints = self.fuse.as_ref().map_or(0, Filter::len);
        size_of::<Self>() + fingerprints * FINGERPRINT_BYTES
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

/// The filter of these bytes, where every look-up stays inside the fingerprints: it does not check.
fn decode(body: &[u8]) -> Option<BinaryFuse16> {
    let (descriptor, fingerprints) = body.split_at_checked(DESCRIPTOR_BYTES)?;
    let (seed, words) = descriptor.split_first_chunk::<8>()?;
    let (words, _none) = words.as_chunks::<4>();
    let [segment_length, segment_length_mask, segment_count_length] =
        <[[u8; 4]; 3]>::try_from(words)
            .ok()?
            .map(u32::from_le_bytes);
    let (fingerprints, odd) = fingerprints.as_chunks::<FINGERPRINT_BYTES>();
    let length = u64::from(segment_length);
    let count_length = u64::from(segment_count_length);
    let is_sound = odd.is_empty()
        && segment_length.is_power_of_two()
        && segment_length_mask == segment_length - 1
        && count_length > 0
        && count_length.is_multiple_of(length)
        && u64::try_from(fingerprints.len()) == Ok(count_length + 2 * length);
    is_sound.then(|| BinaryFuse16 {
        descriptor: Descriptor {
            seed: u64::from_le_bytes(*seed),
            segment_length,
            segment_length_mask,
            segment_count_length,
        },
        fingerprints: fingerprints
            .iter()
            .map(|pair| u16::from_le_bytes(*pair))
            .collect(),
    })
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
            let filter = WinnerFilter::build(&proof(users.into()), winners.clone()).unwrap();
            assert!(
                winners.iter().all(|hash| filter.may_contain(*hash)),
                "{users}"
            );
            let strangers = hashes(1_000_000..1_020_000);
            let taken = strangers.iter().filter(|hash| filter.may_contain(**hash));
            assert!(
                taken.count() < 10,
                "more than one in two thousand of {users}"
            );
            let stored = filter.encode(COUPON, &proof(users.into())).len();
            for bytes in [stored, filter.bytes_held()] {
                assert!(u64::try_from(bytes).unwrap() <= bytes_bound(users.into()));
            }
        }
    }

    #[test]
    fn nobody_is_in_the_filter_of_a_coupon_without_winners() {
        let filter = WinnerFilter::build(&proof(0), Vec::new()).unwrap();
        assert!(
            hashes(0..1_000)
                .iter()
                .all(|hash| !filter.may_contain(*hash))
        );
        let bytes = filter.encode(COUPON, &proof(0));
        let stored = WinnerFilter::load(COUPON, &proof(0), &bytes).unwrap();
        assert_eq!(stored.encode(COUPON, &proof(0)), bytes);
        assert!(!stored.may_contain(hashes(0..1)[0]));
    }

    #[test]
    fn repeats_count_once_and_a_wrong_count_is_thrown_away() {
        let mut read = hashes(0..50);
        read.extend(hashes(0..10));
        assert!(WinnerFilter::build(&proof(50), read.clone()).is_ok());
        let refused = WinnerFilter::build(&proof(51), read).unwrap_err();
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
        let built = WinnerFilter::build(&proof(500), hashes(0..500)).unwrap();
        let bytes = built.encode(COUPON, &proof(500));
        let loaded = WinnerFilter::load(COUPON, &proof(500), &bytes).unwrap();
        assert_eq!(loaded.encode(COUPON, &proof(500)), bytes);
        assert!(hashes(0..500).iter().all(|hash| loaded.may_contain(*hash)));
        let mut other = proof(500);
        other.stock_seq = StockSeq(5);
        assert!(WinnerFilter::load(COUPON, &other, &bytes).is_err());
        assert!(WinnerFilter::load(CouponId(8), &proof(500), &bytes).is_err());
        for cut in 0..bytes.len() {
            assert!(WinnerFilter::load(COUPON, &proof(500), &bytes[..cut]).is_err());
            let mut flipped = bytes.clone();
            flipped[cut] ^= 1;
            assert!(WinnerFilter::load(COUPON, &proof(500), &flipped).is_err());
        }
    }

    #[test]
    fn a_descriptor_that_points_outside_is_refused_even_with_a_right_checksum() {
        let built = WinnerFilter::build(&proof(500), hashes(0..500)).unwrap();
        for at in HEAD_BYTES + 8..HEAD_BYTES + DESCRIPTOR_BYTES {
            let mut bytes = built.encode(COUPON, &proof(500));
            bytes[at] ^= 0x10;
            let body = bytes.len() - CHECKSUM_BYTES;
            let checksum = xxh3_64(&bytes[..body]).to_le_bytes();
            bytes[body..].copy_from_slice(&checksum);
            assert!(
                WinnerFilter::load(COUPON, &proof(500), &bytes).is_err(),
                "byte {at}"
            );
        }
    }
}
