//! The catalogue page is the table.

use std::path::Path;

use sluice_edge::respond::table;

#[test]
fn the_catalogue_page_is_current() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reason-codes.md");
    let expected = table::catalogue();
    if std::env::var_os("SLUICE_WRITE_DOCS").is_some() {
        std::fs::write(&page, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        found == expected,
        "docs/reason-codes.md is stale; write it anew with\n\
         SLUICE_WRITE_DOCS=1 cargo test -p sluice-edge --test it catalogue"
    );
}
