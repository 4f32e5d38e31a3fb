//! A control plane on models, served on a free port.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_checkout::{Checkout, CheckoutSettings};
use sluice_claim::port::NotReady;
use sluice_control::port::{Clock, Gateways, KeeperStatus, LaneOperator, Lowering, OperatorError};
use sluice_control::{
    Control, ControlParts, ControlSettings, KeySpec, bootstrap_admin_key, create_key,
};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use sluice_domain::time::Timestamp;
use sluice_hotstate::{LaneStore, ModelClock, ModelHotState};
use sluice_ledger::api_keys::Role;
use sluice_ledger::lanes::Lanes;
use sluice_ledger::{Ledger, ModelLedger};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::grants::Grantor;
use crate::http::{self, Reply};
use crate::keeper::Keeper;

/// 2026-11-24T06:00:00Z.
pub(crate) const START: i64 = 1_795_500_000_000;

/// Everything a test can look at and turn.
pub(crate) struct World {
    pub address: SocketAddr,
    pub ledger: Arc<ModelLedger>,
    pub hot: ModelHotState,
    pub clock: ModelClock,
    pub keeper: Arc<Keeper>,
    pub gateways: Arc<Caches>,
    pub grantor: Arc<Grantor>,
    pub admin: String,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

/// Counts what gateways were told.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    pub invalidated: Mutex<Vec<CouponId>>,
    /// When above zero, the next so many calls panic.
    pub panics: AtomicUsize,
}

struct ModelTime(ModelClock);

impl Clock for ModelTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Gateways for Caches {
    fn invalidate(&self, coupon: CouponId) {
        let left = self.panics.load(Ordering::SeqCst);
        if left > 0 {
            self.panics.store(left - 1, Ordering::SeqCst);
            panic!("a cache with a defect");
        }
        self.invalidated.lock().unwrap().push(coupon);
    }
}

/// The keeper of all lanes, as the server would adapt it.
pub(crate) struct Operators(pub Arc<Keeper>);

#[async_trait::async_trait]
impl LaneOperator for Operators {
    fn changed(&self, _lane: LaneId, coupon: CouponId) {
        self.0.changed.lock().unwrap().push(coupon);
    }

    fn lost(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        self.0.lost.lock().unwrap().push((lane, epoch, reason));
    }

    async fn lower_total(
        &self,
        lane: LaneId,
        coupon: CouponId,
        target: u64,
    ) -> Result<Lowering, OperatorError> {
        self.0.lower_total(lane, coupon, target).await
    }

    async fn recover(&self, lane: LaneId, accept_ledger: bool) -> Result<(), OperatorError> {
        if lane == LaneId(1) && !accept_ledger {
            let reason = "it is halted; accept the ledger to leave that".to_owned();
            return Err(OperatorError::Refused { lane, reason });
        }
        self.0.recover(lane).await;
        Ok(())
    }

    async fn release(&self, lane: LaneId) -> Result<(), OperatorError> {
        if lane != LaneId(3) {
            return Ok(());
        }
        let reason = "another process keeps it".to_owned();
        Err(OperatorError::Unavailable { lane, reason })
    }

    fn status(&self, lane: LaneId) -> Option<KeeperStatus> {
        (lane == LaneId(0)).then(|| KeeperStatus {
            phase: "serving".to_owned(),
            detail: String::new(),
        })
    }
}

/// Settings with the waits of a test.
pub(crate) fn quick() -> ControlSettings {
    ControlSettings {
        publish_deadline: Duration::from_millis(300),
        lane_call_timeout: Duration::from_millis(100),
        retry_pause_min: Duration::from_millis(10),
        retry_pause_max: Duration::from_millis(50),
        key_cache_ttl: Duration::from_millis(50),
        audit_round_pause: Duration::from_millis(1),
        lowering_timeout: Duration::from_secs(2),
        grants_timeout: Duration::from_millis(500),
        ..ControlSettings::default()
    }
}

impl World {
    /// A world whose lanes are open.
    pub(crate) async fn open() -> Self {
        let world = Self::with(quick()).await;
        world.keeper.open_all().await;
        world
    }

