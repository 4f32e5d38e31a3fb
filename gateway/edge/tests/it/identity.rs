//! Tokens and passes: what is accepted, what is not, and keys that change under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::UserId;
use sluice_domain::terms::Verified;
use sluice_edge::identity::sign::{DevSigner, generate_dev_keys};
use sluice_edge::identity::{
    Credential, IdentityError, IdentitySettings, PassKeys, Rejected, TokenAlgorithm,
};

use super::harness::{
    AUDIENCE, GRANTS, ISSUER, NOW_S, SOLD_OUT, Server, claim_request, settings, shopper, signer_of,
};

fn claims() -> serde_json::Value {
    json!({"sub": "ann", "iss": ISSUER, "aud": AUDIENCE, "exp": NOW_S + 60})
}

fn dev_key(server: &Server) -> EncodingKey {
    EncodingKey::from_ed_pem(&std::fs::read(&server.keys.token_key).unwrap()).unwrap()
}

fn kid_of(server: &Server) -> String {
    let set: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&server.keys.jwks).unwrap()).unwrap();
    set["keys"][0]["kid"].as_str().unwrap().to_owned()
}

/// Signed by the true key, with any header and claims.
fn signed(server: &Server, kid: Option<&str>, claims: &serde_json::Value) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, &dev_key(server)).unwrap()
}

