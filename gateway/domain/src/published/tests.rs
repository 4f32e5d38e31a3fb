use super::*;
use crate::change;
use crate::sample::{CONTRACT, at, draft, live};

#[test]
fn a_draft_has_no_published_form() {
    assert_eq!(Published::of(&draft(CONTRACT), &[]), None);
}

#[test]
fn earlier_versions_stay_for_repeats() {
    let first = live(CONTRACT);
    let mut spec = first.spec.clone();
    spec.terms.validity = Validity::Permanent;
    spec.durability = Durability::Hot;
    let second = change::edit(&first, spec, at("2026-11-20T00:00:00Z")).unwrap();
    let before = Published::of(&first, &[]).unwrap();
    let now = Published::of(&second, &before.versions).unwrap();
    assert_eq!(now.format, UNSHARDED_FORMAT);
    assert_eq!(now.versions.len(), 2);
    assert_eq!(now.version(Version(1)), Some(&before.versions[0]));
    assert_eq!(
        now.version(Version(2)).unwrap().validity,
        Validity::Permanent
    );
    assert_eq!(now.version(Version(3)), None);
    // What stands there of the current version or later is replaced, not doubled.
    let again = Published::of(&second, &now.versions).unwrap();
    assert_eq!(again, now);
}
