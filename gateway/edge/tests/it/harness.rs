//! A server with a fake engine, keys in a folder of its own, a clock that stands still, and a
//! client that sends exactly the bytes it is told to.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use sluice_claim::outcome::{
    ClaimOutcome, ClaimView, CouponLookup, LookupOutcome, Refusal, Unavailable,
};
use sluice_domain::claim::{ClaimStatus, Durability};
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::{ClaimId, CouponId, OrderId, UserId, Version};
use sluice_domain::reason::{Reason, ReasonCode};
use sluice_domain::time::Timestamp;
use sluice_edge::claims::Claims;
use sluice_edge::identity::sign::{DevKeyFiles, DevSigner, generate_dev_keys};
use sluice_edge::identity::{Identity, IdentitySettings};
use sluice_edge::limits::slice::QuotaSource;
use sluice_edge::server::{Drained, Edge, EdgeParts};
use sluice_edge::settings::EdgeSettings;
use sluice_ledger::causes::Causes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

pub(crate) use super::client::{Answer, Client};
use super::till::{FakeKeys, Till};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "sluice";
/// The clock's start, in seconds.
pub(crate) const NOW_S: u64 = 1_800_000_000;

/// What a coupon of the fake does.
pub(crate) const GRANTS: CouponId = CouponId(1);
pub(crate) const SOLD_OUT: CouponId = CouponId(2);
pub(crate) const PANICS: CouponId = CouponId(3);
pub(crate) const PENDING: CouponId = CouponId(4);
pub(crate) const UNKNOWN_OUTCOME: CouponId = CouponId(5);
pub(crate) const NOT_STARTED: CouponId = CouponId(6);
pub(crate) const WAITS: CouponId = CouponId(7);
pub(crate) const NOT_ELIGIBLE: CouponId = CouponId(8);

/// The fake engine.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<FakeState>);

#[derive(Default)]
pub(crate) struct FakeState {
    claimed: Mutex<HashSet<ClaimId>>,
    pub(crate) calls: AtomicUsize,
    pub(crate) last_address: Mutex<Option<IpAddr>>,
    pub(crate) last_key: Mutex<Option<String>>,
    pub(crate) last_shopper: Mutex<Option<Shopper>>,
    /// Rings when a claim of [`WAITS`] has begun.
    pub(crate) begun: Notify,
    /// Lets one claim of [`WAITS`] go on.
    pub(crate) release: Notify,
    /// The ledger that claims by code are granted in, and found in.
    pub(crate) till: OnceLock<Till>,
    pub(crate) claims_by_code: AtomicUsize,
    /// What the next claims by code end in, instead of a grant.
    pub(crate) by_code: Mutex<Option<ClaimOutcome>>,
    /// What the next grants end in, instead of a grant.
    pub(crate) by_grant: Mutex<Option<ClaimOutcome>>,
    /// Whether grants are carried out and their answers lost.
    pub(crate) lose_grants: AtomicBool,
    /// An order that is cancelled while the next grant is under way.
    pub(crate) cancels_meanwhile: Mutex<Option<OrderId>>,
    /// Whether look-ups are not answered: hot state is away.
    pub(crate) away: AtomicBool,
}

pub(crate) fn view(coupon: CouponId, user: UserId) -> ClaimView {
    let mut hash = [0; 12];
    let name = user.as_bytes();
    let length = name.len().min(12);
    hash[..length].copy_from_slice(&name[..length]);
    ClaimView {
        claim_id: ClaimId::new(coupon, hash),
        coupon,
        user,
        version: Version(3),
        durability: Durability::Ledger,
        granted_at: Timestamp::from_millis(1_800_000_000_120),
        valid_from: Timestamp::from_millis(1_800_000_000_120),
        expires_at: Some(Timestamp::from_millis(1_800_604_800_000)),
        status: ClaimStatus::Usable,
    }
}

