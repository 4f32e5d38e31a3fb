use super::*;
use crate::sample::{CONTRACT, SMALLEST, spec};

/// Hashes stand in ledgers: these may never change.
#[test]
fn golden_hashes() {
    assert_eq!(
        spec(CONTRACT).terms.content_hash().to_string(),
        "416dc82e001ec493b8c60e2ee62196923c36297fb3fb34736986d7a42e4b92af"
    );
    assert_eq!(
        spec(SMALLEST).terms.content_hash().to_string(),
        "591d8719742c18654268622508fc75def3a28b3b0cfbee8fa513f8a1323793d4"
    );
}

#[test]
fn every_part_of_the_terms_counts() {
    let terms = spec(CONTRACT).terms;
    let changes: [fn(&mut Terms); 11] = [
        |terms| terms.name.push('!'),
        |terms| terms.description.push('!'),
        |terms| terms.currency = Currency(*b"EUR"),
        |terms| terms.benefit = Benefit::Fixed { off: 1 },
        |terms| terms.conditions.min_spend = None,
        |terms| terms.conditions.windows[0].zone = "UTC".to_owned(),
        |terms| terms.stacking.priority += 1,
        |terms| terms.uses_per_claim += 1,
        |terms| terms.uses_per_user = None,
        |terms| terms.budget = Some(1),
        |terms| terms.validity = Validity::Permanent,
    ];
    let mut hashes = std::collections::BTreeSet::from([terms.content_hash()]);
    for change in changes {
        let mut changed = terms.clone();
        change(&mut changed);
        hashes.insert(changed.content_hash());
    }
    assert_eq!(hashes.len(), changes.len() + 1);
    assert_eq!(terms.clone().content_hash(), terms.content_hash());
}

#[test]
fn the_hash_survives_storing() {
    let terms = spec(CONTRACT).terms;
    let stored = serde_json::to_string(&terms).unwrap();
    let read: Terms = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, terms);
    assert_eq!(read.content_hash(), terms.content_hash());
}