fn unsigned(header: &serde_json::Value, claims: &serde_json::Value, signature: &str) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[expect(clippy::too_many_lines, reason = "one table of forged tokens")]
#[tokio::test]
async fn only_tokens_of_the_issuer_are_accepted() {
    let server = Server::start(settings()).await;
    let kid = kid_of(&server);
    let true_token = signed(&server, Some(&kid), &claims());
    let answer = server.send(&claim_request(SOLD_OUT, &true_token, "")).await;
    answer.assert_problem(409, "sold_out");
    // A set with one key needs no kid.
    let answer = server
        .send(&claim_request(
            SOLD_OUT,
            &signed(&server, None, &claims()),
            "",
        ))
        .await;
    answer.assert_problem(409, "sold_out");

    let with = |field: &str, value: serde_json::Value| {
        let mut changed = claims();
        changed[field] = value;
        signed(&server, Some(&kid), &changed)
    };
    let without = |field: &str| {
        let mut changed = claims();
        changed.as_object_mut().unwrap().remove(field);
        signed(&server, Some(&kid), &changed)
    };
    let public = std::fs::read(&server.keys.jwks).unwrap();
    let public: serde_json::Value = serde_json::from_slice(&public).unwrap();
    let public_bytes = URL_SAFE_NO_PAD
        .decode(public["keys"][0]["x"].as_str().unwrap())
        .unwrap();
    let mut hs_header = Header::new(Algorithm::HS256);
    hs_header.kid = Some(kid.clone());
    let hs_with_public_key = jsonwebtoken::encode(
        &hs_header,
        &claims(),
        &EncodingKey::from_secret(&public_bytes),
    )
    .unwrap();
    let other_folder = tempfile::tempdir().unwrap();
    let stranger = signer_of(&generate_dev_keys(other_folder.path()).unwrap());
    let (head, signature) = true_token.rsplit_once('.').unwrap();
    let forged_body = unsigned(
        &json!({"alg": "EdDSA", "kid": kid}),
        &json!({"sub": "bob", "iss": ISSUER, "aud": AUDIENCE, "exp": NOW_S + 60}),
        signature,
    );
    let embedded = json!({"alg": "EdDSA", "kid": kid, "jwk": public["keys"][0],
        "jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/c.pem"});
    let table = [
        ("empty", String::new()),
        ("not a token", "abc".to_owned()),
        ("two parts", "a.b".to_owned()),
        ("none", unsigned(&json!({"alg": "none"}), &claims(), "")),
        (
            "nOnE",
            unsigned(&json!({"alg": "nOnE", "kid": kid}), &claims(), ""),
        ),
        ("HS256 with the public key", hs_with_public_key),
        ("no signature", format!("{head}.")),
        ("another body", forged_body),
        (
            "keys in the header",
            unsigned(&embedded, &claims(), signature),
        ),
        (
            "kid as a path",
            signed(&server, Some("../../jwks.json"), &claims()),
        ),
        ("kid of nobody", signed(&server, Some("nobody"), &claims())),
        (
            "a stranger's key",
            stranger.sign_token(&shopper("ann"), NOW_S + 60).unwrap(),
        ),
        ("no audience", without("aud")),
        ("no issuer", without("iss")),
        ("no expiry", without("exp")),
        ("no subject", without("sub")),
        ("another audience", with("aud", json!("others"))),
        ("another issuer", with("iss", json!("https://evil.test"))),
        ("not yet", with("nbf", json!(NOW_S + 600))),
        ("negative expiry", with("exp", json!(-1))),
        ("expiry as text", with("exp", json!("tomorrow"))),
        ("a subject that moves keys", with("sub", json!("a}b"))),
        ("a subject with a line break", with("sub", json!("a\nb"))),
        ("a long subject", with("sub", json!("a".repeat(65)))),
        ("too many groups", with("groups", json!(vec!["g"; 65]))),
        ("a long device", with("device", json!("d".repeat(129)))),
        ("too large", with("padding", json!("x".repeat(5_000)))),
    ];
    for (name, token) in table {
        let answer = server.send(&claim_request(GRANTS, &token, "")).await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        answer.assert_problem(401, "login_required");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(
        server.fake.last_shopper.lock().unwrap().as_ref(),
        Some(&shopper("ann"))
    );
}

#[tokio::test]
async fn the_authorization_header_is_one_bearer() {
    let server = Server::start(settings()).await;
    let token = server.token("ann");
    for headers in [
        String::new(),
        format!("Authorization: Basic {token}\r\n"),
        format!("Authorization: {token}\r\n"),
        format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
        "Authorization: Bearer \u{e9}\r\n".to_owned(),
    ] {
        let request = format!(
            "POST /v1/coupons/{GRANTS}/claims HTTP/1.1\r\nHost: t\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        server
            .send(&request)
            .await
            .assert_problem(401, "login_required");
    }
}

#[tokio::test]
async fn expiry_has_its_leeway_also_for_remembered_tokens() {
    let server = Server::start(settings()).await;
    let token = server
        .signer
        .sign_token(&shopper("ann"), NOW_S + 60)
        .unwrap();
    let request = claim_request(SOLD_OUT, &token, "");
    server.advance(89);
    server.send(&request).await.assert_problem(409, "sold_out");
    server.advance(1);
    let answer = server.send(&request).await;
    answer.assert_problem(401, "login_required");
    assert_eq!(answer.json()["detail"], "The token or pass has expired.");
}

#[tokio::test]
async fn a_token_buys_a_pass_and_a_pass_buys_none() {
    let server = Server::start(settings()).await;
    let buy = |credential: &str| {
        format!(
            "POST /v1/passes HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {credential}\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    let answer = server.send(&buy(&server.token("ann"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    let pass = json["pass"].as_str().unwrap();
    // The token lives a day; the pass an hour.
    assert_eq!(json["expires_at"], "2027-01-15T09:00:00Z");
    assert_eq!(
        server.send(&claim_request(GRANTS, pass, "")).await.status,
        201
    );
    server
        .send(&buy(pass))
        .await
        .assert_problem(401, "login_required");
    let short = server
        .signer
        .sign_token(&shopper("ann"), NOW_S + 90)
        .unwrap();
    let answer = server.send(&buy(&short)).await;
    assert_eq!(answer.json()["expires_at"], "2027-01-15T08:01:30Z");
    server.advance(3_600);
    server
        .send(&claim_request(GRANTS, pass, ""))
        .await
        .assert_problem(401, "login_required");
}

#[tokio::test]
async fn a_pass_altered_anywhere_is_none() {
    let server = Server::start(settings()).await;
    let mut rich = shopper("ann");
    rich.groups = ["vip".into()].into();
    rich.device = Some("d-1".into());
    let pass = server.signer.sign_pass(&rich, NOW_S + 60).unwrap();
    assert!(server.identity.verify(&pass).is_ok());
    for index in 0..pass.len() {
        for replacement in [b'A', b'B', b'_', b'-', b'.', b' ', b'9'] {
            let mut bytes = pass.clone().into_bytes();
            if bytes[index] == replacement {
                continue;
            }
            bytes[index] = replacement;
            let altered = String::from_utf8(bytes).unwrap();
            assert!(
                server.identity.verify(&altered).is_err(),
                "{index}: {altered}"
            );
        }
        assert!(
            server.identity.verify(&pass[..index]).is_err(),
            "cut at {index}"
        );
    }
    assert!(server.identity.verify(&format!("{pass}A")).is_err());
    assert!(server.identity.verify(&format!("{pass}=")).is_err());
}

#[tokio::test]
async fn keys_rotate_under_load_without_a_failure() {
    let server = Arc::new(Server::start(by_hand()).await);
    let next_folder = server.path("next");
    let next_keys = generate_dev_keys(&next_folder).unwrap();
    let next = Arc::new(signer_of(&next_keys));
    let stop = Arc::new(AtomicBool::new(false));
    let switched = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (server, next) = (Arc::clone(&server), Arc::clone(&next));
            let (stop, switched) = (Arc::clone(&stop), Arc::clone(&switched));
            tokio::spawn(async move {
                let mut connection = server.connect().await;
                let mut sent = 0_u64;
                while !stop.load(Ordering::SeqCst) {
                    let user = shopper(&format!("u{client}-{sent}"));
                    let signer = if switched.load(Ordering::SeqCst) {
                        &*next
                    } else {
                        &server.signer
                    };
                    let credential = if sent.is_multiple_of(2) {
                        signer.sign_pass(&user, NOW_S + 60)
                    } else {
                        signer.sign_token(&user, NOW_S + 60)
                    };
                    let request = claim_request(SOLD_OUT, &credential.unwrap(), "");
                    connection.write(request.as_bytes()).await;
                    connection.read().await.assert_problem(409, "sold_out");
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let (old_set, new_set) = (read(&server.keys.jwks), read(&next_keys.jwks));
    let (old_passes, new_passes) = (read(&server.keys.pass_keys), read(&next_keys.pass_keys));
    let keys_of =
        |set: &str| serde_json::from_str::<serde_json::Value>(set).unwrap()["keys"][0].clone();
    let overlap = json!({"keys": [keys_of(&old_set), keys_of(&new_set)]}).to_string();
    // A broken file in between changes nothing.
    std::fs::write(&server.keys.jwks, "{\"keys\": [").unwrap();
    assert!(server.identity.reload().is_err());
    std::fs::write(&server.keys.jwks, overlap).unwrap();
    std::fs::write(&server.keys.pass_keys, format!("{old_passes}{new_passes}")).unwrap();
    server.identity.reload().unwrap();
    switched.store(true, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    // The overlap ends: the old keys are worth nothing, also for tokens that were remembered.
    let old_token = server.token("ann");
    assert!(server.identity.verify(&old_token).is_ok());
    std::fs::write(&server.keys.jwks, new_set).unwrap();
    std::fs::write(&server.keys.pass_keys, new_passes).unwrap();
    server.identity.reload().unwrap();
    assert_eq!(server.identity.verify(&old_token), Err(Rejected::Invalid));
    assert_eq!(
        server.identity.verify(&server.pass("ann")),
        Err(Rejected::Invalid)
    );
    assert!(
        server
            .identity
            .verify(&next.sign_pass(&shopper("ann"), NOW_S + 60).unwrap())
            .is_ok()
    );
}

#[tokio::test]
async fn changed_files_are_taken_over_by_themselves() {
    let mut settings = settings();
    settings.key_files_interval = std::time::Duration::from_millis(20);
    let server = Server::start(settings).await;
    let next = generate_dev_keys(&server.path("next")).unwrap();
    let token = signer_of(&next)
        .sign_token(&shopper("ann"), NOW_S + 60)
        .unwrap();
    std::fs::copy(&next.jwks, &server.keys.jwks).unwrap();
    let accepted = async {
        while server.identity.verify(&token).is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), accepted)
        .await
        .expect("the file is polled");
}

#[tokio::test]
async fn a_file_that_is_away_or_broken_is_reported_once_and_holds_nothing_back() {
    let server = Server::start(by_hand()).await;
    let next = generate_dev_keys(&server.path("next")).unwrap();
    let signer = signer_of(&next);
    let token = signer.sign_token(&shopper("ann"), NOW_S + 60).unwrap();
    let pass = signer.sign_pass(&shopper("ann"), NOW_S + 60).unwrap();
    std::fs::remove_file(&server.keys.jwks).unwrap();
    std::fs::copy(&next.pass_keys, &server.keys.pass_keys).unwrap();
    let away = server.identity.reload().unwrap_err();
    assert!(away.to_string().contains("cannot be read"), "{away}");
    assert!(server.identity.verify(&server.token("ann")).is_ok());
    server.identity.reload().expect("said before");
    assert!(server.identity.verify(&pass).is_ok(), "the other file's");
    std::fs::write(&server.keys.jwks, "{}").unwrap();
    server.identity.reload().unwrap_err();
    server.identity.reload().expect("said before");
    std::fs::copy(&next.jwks, &server.keys.jwks).unwrap();
    server.identity.reload().unwrap();
    assert!(server.identity.verify(&token).is_ok());
    // Away again and back: nothing has changed, and nothing is lost.
    std::fs::remove_file(&server.keys.jwks).unwrap();
    server.identity.reload().unwrap_err();
    std::fs::copy(&next.jwks, &server.keys.jwks).unwrap();
    server.identity.reload().unwrap();
    assert!(server.identity.verify(&token).is_ok());
}

/// Settings under which key files are read when a test says so, and not besides.
fn by_hand() -> sluice_edge::settings::EdgeSettings {
    let mut settings = settings();
    settings.key_files_interval = std::time::Duration::from_secs(600);
    settings
}

#[test]
fn symmetric_keys_stand_alone() {
    let folder = tempfile::tempdir().unwrap();
    let keys = generate_dev_keys(folder.path()).unwrap();
    let clock = || Arc::new(|| sluice_domain::time::Timestamp::from_millis(1_800_000_000_000));
    let open = |algorithms: Vec<TokenAlgorithm>| {
        let mut settings =
            IdentitySettings::new(ISSUER, AUDIENCE, keys.jwks.clone(), keys.pass_keys.clone());
        settings.algorithms = algorithms;
        sluice_edge::identity::Identity::open(settings, clock())
    };
    assert!(matches!(
        open(vec![TokenAlgorithm::Hs256, TokenAlgorithm::EdDsa]),
        Err(IdentityError::Setting {
            field: "algorithms",
            ..
        })
    ));
    let secret = [7_u8; 32];
    let set = |bytes: &[u8]| {
        json!({"keys": [{"kty": "oct", "kid": "s", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(bytes)}]})
            .to_string()
    };
    std::fs::write(&keys.jwks, set(&secret)).unwrap();
    assert!(open(vec![TokenAlgorithm::EdDsa]).is_err(), "no key fits");
    let identity = open(vec![TokenAlgorithm::Hs256]).unwrap();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("s".to_owned());
    let token =
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
    assert_eq!(identity.verify(&token).unwrap().by, Credential::Token);
    std::fs::write(&keys.jwks, set(b"short")).unwrap();
    assert!(open(vec![TokenAlgorithm::Hs256]).is_err(), "a short secret");
}

#[test]
fn dev_keys_are_for_the_owner_and_stay() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("keys");
    let files = generate_dev_keys(&place).unwrap();
    for file in [&files.token_key, &files.jwks, &files.pass_keys] {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let before = std::fs::read(&files.token_key).unwrap();
    generate_dev_keys(&place).unwrap();
    assert_eq!(std::fs::read(&files.token_key).unwrap(), before);
    assert!(DevSigner::from_pem(b"no key", ISSUER, AUDIENCE).is_err());
}

fn any_shopper() -> impl Strategy<Value = Shopper> {
    let verified = proptest::sample::subsequence(
        vec![Verified::Phone, Verified::Email, Verified::Identity],
        0..=3,
    );
    (
        "[A-Za-z0-9_-]{1,64}",
        proptest::collection::btree_set("\\PC{1,16}", 0..20),
        proptest::option::of(any::<bool>()),
        verified,
        proptest::option::of("\\PC{1,32}"),
    )
        .prop_map(|(user, groups, is_new, verified, device)| Shopper {
            user: UserId::new(&user).unwrap(),
            groups: groups.into_iter().map(String::into_boxed_str).collect(),
            is_new,
            verified: verified.into(),
            device: device.map(Into::into),
        })
}

proptest! {
    #[test]
    fn a_pass_says_what_the_token_said(shopper in any_shopper()) {
        let key = URL_SAFE_NO_PAD.encode([1; 32]);
        let keys = PassKeys::parse(key.as_bytes()).unwrap();
        let caller = keys.verify(&keys.issue(&shopper, 100), 99).unwrap();
        prop_assert_eq!(&caller.shopper, &shopper);
        prop_assert_eq!(caller.expires_at_s, 100);
        prop_assert_eq!(keys.verify(&keys.issue(&shopper, 100), 100), Err(Rejected::Expired));
        let others = PassKeys::parse(URL_SAFE_NO_PAD.encode([2; 32]).as_bytes()).unwrap();
        prop_assert_eq!(others.verify(&keys.issue(&shopper, 100), 99), Err(Rejected::Invalid));
    }

    #[test]
    fn no_text_is_a_pass_by_chance(text in "sp_[A-Za-z0-9_-]{0,300}") {
        let keys = PassKeys::parse(URL_SAFE_NO_PAD.encode([1; 32]).as_bytes()).unwrap();
        prop_assert!(keys.verify(&text, 0).is_err());
    }
}