impl Claims for Fake {
    async fn claim(
        &self,
        coupon: CouponId,
        shopper: &Shopper,
        address: IpAddr,
        key: Option<&str>,
    ) -> ClaimOutcome {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        *self.0.last_address.lock().unwrap() = Some(address);
        *self.0.last_key.lock().unwrap() = key.map(str::to_owned);
        *self.0.last_shopper.lock().unwrap() = Some(shopper.clone());
        let view = view(coupon, shopper.user);
        match coupon {
            SOLD_OUT => ClaimOutcome::Refused(Refusal::of(ReasonCode::SoldOut)),
            PANICS => panic!("the fake was told to"),
            PENDING => ClaimOutcome::Pending(view.claim_id),
            UNKNOWN_OUTCOME => ClaimOutcome::Unavailable(Unavailable::unknown(2_000)),
            NOT_STARTED => ClaimOutcome::Refused(Refusal {
                starts_at: Some(Timestamp::from_millis(1_800_000_060_000)),
                ..Refusal::of(ReasonCode::NotStarted)
            }),
            NOT_ELIGIBLE => ClaimOutcome::Refused(Refusal {
                reasons: vec![Reason {
                    code: ReasonCode::NotEligible,
                    condition: "users".into(),
                    expected: "a member of \"vip\"".to_owned(),
                    actual: "a member of none".to_owned(),
                    gap: None,
                    fix: None,
                    terms_version: Version(3),
                }],
                ..Refusal::of(ReasonCode::NotEligible)
            }),
            GRANTS | WAITS => {
                if coupon == WAITS {
                    self.0.begun.notify_one();
                    self.0.release.notified().await;
                }
                if self.0.claimed.lock().unwrap().insert(view.claim_id) {
                    ClaimOutcome::Granted(view)
                } else {
                    ClaimOutcome::Replayed(view)
                }
            }
            _ => ClaimOutcome::Refused(Refusal::of(ReasonCode::NotFound)),
        }
    }

    async fn claim_by_code(
        &self,
        coupon: CouponId,
        shopper: &Shopper,
        _address: IpAddr,
        key: Option<&str>,
    ) -> ClaimOutcome {
        self.0.claims_by_code.fetch_add(1, Ordering::SeqCst);
        if let Some(outcome) = self.0.by_code.lock().unwrap().clone() {
            return outcome;
        }
        let till = self.0.till.get().unwrap();
        let (view, new) = till.grant_by_code(coupon, shopper.user, key.unwrap()).await;
        if new {
            ClaimOutcome::Granted(view)
        } else {
            ClaimOutcome::Replayed(view)
        }
    }

    async fn grant(&self, coupon: CouponId, user: &UserId, key: &str) -> ClaimOutcome {
        if let Some(outcome) = self.0.by_grant.lock().unwrap().clone() {
            return outcome;
        }
        let till = self.0.till.get().unwrap();
        let (view, new) = till.grant(coupon, *user, key).await;
        let cancelled = self.0.cancels_meanwhile.lock().unwrap().take();
        if let Some(order) = cancelled {
            let now = view.granted_at;
            // Only the first step: the others find no claim yet.
            Causes::cancel_order(&*till.ledger, &order, now)
                .await
                .unwrap();
        }
        if self.0.lose_grants.load(Ordering::SeqCst) {
            return ClaimOutcome::Unavailable(Unavailable::unknown(1_000));
        }
        if new {
            ClaimOutcome::Granted(view)
        } else {
            ClaimOutcome::Replayed(view)
        }
    }

    async fn lookup(&self, claim: ClaimId, user: &UserId) -> LookupOutcome {
        if self.0.away.load(Ordering::SeqCst) {
            let fault = Unavailable::not_applied(ReasonCode::Recovering, 1_000);
            return LookupOutcome::Unavailable(fault);
        }
        if let Some(view) = self.0.till.get().unwrap().find(claim, user).await {
            return LookupOutcome::Found(view);
        }
        let view = view(claim.coupon(), *user);
        if view.claim_id == claim && self.0.claimed.lock().unwrap().contains(&claim) {
            LookupOutcome::Found(view)
        } else {
            LookupOutcome::NotFound
        }
    }

