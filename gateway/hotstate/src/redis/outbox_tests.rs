//! Tests of the outbox format.

use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};
use sluice_domain::claim::{Durability, Grant, GrantBatch};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, LeaseNumber, Revision, SubjectHash, Ticket, UserId, Version,
};
use sluice_domain::time::Timestamp;

use super::{FIELD, FORMAT, OutboxEntry, decode, record};
use crate::redis::layout::{durability_code, millis};

/// What the claim script writes; kept here because only the script may write it.
fn encode(batch: &GrantBatch) -> Vec<Vec<u8>> {
    let mut header = vec![FORMAT];
    header.extend_from_slice(batch.coupon.to_string().as_bytes());
    header.extend_from_slice(&batch.lease.0.to_be_bytes());
    header.extend_from_slice(&batch.revision.0.to_be_bytes());
    header.extend_from_slice(&batch.version.0.to_be_bytes());
    header.push(durability_code(batch.durability));
    header.extend_from_slice(&millis(batch.granted_at).to_be_bytes());
    header.extend_from_slice(&batch.grants[0].ticket.0.to_be_bytes());
    header.extend_from_slice(&u16::try_from(batch.grants.len()).unwrap().to_be_bytes());
    for grant in &batch.grants {
        header.extend(record(
            &grant.user,
            grant.claim_id,
            grant.device,
            grant.address,
        ));
        header.extend_from_slice(grant.user.as_bytes());
    }
    vec![FIELD.to_vec(), header]
}

fn batches() -> impl Strategy<Value = GrantBatch> {
    let claim = (
        "[A-Za-z0-9_-]{1,64}",
        any::<[u8; 12]>(),
        any::<Option<[u8; 8]>>(),
        any::<Option<[u8; 8]>>(),
    );
    let shared = (
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u16>(),
        any::<bool>(),
        0..=Timestamp::MAX.as_millis(),
        0..1_u64 << 40,
    );
    (shared, prop::collection::vec(claim, 1..20)).prop_map(|(shared, claims)| {
        let (coupon, lease, revision, version, hot, at, first) = shared;
        let coupon = CouponId(coupon);
        GrantBatch {
            entry: EntryNumber(9),
            coupon,
            lease: LeaseNumber(lease),
            revision: Revision(revision),
            version: Version(version),
            granted_at: Timestamp::from_millis(at),
            durability: if hot {
                Durability::Hot
            } else {
                Durability::Ledger
            },
            grants: claims
                .into_iter()
                .zip(first..)
                .map(|((user, hash, device, address), ticket)| Grant {
                    ticket: Ticket(ticket),
                    claim_id: ClaimId::new(coupon, hash),
                    user: UserId::new(&user).unwrap(),
                    device: device.map(SubjectHash),
                    address: address.map(SubjectHash),
                })
                .collect(),
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(batch in batches()) {
        prop_assert_eq!(decode(batch.entry, &encode(&batch)), OutboxEntry::Batch(batch));
    }

    #[test]
    fn garbage_is_unreadable_and_kept(fields in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        if let OutboxEntry::Batch(batch) = decode(EntryNumber(1), &fields) {
            // Astronomically rare, but then it must at least be what it says.
            prop_assert_eq!(encode(&batch), fields);
        }
    }

    #[test]
    fn a_cut_or_grown_entry_is_unreadable(batch in batches(), field in 0..2_usize, grow in any::<bool>()) {
        let mut fields = encode(&batch);
        if grow {
            fields[field].push(0);
        } else {
            fields[field].pop();
        }
        let entry = decode(batch.entry, &fields);
        prop_assert_eq!(matches!(entry, OutboxEntry::Unreadable { .. }), true);
    }
}

#[test]
fn the_format_is_the_one_written_down() {
    let coupon = CouponId(1);
    let hash = [0xab; 12];
    let value = b"\x020000001\x00\x00\x00\x02\x00\x00\x00\x03\x00\x04\x01\
        \x00\x00\x01\x9a\xb1\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x07\x00\x01";
    let mut value = value.to_vec();
    value.push(5);
    value.extend_from_slice(&hash);
    value.extend_from_slice(b"\x02\x01\x02\x03\x04\x05\x06\x07\x08alice");
    let fields = [b"h".to_vec(), value];
    let expected = GrantBatch {
        entry: EntryNumber(5),
        coupon,
        lease: LeaseNumber(2),
        revision: Revision(3),
        version: Version(4),
        granted_at: Timestamp::from_millis(0x019a_b102_0304),
        durability: Durability::Ledger,
        grants: vec![Grant {
            ticket: Ticket(7),
            claim_id: ClaimId::new(coupon, hash),
            user: UserId::new("alice").unwrap(),
            device: None,
            address: Some(SubjectHash([1, 2, 3, 4, 5, 6, 7, 8])),
        }],
    };
    assert_eq!(
        decode(EntryNumber(5), &fields),
        OutboxEntry::Batch(expected)
    );
}

#[test]
fn another_format_is_unreadable_and_says_so() {
    let fields = [b"h".to_vec(), vec![1, 0, 0]];
    let OutboxEntry::Unreadable {
        payload, reason, ..
    } = decode(EntryNumber(1), &fields)
    else {
        panic!("it was read");
    };
    assert!(reason.contains("format"), "{reason}");
    assert_eq!(payload, b"\0\0\0\x01h\0\0\0\x03\x01\0\0");
}
