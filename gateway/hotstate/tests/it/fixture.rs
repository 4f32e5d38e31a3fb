//! A lane on a server of its own, and short words for what tests do to it.

use std::sync::Arc;
use std::time::Duration;

use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimReply, ClaimRequest, ClaimStore, StoreError,
};
use sluice_domain::claim::{ClaimForm, ClaimRow, Durability, GrantBatch, GrantRecord};
use sluice_domain::coupon::{ClaimLimits, ClaimWindow, Distribution, Lifecycle};
use sluice_domain::id::{
    ClaimId, CouponId, CouponNumber, EntryNumber, Epoch, KeeperNumber, LaneId, LeaseNumber,
    LedgerId, Revision, SubjectHash, Ticket, UserId, Version,
};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::published::{PUBLISHED_FORMAT, Published, PublishedVersion};
use sluice_domain::terms::{
    Benefit, BudgetPartial, Conditions, Currency, Stacking, Terms, Validity,
};
use sluice_domain::time::Timestamp;
use sluice_hotstate::lane_store::{
    Fenced, HydrateBegin, Hydration, LeaseInstall, LeaseInstalled, OutboxEntry,
};
use sluice_hotstate::testing::RedisServer;
use sluice_hotstate::{LaneStore, RedisHotState, RedisSettings};

pub(super) const LANE: LaneId = LaneId(0);
pub(super) const COUPON: CouponId = CouponId(0x0102_0304);
pub(super) const LEDGER: LedgerId = LedgerId([9; 16]);
pub(super) const FAR: Timestamp = Timestamp::MAX;

/// A server, a store on it, and the fence of the keeper in charge.
pub(super) struct Stage {
    pub(super) server: RedisServer,
    pub(super) store: Arc<RedisHotState>,
    pub(super) fence: LaneFence,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// A server with an empty lane store on it.
    pub(super) async fn bare(change: impl FnOnce(&mut RedisSettings)) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("slr")
            .tempdir_in("/tmp")
            .unwrap();
        let server = RedisServer::start(dir.path()).await.unwrap();
        let mut settings = RedisSettings::new(vec![server.url()]);
        settings.opens_delay = Duration::ZERO;
        // A loaded machine is no failure here; tests of timeouts set their own.
        settings.connect_timeout = Duration::from_secs(5);
        settings.claim_timeout = Duration::from_secs(5);
        settings.response_timeout = Duration::from_secs(5);
        change(&mut settings);
        let store = RedisHotState::connect(settings, LaneCount::new(1).unwrap()).unwrap();
        let fence = LaneFence {
            lane: LANE,
            epoch: Epoch(1),
            keeper: KeeperNumber(1),
        };
        Self {
            server,
            store,
            fence,
            _dir: dir,
        }
    }

    /// An open lane that knows and has hydrated one coupon, with one lease of `tickets`.
    pub(super) async fn serving(published: &Published, tickets: u32) -> Self {
        let stage = Self::bare(|_settings| {}).await;
        stage.open(published).await;
        if tickets > 0 {
            stage.lease(1, tickets).await;
        }
        stage
    }

    /// Fences, installs, opens and hydrates.
    pub(super) async fn open(&self, published: &Published) {
        ok(self.store.fence(self.fence, LEDGER).await);
        self.store
            .install(LANE, self.fence.epoch, published)
            .await
            .unwrap();
        ok(self
            .store
            .open(self.fence, FAR, &[published.id], &[], 1, None)
            .await);
        self.store.learn_epoch(LANE, self.fence.epoch);
        self.hydrate(published, &[]).await;
    }

    pub(super) async fn hydrate(&self, published: &Published, rows: &[ClaimRow]) {
        let begin = HydrateBegin {
            published: Arc::new(published.clone()),
            last_lease: LeaseNumber(0),
            seq: 1,
        };
        let coupon = published.id;
        assert_eq!(
            ok(self.store.hydrate_begin(self.fence, &begin, 1).await),
            Hydration::Done
        );
        if !rows.is_empty() {
            let filled = self.store.hydrate_claims(self.fence, coupon, 1, rows).await;
            assert_eq!(ok(filled), Hydration::Done);
        }
        let counts = counts(rows);
        let [users, devices, addresses] = counts;
        let finished = self
            .store
            .hydrate_finish(self.fence, coupon, 1, users, devices, addresses)
            .await;
        assert_eq!(ok(finished), Hydration::Done);
    }

    /// Puts lease `number` on the list; its tickets begin at number * 1,000.
    pub(super) async fn lease(&self, number: u32, size: u32) {
        let installed = self
            .store
            .install_lease(self.fence, lease(number, size))
            .await;
        assert_eq!(ok(installed), LeaseInstalled::Listed);
    }

    pub(super) async fn claim(&self, request: ClaimRequest) -> ClaimAnswer {
        self.claims(vec![request]).await.answers[0]
    }

    pub(super) async fn claims(&self, requests: Vec<ClaimRequest>) -> ClaimReply {
        self.store.decide(call(requests)).await.unwrap()
    }

    pub(super) async fn claim_error(&self, request: ClaimRequest) -> StoreError {
        self.store.decide(call(vec![request])).await.unwrap_err()
    }

    pub(super) async fn outbox(&self, after: u64) -> Vec<GrantBatch> {
        let read = self
            .store
            .read_outbox(LANE, self.fence.epoch, EntryNumber(after), 1_000)
            .await;
        let batch = |entry| match entry {
            OutboxEntry::Batch(batch) => batch,
            OutboxEntry::Unreadable { reason, .. } => panic!("unreadable: {reason}"),
        };
        read.unwrap().into_iter().map(batch).collect()
    }

    pub(super) async fn redis(&self, parts: &[&str]) -> redis::Value {
        self.server.command(parts).await.unwrap()
    }

    /// Everything that is stored, to see whether anything was written.
    pub(super) async fn digest(&self) -> redis::Value {
        self.redis(&["DEBUG", "DIGEST"]).await
    }
}

