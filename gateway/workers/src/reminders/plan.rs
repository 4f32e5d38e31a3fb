//! What there is to look at of one coupon, and when next.

use sluice_domain::id::Version;
use sluice_domain::reminder;
use sluice_domain::terms::Validity;
use sluice_domain::time::Timestamp;
use sluice_ledger::coupons::VersionRow;

/// The versions of a coupon whose claims expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The coupon's version when this was made: versions never change, new ones come.
    pub(super) latest: Version,
    /// One for each version and lead.
    pub(super) versions: Vec<PlannedVersion>,
}

/// One version, for one lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedVersion {
    pub(super) version: Version,
    pub(super) lead_ms: u64,
    pub(super) validity: Validity,
    pub(super) uses_per_claim: u32,
    /// Before this instant nothing of it can be due.
    pub(super) next_look: Timestamp,
}

// === impl Plan ===

impl Plan {
    /// The plan of a coupon with these versions; what is known of them from `before` stays known.
    pub(super) fn of(
        latest: Version,
        versions: &[VersionRow],
        leads: &[u64],
        before: Option<Self>,
        now: Timestamp,
    ) -> Self {
        let known = before.map(|plan| plan.versions).unwrap_or_default();
        let mut planned = Vec::new();
        for row in versions {
            let validity = &row.published.validity;
            // At one fixed end that is over, no claim can be due any more.
            let is_over = matches!(validity, Validity::Fixed { ends_at, .. } if *ends_at <= now);
            if is_over || *validity == Validity::Permanent {
                continue;
            }
            for lead_ms in leads {
                let same =
                    |one: &&PlannedVersion| one.version == row.version && one.lead_ms == *lead_ms;
                let known = known.iter().find(same).map(|one| one.next_look);
                planned.push(PlannedVersion {
                    version: row.version,
                    lead_ms: *lead_ms,
                    validity: validity.clone(),
                    uses_per_claim: row.terms.uses_per_claim,
                    next_look: known.unwrap_or(Timestamp::MIN),
                });
            }
        }
        Self {
            latest,
            versions: planned,
        }
    }
}

// === impl PlannedVersion ===

impl PlannedVersion {
    /// All claims that there are were dealt with: the next to be due is one that is granted from
    /// `now` on, or one that was granted shortly before and is no row yet.
    pub(super) fn rest(&mut self, now: Timestamp) {
        /// How far behind its grant a row may be; a ledger that was away for longer costs a reminder
        /// as much delay as that, not the reminder.
        const ROW_BEHIND_MS: i64 = 600_000;
        if matches!(self.validity, Validity::Fixed { ends_at, .. } if ends_at <= now) {
            self.next_look = Timestamp::MAX;
            return;
        }
        let earliest = now.plus_millis(-ROW_BEHIND_MS);
        let due_at = reminder::due_at(&self.validity, earliest, self.lead_ms);
        self.next_look = due_at.unwrap_or(Timestamp::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_domain::terms::RelativeEnd;

    const DAY_MS: u64 = 86_400_000;
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn rested(days: u16, lead_ms: u64) -> Timestamp {
        let mut version = PlannedVersion {
            version: Version(1),
            lead_ms,
            validity: Validity::Relative {
                days,
                until: RelativeEnd::Minute,
                zone: "UTC".to_owned(),
            },
            uses_per_claim: 1,
            next_look: Timestamp::MIN,
        };
        version.rest(NOW);
        version.next_look
    }

    #[test]
    fn a_version_rests_until_its_next_claim_can_be_due() {
        let four_days = NOW.plus_millis(4 * 86_400_000);
        let next = rested(7, 3 * DAY_MS);
        assert!(next < four_days && four_days.millis_since(next) < 700_000);
        assert!(rested(3, 4 * DAY_MS) < NOW, "due at once: each round looks");
    }
}
