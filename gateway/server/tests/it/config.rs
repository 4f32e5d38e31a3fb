//! Configurations that are refused: with which exit code, and in which words.

use crate::process::{Place, QUICK, run, sluice, text};

/// A bad file, the line that must be named, and words that must be there.
const BAD: [(&str, usize, &[&str]); 80] = [
    // Typing errors in names.
    (
        "dataa_dir = \"x\"",
        1,
        &["`dataa_dir`", "did you mean `data_dir`"],
    ),
    ("[dta]\nthreads = 1", 1, &["`dta`", "did you mean `data`"]),
    (
        "[data]\nlisen = \"127.0.0.1:1\"",
        2,
        &["`data.lisen`", "did you mean `data.listen`"],
    ),
    (
        "[data]\n\nin_flight = 1",
        3,
        &["`data.in_flight`", "data.in_flight_max"],
    ),
    (
        "[control]\ntreads = 2",
        2,
        &["`control.treads`", "did you mean `control.threads`"],
    ),
    (
        "[ops]\nlistn = \"127.0.0.1:1\"",
        2,
        &["`ops.listn`", "did you mean `ops.listen`"],
    ),
    (
        "[hotstate]\nredis_url = \"redis://h:1\"",
        2,
        &["`hotstate.redis_url`", "did you mean `hotstate.redis_urls`"],
    ),
    (
        "[ledger]\nlane = 4",
        2,
        &["`ledger.lane`", "did you mean `ledger.lanes`"],
    ),
    (
        "[identity]\nisuer = \"x\"",
        2,
        &["`identity.isuer`", "did you mean `identity.issuer`"],
    ),
    (
        "[limits]\nenable = false",
        2,
        &["`limits.enable`", "did you mean `limits.enabled`"],
    ),
    (
        "[claim]\nqueue_wait = 5",
        2,
        &["`claim.queue_wait`", "did you mean `claim.queue_wait_ms`"],
    ),
    (
        "[keeper]\ngrace = 5",
        2,
        &["`keeper.grace`", "did you mean `keeper.grace_ms`"],
    ),
    (
        "[log]\nformt = \"json\"",
        2,
        &["`log.formt`", "did you mean `log.format`"],
    ),
    ("zzzz = 1", 1, &["`zzzz`", "lists all keys"]),
    (
        "data.listn = \"127.0.0.1:1\"",
        1,
        &["`data.listn`", "did you mean `data.listen`"],
    ),
    // Wrong types.
    ("[data]\nthreads = \"many\"", 2, &["`data.threads`"]),
    ("[data]\nthreads = -1", 2, &["`data.threads`"]),
    ("[data]\nlisten = \"localhost\"", 2, &["`data.listen`"]),
    ("[data]\nlisten = 8080", 2, &["`data.listen`"]),
    (
        "[data]\ntrusted_proxies = [\"10.0.0.0/99\"]",
        2,
        &["`data.trusted_proxies"],
    ),
    ("[limits]\nenabled = \"perhaps\"", 2, &["`limits.enabled`"]),
    (
        "[ledger]\nbackend = \"mysql\"",
        2,
        &["`ledger.backend`", "sqlite"],
    ),
    ("[ledger]\nlanes = 70000", 2, &["`ledger.lanes`"]),
    ("[log]\nformat = \"xml\"", 2, &["`log.format`", "json"]),
    (
        "[claim]\nqueue_wait_ms = 1.5",
        2,
        &["`claim.queue_wait_ms`"],
    ),
    ("data_dir = 5\n[data]\nlisten = []", 3, &["`data.listen`"]),
    // Out of range.
    (
        "[data]\nconnections_max = 0",
        2,
        &["`data.connections_max`"],
    ),
    (
        "[data]\nrequests_per_connection_max = 0",
        2,
        &["`data.requests_per_connection_max`"],
    ),
    (
        "[data]\nbody_timeout_ms = 1",
        2,
        &["`data.body_timeout_ms`"],
    ),
    (
        "[data]\ndrain_deadline_ms = 3600000",
        2,
        &["`data.drain_deadline_ms`"],
    ),
    (
        "[data]\ncors_origins = [\"shop.example\"]",
        2,
        &["`data.cors_origins`", "https://shop.example"],
    ),
    (
        "[data]\ncors_origins = [\"*\", \"https://shop.example\"]",
        2,
        &["`data.cors_origins`"],
    ),
    ("[data]\nthreads = 100000", 2, &["`data.threads`", "1024"]),
    ("[control]\nthreads = 0", 2, &["`control.threads`"]),
    (
        "[control]\nconnections_max = 0",
        2,
        &["`control.connections_max`"],
    ),
    (
        "[control]\nheader_read_timeout_ms = 0",
        2,
        &["`control.header_read_timeout_ms`"],
    ),
    (
        "[control]\npublish_deadline_ms = 0",
        2,
        &["`control.publish_deadline_ms`"],
    ),
    (
        "[hotstate]\nconnections = 0",
        2,
        &["`hotstate.connections`"],
    ),
    (
        "[hotstate]\nin_flight_max = 0",
        2,
        &["`hotstate.in_flight_max`"],
    ),
    (
        "[hotstate]\nredis_urls = [\"http://h\"]",
        2,
        &["`hotstate.redis_urls`", "redis://host:port"],
    ),
    ("[ledger]\nlanes = 0", 2, &["`ledger.lanes`"]),
    ("[ledger]\nreaders = 0", 2, &["`ledger.readers`"]),
    ("[ledger]\nqueue_max = 0", 2, &["`ledger.queue_max`"]),
    ("[identity]\nissuer = \"\"", 2, &["`identity.issuer`"]),
    (
        "[identity]\nalgorithms = [\"RS256\"]",
        2,
        &["`identity.algorithms`", "EdDSA"],
    ),
    ("[identity]\nreload_ms = 0", 2, &["`identity.reload_ms`"]),
    ("[limits]\nuser_burst = 0", 2, &["`limits.user_burst`"]),
    (
        "[limits]\nredis_url = \"localhost\"",
        2,
        &["`limits.redis_url`", "redis://host:port"],
    ),
    (
        "[claim]\nbatch_claims_max = 129",
        2,
        &["`claim.batch_claims_max`", "1 to 128"],
    ),
    (
        "[limits]\ncode_failures_per_user = 0",
        2,
        &["`limits.code_failures_per_user`"],
    ),
    (
        "[limits]\ncode_failures_per_address = 0",
        2,
        &["`limits.code_failures_per_address`"],
    ),
    (
        "[limits]\ncode_failures_window_s = 86401",
        2,
        &["`limits.code_failures_window_s`", "24 h"],
    ),
    (
        "[limits]\ncode_failures_window_s = 0",
        2,
        &["`limits.code_failures_window_s`"],
    ),
    (
        "[checkout]\nhold_s = 0",
        2,
        &["`checkout.hold_s`", "1 to 86400"],
    ),
    ("[checkout]\nhold_s = 86401", 2, &["`checkout.hold_s`"]),
    (
        "[checkout]\ncoupons_per_order_max = 0",
        2,
        &["`checkout.coupons_per_order_max`"],
    ),
    (
        "[checkout]\ncombinable_per_order_max = 21",
        2,
        &["`checkout.combinable_per_order_max`", "1 to 20"],
    ),
    (
        "[checkout]\nalways_per_order_max = 0",
        2,
        &["`checkout.always_per_order_max`"],
    ),
    (
        "[checkout]\nclaims_of_one_coupon_per_order_max = 21",
        2,
        &["`checkout.claims_of_one_coupon_per_order_max`"],
    ),
    (
        "[checkout]\nwallet_claims_max = 1001",
        2,
        &["`checkout.wallet_claims_max`", "1 to 1000"],
    ),
    (
        "[checkout]\nterms_cached_max = 0",
        2,
        &["`checkout.terms_cached_max`"],
    ),
    (
        "[checkout]\nsweep_ms = 49",
        2,
        &["`checkout.sweep_ms`", "50 to 60000"],
    ),
    (
        "[checkout]\nrefund_policy = \"generous\"",
        2,
        &["`checkout.refund_policy`", "reevaluate"],
    ),
    (
        "[checkout]\nreturn_claims = 1",
        2,
        &["`checkout.return_claims`"],
    ),
    (
        "[checkout]\nhold = 900",
        2,
        &["`checkout.hold`", "did you mean `checkout.hold_s`"],
    ),
    (
        "[reminders]\nbefore = \"72\"",
        2,
        &["`reminders.before`", "72h"],
    ),
    (
        "[reminders]\nbefore = \"366d\"",
        2,
        &["`reminders.before`", "365d"],
    ),
    (
        "[reminders]\nevery_ms = 49",
        2,
        &["`reminders.every_ms`", "50 to 3600000"],
    ),
    (
        "[reminders]\nretention_days = 0",
        2,
        &["`reminders.retention_days`"],
    ),
    // Contradictions.
    (
        "[keeper]\ngrace_ms = 120000",
        2,
        &["`keeper.grace_ms`", "lane_lease_ms"],
    ),
    (
        "[keeper]\nrenewal_ms = 6000\nkeeper_lease_ms = 9000",
        3,
        &["`keeper.keeper_lease_ms`", "renewal_ms"],
    ),
    (
        "[keeper]\nretention_ms = 1000",
        2,
        &["`keeper.retention_ms`", "grace_ms"],
    ),
    (
        "[claim]\ndecide_within_ms = 190",
        2,
        &["`claim.decide_within_ms`", "queue_wait"],
    ),
    (
        "[hotstate]\nresponse_timeout_ms = 150",
        2,
        &["`hotstate.response_timeout_ms`", "call_within_ms"],
    ),
    (
        "[hotstate]\nredis_urls = [\"redis://a:1\", \"redis://b:1\"]",
        2,
        &["`hotstate.redis_urls`", "more than one", "hotstate.cluster"],
    ),
    (
        "[hotstate]\ncluster = true\nredis_urls = [\"redis://a:1\", \"unix:///b\"]",
        3,
        &["`hotstate.redis_urls`", "unix socket"],
    ),
    (
        "[ledger]\nbackend = \"cql\"",
        2,
        &["`ledger.backend`", "`ledger.nodes`", "host:port"],
    ),
    (
        "[ledger]\nkeyspace = \"a-b\"",
        2,
        &["`ledger.keyspace`", "underscores"],
    ),
    (
        "[ledger]\nreplication = 0",
        2,
        &["`ledger.replication`", "1 to 9"],
    ),
    // No TOML at all.
    ("[data]\nlisten = ", 2, &["not valid TOML"]),
];

