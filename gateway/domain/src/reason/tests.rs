use std::collections::BTreeSet;

use super::*;

#[test]
fn a_code_is_written_in_one_way_only() {
    let mut seen = BTreeSet::new();
    for &code in ReasonCode::ALL {
        assert!(seen.insert(code.as_str()), "{code:?} is there twice");
        assert_eq!(
            serde_json::to_value(code).unwrap(),
            serde_json::json!(code.as_str())
        );
        assert!(!code.title().is_empty());
    }
}