    /// A world whose lanes nobody has opened yet.
    pub(crate) async fn with(settings: ControlSettings) -> Self {
        let lanes = LaneCount::new(4).unwrap();
        let clock = ModelClock::new(Timestamp::from_millis(START));
        let ledger = Arc::new(ModelLedger::new(lanes));
        let hot = ModelHotState::new(lanes, clock.clone());
        Self::over(ledger, hot, clock, settings).await
    }

    /// A control plane over stores that exist, as after a restart.
    pub(crate) async fn over(
        ledger: Arc<ModelLedger>,
        hot: ModelHotState,
        clock: ModelClock,
        settings: ControlSettings,
    ) -> Self {
        let keeper = Arc::new(Keeper::new(ledger.clone(), hot.clone(), clock.clone()));
        let gateways = Arc::new(Caches::default());
        let grantor = Arc::new(Grantor::default());
        let keys = HashKeys::derive(&ledger.identity().hash_key);
        let shared_ledger: Arc<dyn Ledger> = ledger.clone();
        let parts = ControlParts {
            ledger: ledger.clone(),
            lanes_store: Arc::new(hot.clone()) as Arc<dyn LaneStore>,
            checkout: Checkout::new(shared_ledger, keys.clone(), CheckoutSettings::default()),
            granter: grantor.clone(),
            keys,
            gateways: gateways.clone(),
            lane_operator: Arc::new(Operators(keeper.clone())),
            clock: Arc::new(ModelTime(clock.clone())),
        };
        let shared: &dyn Ledger = ledger.as_ref();
        let admin = bootstrap_admin_key(shared, clock.now()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let control = Control::new(parts, settings);
        let served = tokio::spawn(control.serve(listener, async {
            let _dropped_is_stopped_too = stopped.await;
        }));
        Self {
            address,
            ledger,
            hot,
            clock,
            keeper,
            gateways,
            grantor,
            admin: admin.reveal(),
            stop: Some(stop),
            served: Some(served),
        }
    }

    /// Stops serving and waits until that is done.
    pub(crate) async fn stop(&mut self) {
        if let (Some(stop), Some(served)) = (self.stop.take(), self.served.take()) {
            let _already_gone = stop.send(());
            served.await.unwrap();
        }
    }

    /// A key with a role.
    pub(crate) async fn key(&self, role: Role) -> String {
        let spec = KeySpec {
            label: format!("{role:?}"),
            role: Some(role),
            scopes: Vec::new(),
            expires_at: None,
        };
        let ledger: &dyn Ledger = self.ledger.as_ref();
        let text = create_key(ledger, spec, self.clock.now()).await.unwrap();
        text.reveal()
    }

    /// A call of the admin with more headers.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let authorization = format!("Bearer {}", self.admin);
        let mut all = vec![("authorization", authorization.as_str())];
        if !body.is_empty() {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        http::send(self.address, method, path, &all, body).await
    }

    /// A GET of the admin.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], b"").await
    }

    /// A POST of the admin.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.call("POST", path, &[], &bytes).await
    }

    /// A PATCH of the admin, against an `ETag`.
    pub(crate) async fn patch(&self, path: &str, etag: &str, body: Value) -> Reply {
        let headers = [("if-match", etag)];
        self.call("PATCH", path, &headers, body.to_string().as_bytes())
            .await
    }

    /// A draft made over the API; its path.
    pub(crate) async fn draft(&self, body: Value) -> String {
        let reply = self.post("/admin/v1/coupons", body).await;
        reply.expect(201);
        reply.header("location").unwrap().to_owned()
    }

    /// A published coupon; its path and id.
    pub(crate) async fn published(&self, total: Value) -> (String, CouponId) {
        let mut body = minimal();
        body["limits"]["total"] = total;
        let path = self.draft(body).await;
        let reply = self.post(&format!("{path}/publish"), Value::Null).await;
        let id = reply.expect(200)["id"].as_str().unwrap().parse().unwrap();
        (path, id)
    }
}

/// The least that makes a coupon.
pub(crate) fn minimal() -> Value {
    json!({
        "name": "Five off",
        "currency": "USD",
        "benefit": {"type": "fixed", "off": "5.00"},
        "limits": {"total": 100},
    })
}

/// Waits until something holds, for at most five seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !holds().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