    async fn coupon(&self, _coupon: CouponId) -> CouponLookup {
        CouponLookup::NotFound
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Arc<FakeState>,
    pub(crate) signer: DevSigner,
    pub(crate) keys: DevKeyFiles,
    pub(crate) identity: Arc<Identity>,
    clock_ms: Arc<AtomicI64>,
    /// What checkout works on.
    pub(crate) till: Till,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Drained>,
    folder: tempfile::TempDir,
}

/// Settings in which no test meets a limit by accident.
pub(crate) fn settings() -> EdgeSettings {
    let mut settings = EdgeSettings::default();
    settings.limits.enabled = false;
    settings.access_log_one_in = 1;
    settings
}

pub(crate) fn signer_of(keys: &DevKeyFiles) -> DevSigner {
    DevSigner::from_file(&keys.token_key, ISSUER, AUDIENCE)
        .unwrap()
        .with_pass_keys(&keys.pass_keys)
        .unwrap()
}

pub(crate) fn shopper(user: &str) -> Shopper {
    Shopper {
        user: UserId::new(user).unwrap(),
        groups: [].into(),
        is_new: None,
        verified: [].into(),
        device: None,
    }
}

impl Server {
    pub(crate) async fn start(settings: EdgeSettings) -> Self {
        Self::start_with(settings, None, |identity| identity).await
    }

    pub(crate) async fn start_with(
        settings: EdgeSettings,
        quota: Option<Arc<dyn QuotaSource>>,
        change: impl FnOnce(IdentitySettings) -> IdentitySettings,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = generate_dev_keys(folder.path()).unwrap();
        let identity_settings = change(IdentitySettings::new(
            ISSUER,
            AUDIENCE,
            keys.jwks.clone(),
            keys.pass_keys.clone(),
        ));
        let now_ms = i64::try_from(NOW_S * 1_000).unwrap();
        let clock_ms = Arc::new(AtomicI64::new(now_ms));
        let clock = {
            let clock_ms = Arc::clone(&clock_ms);
            Arc::new(move || Timestamp::from_millis(clock_ms.load(Ordering::SeqCst)))
        };
        let identity = Arc::new(Identity::open(identity_settings, clock).unwrap());
        let fake = Fake::default();
        let till = Till::start().await;
        let parts = EdgeParts {
            claims: fake.clone(),
            checkout: till.checkout.clone(),
            identity: Arc::clone(&identity),
            service_keys: Arc::new(FakeKeys),
            quota,
        };
        let edge = Edge::new(parts, settings).unwrap();
        fake.0.till.set(till.clone()).ok().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, ended) = oneshot::channel();
        let task = tokio::spawn(edge.serve(listener, async move {
            // A dropped sender is a shutdown too.
            let _either = ended.await;
        }));
        Self {
            address,
            fake: fake.0,
            signer: signer_of(&keys),
            keys,
            identity,
            clock_ms,
            till,
            shutdown: Some(shutdown),
            task,
            folder,
        }
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock_ms.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn token(&self, user: &str) -> String {
        self.signer
            .sign_token(&shopper(user), NOW_S + 86_400)
            .unwrap()
    }

    pub(crate) fn pass(&self, user: &str) -> String {
        self.signer
            .sign_pass(&shopper(user), NOW_S + 3_600)
            .unwrap()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.write(request.as_bytes()).await;
        client.read().await
    }

    /// A claim by a pass.
    pub(crate) async fn claim(&self, coupon: CouponId, user: &str) -> Answer {
        self.send(&claim_request(coupon, &self.pass(user), ""))
            .await
    }

    /// A request with a JSON body (none where it is empty) by any credential.
    pub(crate) async fn call(&self, line: &str, credential: &str, body: &str) -> Answer {
        self.call_with(line, credential, "", body).await
    }

    /// The same with more header lines, each with its line end.
    pub(crate) async fn call_with(
        &self,
        line: &str,
        credential: &str,
        more: &str,
        body: &str,
    ) -> Answer {
        let length = body.len();
        self.send(&format!(
            "{line} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {credential}\r\n{more}\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    pub(crate) fn shut_down(&mut self) {
        drop(self.shutdown.take());
    }

    pub(crate) async fn drained(self) -> Drained {
        self.task.await.unwrap()
    }
}

/// A claim request; `more` are header lines, each with its line end.
pub(crate) fn claim_request(coupon: CouponId, credential: &str, more: &str) -> String {
    format!(
        "POST /v1/coupons/{coupon}/claims HTTP/1.1\r\nHost: t\r\n\
         Authorization: Bearer {credential}\r\n{more}Content-Length: 0\r\n\r\n"
    )
}