#[test]
fn f25_each_bad_configuration_is_refused_with_line_key_and_hint() {
    let place = Place::new();
    for (file, line, words) in BAD {
        let path = place.config(file);
        let path = path.to_str().unwrap();
        let said = run(&["check-config", path]);
        let error = text(&said.stderr);
        assert_eq!(said.status.code(), Some(78), "{file}\n{error}");
        assert!(said.stdout.is_empty(), "{file}");
        let place = format!("{path}:{line}:");
        for word in words.iter().chain([&&*place]) {
            assert!(error.contains(word), "{file}\nhas no {word:?}:\n{error}");
        }
    }
}

#[test]
fn f25_the_environment_is_checked_like_a_file() {
    let place = Place::new();
    let path = place.config("");
    for (name, value, words) in [
        ("SLUICE__DATA__LISEN", "x", "did you mean `data.listen`"),
        (
            "SLUICE__NOWHERE",
            "1",
            "environment variable SLUICE__NOWHERE",
        ),
        (
            "SLUICE__DATA__THREADS",
            "many",
            "environment variable SLUICE__DATA__THREADS",
        ),
        (
            "SLUICE__KEEPER__GRACE_MS",
            "5",
            "environment variable SLUICE__KEEPER__GRACE_MS",
        ),
        ("SLUICE__LEDGER__BACKEND", "cql", "ledger.nodes"),
    ] {
        let said = sluice(&["check-config", path.to_str().unwrap()])
            .env(name, value)
            .output()
            .unwrap();
        let error = text(&said.stderr);
        assert_eq!(said.status.code(), Some(78), "{name}: {error}");
        assert!(error.contains(words), "{name}: {error}");
    }
    let good = sluice(&["check-config", path.to_str().unwrap()])
        .env("SLUICE__DATA__LISTEN", "127.0.0.1:18080")
        .env(
            "SLUICE__DATA__CORS_ORIGINS",
            "https://a.example,https://b.example",
        )
        .env("SLUICE__LIMITS__ENABLED", "false")
        .output()
        .unwrap();
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("127.0.0.1:18080"));
}

