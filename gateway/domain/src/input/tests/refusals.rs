//! What is refused, where the error points, and how its message begins.

use serde_json::{Value, json};

/// Pointer of the change, its value, pointer of the error, how its message begins.
pub(super) type Refusal = (&'static str, Value, &'static str, &'static str);

#[rustfmt::skip]
pub(super) fn of_benefits_and_texts() -> Vec<Refusal> {
    vec![
        ("/name", json!(""), "/name", "is blank; 1 to 200"),
        ("/name", json!(" \u{a0}"), "/name", "is blank"),
        ("/name", json!("a\nb"), "/name", "has a control character; plain text on one line"),
        ("/name", json!("x".repeat(201)), "/name", "has 201 characters; at most 200"),
        ("/name", json!(5), "/name", "is a number; text is expected"),
        ("/description", json!("a\u{0}"), "/description", "has a control character"),
        ("/notes", json!("\u{7f}"), "/notes", "has a control character"),
        ("/notes", json!("é".repeat(4_001)), "/notes", "has 4001 characters"),
        ("/code", json!("A B"), "/code", "is not a code; 3 to 32"),
        ("/code", json!("AB"), "/code", "is not a code"),
        ("/currency", json!("usd"), "/currency", "is not a currency"),
        ("/benefit", json!([]), "/benefit", "is a list; an object is expected"),
        ("/benefit/type", json!("gift"), "/benefit/type", "is not known; use \"threshold\", \"percent\", \"fixed\" or \"product\""),
        ("/benefit/off", json!("1"), "/benefit/off", "is not a known field; the fields are type, tiers"),
        ("/benefit/tiers", json!([]), "/benefit/tiers", "is empty; 1 to 20 tiers"),
        ("/benefit/tiers/1", json!({"spend": "50.00", "off": "6.00"}), "/benefit/tiers/1", "does not rise"),
        ("/benefit/tiers/1", json!({"spend": "60.00", "off": "5.00"}), "/benefit/tiers/1", "does not rise"),
        ("/benefit/tiers/1", json!({"spend": "60.00"}), "/benefit/tiers/1/off", "is missing; an amount above 0"),
        ("/benefit/tiers/0/off", json!("5.001"), "/benefit/tiers/0/off", "has 3 digits after the point; USD has 2"),
        ("/benefit/tiers/0/off", json!(5), "/benefit/tiers/0/off", "is a number; an amount is text"),
        ("/benefit/tiers/0/off", json!("0"), "/benefit/tiers/0/off", "is 0; an amount above 0"),
        ("/benefit/tiers/0/spend", json!("-1"), "/benefit/tiers/0/spend", "is negative"),
        ("/benefit/tiers/0/spend", json!("1e99"), "/benefit/tiers/0/spend", "is not an amount"),
        ("/benefit", json!({"type": "percent", "basis_points": 0}), "/benefit/basis_points", "is 0; a whole number from 1 to 10000"),
        ("/benefit", json!({"type": "percent", "basis_points": 10_001}), "/benefit/basis_points", "is 10001"),
        ("/benefit", json!({"type": "percent", "basis_points": 1.5}), "/benefit/basis_points", "is 1.5; a whole number"),
        ("/benefit", json!({"type": "product", "sku": "A\u{1}"}), "/benefit/sku", "has a control character"),
        ("/benefit", json!({"type": "product", "sku": "A", "quantity": 0}), "/benefit/quantity", "is 0"),
    ]
}

#[rustfmt::skip]
pub(super) fn of_conditions() -> Vec<Refusal> {
    vec![
        ("/conditions/min_spend", json!("0.00"), "/conditions/min_spend", "is 0"),
        ("/conditions/min_spend_base", json!("x"), "/conditions/min_spend_base", "is not known; use \"initial\""),
        ("/conditions/products/include/skus", json!(["a", 1]), "/conditions/products/include/skus/1", "is a number; text"),
        ("/conditions/products/include/skus", json!(vec!["a"; 1_001]), "/conditions/products/include/skus", "has 1001 entries; at most 1000"),
        ("/conditions/users/kind", json!("audience"), "/conditions/users/kind", "is \"audience\", which is not available yet"),
        ("/conditions/users/kind", json!("groups"), "/conditions/users/groups", "is empty; kind \"groups\" needs"),
        ("/conditions/users/kind", json!("ids"), "/conditions/users/ids", "is empty"),
        ("/conditions/users/ids", json!(["u1"]), "/conditions/users/ids", "is only read with kind \"ids\""),
        ("/conditions/users", json!({"kind": "ids", "ids": ["u1", "{u}"]}), "/conditions/users/ids/1", "has a character that is not allowed"),
        ("/conditions/users", json!({"kind": "groups", "groups": ["a b"]}), "/conditions/users/groups/0", "is not a name"),
        ("/conditions/users/audience", json!("a"), "/conditions/users/audience", "is not a known field"),
        ("/conditions/verified", json!(["fax"]), "/conditions/verified/0", "is not known; use \"phone\", \"email\" or \"identity\""),
        ("/conditions/windows/0/days", json!([]), "/conditions/windows/0/days", "is empty"),
        ("/conditions/windows/0/days", json!(["fri", "Sat"]), "/conditions/windows/0/days/1", "is not known"),
        ("/conditions/windows/0/from", json!("24:00"), "/conditions/windows/0/from", "is not a time of day; write HH:MM, from \"00:00\" to \"23:59\""),
        ("/conditions/windows/0/to", json!("24:01"), "/conditions/windows/0/to", "is not a time of day"),
        ("/conditions/windows/0/to", json!("2:00"), "/conditions/windows/0/to", "is not a time of day"),
        ("/conditions/windows/0/to", json!("12:60"), "/conditions/windows/0/to", "is not a time of day"),
        ("/conditions/windows/0/zone", json!("Mars/Olympus"), "/conditions/windows/0/zone", "is not a time zone; use an IANA name"),
        ("/conditions/windows/0/zone", json!("Etc/Unknown"), "/conditions/windows/0/zone", "is not a time zone"),
        ("/conditions/channels", json!(["\n"]), "/conditions/channels/0", "is not a name"),
        ("/stacking/priority", json!(1_001), "/stacking/priority", "is 1001; a whole number from 0 to 1000"),
        ("/stacking/stage", json!("all"), "/stacking/stage", "is not known"),
    ]
}

#[rustfmt::skip]
pub(super) fn of_limits_and_times() -> Vec<Refusal> {
    vec![
        ("/limits/total", json!(-1), "/limits/total", "is -1; a whole number from 0 to 1000000000"),
        ("/limits/total", json!(1_000_000_001), "/limits/total", "is 1000000001"),
        ("/limits/total", json!("10"), "/limits/total", "is text; a whole number"),
        ("/limits/per_user", json!(0), "/limits/per_user", "is 0; a whole number from 1 to 100"),
        ("/limits/per_device", json!(1_001), "/limits/per_device", "is 1001"),
        ("/limits/per_ip", json!(10_001), "/limits/per_ip", "is 10001"),
        ("/limits/uses_per_user", json!({"count": 1, "period": "year"}), "/limits/uses_per_user/period", "is not known"),
        ("/limits/budget", json!("0"), "/limits/budget", "is 0"),
        ("/limits/budget", json!("99999999999999.99"), "/limits/budget", "is too large; at most 10000000000000.00 USD"),
        ("/distribution", json!([]), "/distribution", "is empty"),
        ("/distribution", json!(["code"]), "/code", "is missing; a coupon that is claimed by code only"),
        ("/distribution", json!(["auto"]), "/distribution", "has only ways that are not available yet"),
        ("/distribution", json!(["targeted"]), "/distribution", "is targeted at nobody"),
        ("/distribution", json!(["mail"]), "/distribution/0", "is not known"),
        ("/claim_window/ends_at", json!("2026-11-27T00:00:00Z"), "/claim_window/ends_at", "is not after starts_at"),
        ("/claim_window/starts_at", json!("tomorrow"), "/claim_window/starts_at", "is not an instant"),
        ("/validity", json!({"type": "relative", "days": 3_651}), "/validity/days", "is 3651"),
        ("/validity", json!({"type": "relative"}), "/validity/days", "is missing"),
        ("/validity", json!({"type": "relative", "days": 1, "zone": "X"}), "/validity/zone", "is not a time zone"),
        ("/validity", json!({"type": "permanent", "days": 1}), "/validity/days", "is not a known field"),
        ("/validity", json!({"type": "fixed", "starts_at": "2026-12-01T00:00:00Z", "ends_at": "2026-11-01T00:00:00Z"}), "/validity/ends_at", "is not after starts_at"),
        ("/validity", json!({"type": "fixed", "starts_at": "2026-10-01T00:00:00Z", "ends_at": "2026-11-01T00:00:00Z"}), "/validity", "ends before the first claim"),
        ("/durability", json!("soft"), "/durability", "is not known; use \"ledger\" or \"hot\""),
        ("/shards", json!(65), "/shards", "is 65; a whole number from 1 to 64"),
        ("/shards", json!(0), "/shards", "is 0"),
        ("/template", json!("../x"), "/template", "is not a name"),
        ("/colour", json!(1), "/colour", "is not a known field; the fields are name, description"),
        ("/a~b", json!(1), "/a~0b", "is not a known field"),
    ]
}
