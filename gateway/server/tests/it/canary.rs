//! No secret and nobody's name is in the logs.

use serde_json::{Value, json};

use crate::http::{call, wait_for};
use crate::process::{Place, QUICK, redis_children, signal};

#[test]
fn no_token_pass_key_or_user_is_logged() {
    let place = Place::new();
    let loud = QUICK.replace("[data]", "[data]\naccess_log_one_in = 1")
        + "\n[log]\nformat = \"json\"\nfilter = \"debug\"\n";
    let server = place.dev_with(&loud);
    server.wait_ready();
    let user = "canary-user-7f3a";
    let token = place.token(user);
    let bearer = format!("Bearer {token}");
    let pass = call(
        server.url("data"),
        "POST",
        "/v1/passes",
        &[("authorization", &bearer)],
        "",
    )
    .unwrap();
    let pass = pass.json()["pass"].as_str().unwrap().to_owned();
    let coupon = server.sale(&json!({"limits": {"total": 5, "per_user": 2}}));
    let key = "canary-idempotency-key";
    for secret in [&token, &pass] {
        let said = wait_for("a claim to be decided", 30, || {
            let key = [("idempotency-key", key)];
            let said = server.try_claim(&coupon, secret, &key).unwrap();
            (said.status != 503).then_some(said)
        });
        assert!(said.status < 300, "{said:?}");
        // Wrong in the last letters: a token that is refused is a secret as well.
        let broken = format!("{}zz", &secret[..secret.len() - 2]);
        assert_eq!(server.claim(&coupon, &broken).status, 401);
    }
    let path = format!("/v1/coupons/{coupon}/claims?token={token}");
    call(server.url("data"), "POST", &path, &[], "").unwrap();
    call(
        server.url("control"),
        "GET",
        "/admin/v1/coupons",
        &[("authorization", "Bearer canary-wrong-key")],
        "",
    )
    .unwrap();
    server.admin(
        "GET",
        &format!("/admin/v1/coupons/{coupon}/claims"),
        &Value::Null,
    );
    signal(redis_children(server.pid())[0], "KILL");
    server.claim(&coupon, &token);
    server.wait_ready();
    let secrets = [
        user,
        &token[..token.len() - 2],
        &pass[..pass.len() - 2],
        server.admin_key(),
        "canary-wrong-key",
        key,
    ];
    let log = server.log();
    assert!(log.lines().count() > 20, "there is something to look at");
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}
