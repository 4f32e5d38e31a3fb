//! What the caller of a history knows of one coupon: in the place of the ledger.

use std::collections::BTreeSet;
use std::sync::Arc;

use sluice_domain::claim::{ClaimRow, Durability};
use sluice_domain::coupon::{ClaimLimits, ClaimWindow, Lifecycle};
use sluice_domain::id::{CouponId, LeaseNumber, SubjectHash, Ticket, UserId};
use sluice_domain::published::{Published, PublishedVersion};
use sluice_domain::time::Timestamp;

use crate::conformance::fixture::{published, row, subject};
use crate::conformance::op::RowPick;
use crate::lane_store::Retire;

/// One coupon.
#[derive(Debug)]
pub(super) struct Book {
    /// Every revision, the newest last.
    revisions: Vec<Arc<Published>>,
    pub(super) retired: bool,
    pub(super) last_lease: LeaseNumber,
    next_ticket: u64,
    attempt: u64,
    users: BTreeSet<UserId>,
    devices: BTreeSet<SubjectHash>,
    addresses: BTreeSet<SubjectHash>,
}

impl Book {
    pub(super) fn new(coupon: CouponId, limits: ClaimLimits) -> Self {
        Self {
            revisions: vec![Arc::new(published(coupon, limits))],
            retired: false,
            last_lease: LeaseNumber(0),
            next_ticket: 1,
            attempt: 0,
            users: BTreeSet::new(),
            devices: BTreeSet::new(),
            addresses: BTreeSet::new(),
        }
    }

    pub(super) fn latest(&self) -> Arc<Published> {
        Arc::clone(&self.revisions[self.revisions.len() - 1])
    }

    /// 1 is the first revision, all else the newest.
    pub(super) fn definition(&self, which: u8) -> Arc<Published> {
        match which {
            1 => Arc::clone(&self.revisions[0]),
            _ => self.latest(),
        }
    }

    /// A change: 0 of the terms, 1 of stock only; 2 the newest again, 3 the first again.
    pub(super) fn revise(
        &mut self,
        change: u8,
        (life, window, limits): (u8, u8, u8),
        now: Timestamp,
    ) -> Arc<Published> {
        let mut next = Published::clone(&self.latest());
        next.revision = next.revision.next();
        match change {
            0 => {
                next.terms_revision = next.revision;
                next.version = next.version.next();
                next.lifecycle = lifecycle(life);
                next.window = claim_window(window, now);
                next.limits = other_limits(&next, limits);
                next.durability = if next.version.0.is_multiple_of(3) {
                    Durability::Hot
                } else {
                    Durability::Ledger
                };
                next.versions.push(PublishedVersion {
                    version: next.version,
                    validity: next.terms.validity.clone(),
                    durability: next.durability,
                });
            }
            1 => next.limits.total = next.limits.total.map(|total| total + 1),
            2 => return self.latest(),
            _ => return self.definition(1),
        }
        self.revisions.push(Arc::new(next));
        self.latest()
    }

    /// The number and first ticket of a lease: 0 the next, 1 the last again, 2 one left out.
    pub(super) fn lease(&mut self, number: u8, size: u8) -> (LeaseNumber, Ticket) {
        let first = Ticket(self.next_ticket);
        self.next_ticket += u64::from(size);
        if number != 1 {
            self.last_lease = LeaseNumber(self.last_lease.0 + 1 + u32::from(number) / 2);
        }
        (self.last_lease, first)
    }

    pub(super) fn retire(&mut self, only: u8, raise: bool, seq: u64) -> Retire {
        if raise {
            self.last_lease = self.last_lease.next();
        }
        let only = u32::from(only)
            .checked_sub(1)
            .map(|back| LeaseNumber(self.last_lease.0.saturating_sub(back).max(1)));
        Retire {
            coupon: self.latest().id,
            only,
            last: self.last_lease,
            seq,
        }
    }

    /// The attempt of a begin: 0 a new one, 1 the one before the running, 2 the running again.
    pub(super) fn begin(&mut self, which: u8) -> u64 {
        match which {
            0 => self.attempt += 1,
            1 => return self.attempt.saturating_sub(1),
            _ => {}
        }
        self.users.clear();
        self.devices.clear();
        self.addresses.clear();
        self.attempt
    }

    /// The attempt of a later step: 0 the running one, 1 an older, 2 a later.
    pub(super) const fn attempt(&self, which: u8) -> u64 {
        match which {
            0 => self.attempt,
            1 => self.attempt.saturating_sub(1),
            _ => self.attempt + 1,
        }
    }

    /// Rows of the ledger, each claim once, and what they add to the counts.
    pub(super) fn fill(&mut self, picks: &[RowPick]) -> Vec<ClaimRow> {
        let latest = self.latest();
        let mut rows: Vec<ClaimRow> = Vec::new();
        for pick in picks {
            let key = if latest.limits.per_user == 1 {
                0
            } else {
                pick.key
            };
            let mut next = row(latest.id, pick.user, key);
            next.device = (pick.device > 0).then(|| subject(pick.device));
            next.address = (pick.address > 0).then(|| subject(pick.address));
            next.revoked = pick.revoked;
            if rows.iter().all(|row| row.claim_id != next.claim_id) {
                rows.push(next);
            }
        }
        let filled = self.users.clone();
        for row in &rows {
            if !filled.contains(&row.user) {
                self.users.insert(row.user);
                self.devices.extend(row.device);
                self.addresses.extend(row.address);
            }
        }
        rows
    }

    /// The numbers of users, devices and addresses filled in; `wrong` adds one user.
    pub(super) fn counts(&self, wrong: bool) -> [u64; 3] {
        [
            self.users.len() as u64 + u64::from(wrong),
            self.devices.len() as u64,
            self.addresses.len() as u64,
        ]
    }
}

const fn lifecycle(life: u8) -> Lifecycle {
    match life {
        0 => Lifecycle::Live,
        1 => Lifecycle::Paused,
        2 => Lifecycle::Ended,
        _ => Lifecycle::Archived,
    }
}

const fn claim_window(window: u8, now: Timestamp) -> ClaimWindow {
    let (starts_at, ends_at) = match window {
        0 => (None, None),
        1 => (Some(now.plus_millis(60_000)), None),
        2 => (None, Some(now)),
        _ => (Some(now), Some(now.plus_millis(60_000))),
    };
    ClaimWindow { starts_at, ends_at }
}

/// The form is fixed when a coupon is first published, so one stays one.
fn other_limits(published: &Published, limits: u8) -> ClaimLimits {
    let single = published.limits.per_user == 1;
    ClaimLimits {
        per_user: if single { 1 } else { 2 + u16::from(limits / 2) },
        per_device: (limits % 2 == u8::from(single)).then_some(2),
        per_address: (limits / 2 == u8::from(single)).then_some(3),
        ..published.limits
    }
}