pub(super) fn call(requests: Vec<ClaimRequest>) -> ClaimCall {
    ClaimCall {
        lane: LANE,
        coupon: COUPON,
        form: ClaimForm::Single,
        revision: Revision(1),
        requests,
    }
}

/// What a keeper's call did; panics where it was refused.
pub(super) fn ok<T: std::fmt::Debug>(answer: Result<Fenced<T>, StoreError>) -> T {
    match answer {
        Ok(Fenced::Done(done)) => done,
        other => panic!("not done: {other:?}"),
    }
}

pub(super) fn lease(number: u32, size: u32) -> LeaseInstall {
    LeaseInstall {
        coupon: COUPON,
        lease: LeaseNumber(number),
        first: Ticket(u64::from(number) * 1_000),
        size,
        seq: u64::from(number) + 1,
    }
}

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// A claim id that follows from user and key, as the real ones do.
pub(super) fn claim_id(name: &str, key: u8) -> ClaimId {
    let mut hash = [key; 12];
    for (slot, byte) in hash.iter_mut().zip(name.bytes().rev()) {
        *slot ^= byte;
    }
    ClaimId::new(COUPON, hash)
}

pub(super) fn by(name: &str) -> ClaimRequest {
    keyed(name, 0)
}

pub(super) fn keyed(name: &str, key: u8) -> ClaimRequest {
    ClaimRequest {
        user: user(name),
        claim_id: claim_id(name, key),
        device: None,
        address: None,
        replay_only: false,
    }
}

pub(super) fn from(name: &str, device: Option<u8>, address: Option<u8>) -> ClaimRequest {
    ClaimRequest {
        device: device.map(subject),
        address: address.map(subject),
        ..by(name)
    }
}

pub(super) fn subject(byte: u8) -> SubjectHash {
    SubjectHash([byte; 8])
}

pub(super) fn granted(answer: ClaimAnswer) -> GrantRecord {
    match answer {
        ClaimAnswer::Granted(record) => record,
        other => panic!("not granted: {other:?}"),
    }
}

pub(super) fn row(name: &str, device: Option<u8>, address: Option<u8>, ticket: u64) -> ClaimRow {
    ClaimRow {
        claim_id: claim_id(name, 0),
        coupon: COUPON,
        user: user(name),
        lease: LeaseNumber(1),
        ticket: Ticket(ticket),
        revision: Revision(1),
        version: Version(1),
        granted_at: Timestamp::from_millis(1_700_000_000_123),
        durability: Durability::Ledger,
        device: device.map(subject),
        address: address.map(subject),
        revoked: false,
    }
}

/// Distinct users, devices and addresses.
pub(super) fn counts(rows: &[ClaimRow]) -> [u64; 3] {
    use std::collections::HashSet;
    let users: HashSet<_> = rows.iter().map(|row| row.user).collect();
    let devices: HashSet<_> = rows.iter().filter_map(|row| row.device).collect();
    let addresses: HashSet<_> = rows.iter().filter_map(|row| row.address).collect();
    [users.len(), devices.len(), addresses.len()].map(|count| count as u64)
}

/// A live coupon with a limit of one per user.
pub(super) fn published() -> Published {
    let validity = Validity::Permanent;
    Published {
        format: PUBLISHED_FORMAT,
        id: COUPON,
        number: CouponNumber(1),
        revision: Revision(1),
        terms_revision: Revision(1),
        version: Version(1),
        lifecycle: Lifecycle::Live,
        first_open_at: Timestamp::MIN,
        window: ClaimWindow::default(),
        limits: ClaimLimits {
            total: Some(1_000),
            per_user: 1,
            per_device: None,
            per_address: None,
        },
        distribution: vec![Distribution::Public],
        shards: 1,
        form: ClaimForm::Single,
        durability: Durability::Ledger,
        terms: Terms {
            name: "Five off".to_owned(),
            description: String::new(),
            currency: Currency(*b"USD"),
            benefit: Benefit::Fixed { off: 500 },
            conditions: Conditions::default(),
            stacking: Stacking::default(),
            uses_per_claim: 1,
            uses_per_user: None,
            budget: None,
            budget_partial: BudgetPartial::Refuse,
            validity: validity.clone(),
        },
        versions: vec![PublishedVersion {
            version: Version(1),
            validity,
            durability: Durability::Ledger,
        }],
    }
}

/// The same coupon with other limits.
pub(super) fn limited(
    per_user: u16,
    per_device: Option<u16>,
    per_address: Option<u16>,
) -> Published {
    let mut published = published();
    published.limits.per_user = per_user;
    published.limits.per_device = per_device;
    published.limits.per_address = per_address;
    published.form = published.limits.form();
    published
}

/// The next revision of a coupon.
pub(super) fn revised(published: &Published, change: impl FnOnce(&mut Published)) -> Published {
    let mut next = published.clone();
    next.revision = next.revision.next();
    next.terms_revision = next.revision;
    change(&mut next);
    next
}