#[test]
fn f25_serve_refuses_what_check_config_refuses_and_a_missing_redis() {
    let place = Place::new();
    let data = place.data();
    let base = format!("data_dir = \"{}\"\n{QUICK}", data.display());
    let cases = [
        (base.clone(), vec!["hotstate.redis_urls", "is empty"]),
        (
            format!("{base}\n[keepr]\n"),
            vec!["`keepr`", "did you mean `keeper`"],
        ),
    ];
    for (file, words) in cases {
        let path = place.config(&file);
        let said = run(&["serve", "--config", path.to_str().unwrap()]);
        let error = text(&said.stderr);
        assert_eq!(said.status.code(), Some(78), "{error}");
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
    assert!(
        !data.exists(),
        "nothing is made before the configuration is good"
    );
    let missing = run(&["serve", "--config", "/nowhere/sluice.toml"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(text(&missing.stderr).contains("/nowhere/sluice.toml"));
    let file = place.serve_config("redis://127.0.0.1:1");
    let roles = run(&[
        "serve",
        "--config",
        file.to_str().unwrap(),
        "--role",
        "data",
    ]);
    assert_eq!(roles.status.code(), Some(1));
    let said = text(&roles.stderr);
    for words in [
        "--role",
        "data,control,workers",
        "data alone needs the CQL ledger",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn the_shipped_files_are_good() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/");
    for name in ["default.toml", "dev.toml", "storm.toml"] {
        let said = run(&["check-config", &format!("{root}{name}")]);
        assert!(said.status.success(), "{name}: {}", text(&said.stderr));
    }
}

#[test]
fn version_help_and_bad_usage() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let expected = format!("sluice {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&version.stdout), expected);
    let help = run(&["--help"]);
    assert!(help.status.success());
    let help = text(&help.stdout);
    for word in [
        "dev",
        "serve",
        "audit",
        "token",
        "key",
        "lane",
        "explain",
        "check-config",
        "migrate",
        "healthcheck",
        "78",
    ] {
        assert!(help.contains(word), "no {word} in\n{help}");
    }
    assert_eq!(run(&["dvv"]).status.code(), Some(2));
    assert_eq!(run(&["token"]).status.code(), Some(2));
    let place = Place::new();
    let nowhere = place.data();
    let asked = run(&["healthcheck", "--data-dir", nowhere.to_str().unwrap()]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("ready.json"));
    // A mistyped folder is not made.
    for command in [
        &["token", "--user", "ann"][..],
        &["key", "create", "--role", "viewer"],
    ] {
        let located = [command, &["--data-dir", nowhere.to_str().unwrap()]].concat();
        let said = run(&located);
        assert_eq!(said.status.code(), Some(1), "{command:?}");
        assert!(text(&said.stderr).contains("there is no data folder"));
        assert!(!nowhere.exists());
    }
}
