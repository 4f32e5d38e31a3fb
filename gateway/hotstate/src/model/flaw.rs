//! Rules of the scripts that the model can break on purpose, for tests that have to notice it.

use super::ModelHotState;

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The prologue does not compare `master_replid`.
    ReplidUnchecked,
    /// The prologue does not look at the server's role.
    RoleUnchecked,
    /// Keepers' scripts compare the epoch alone.
    KeeperUnchecked,
    /// The prologue does not look at `lease_until`.
    LaneLeaseUnchecked,
    /// A fence does not remember the epoch that it ends.
    UnsalvagedForgotten,
    /// A fence lets the old epoch grant until the new one is opened.
    SalvageUnfenced,
    /// A lease is put on the list whatever its number.
    LastLeaseIgnored,
    /// A retirement does not tell the stream's tail.
    TailForgotten,
    /// A mark trims one entry more than it covers.
    TrimmedBeyondMark,
    /// A hydration begins over a coupon that is served.
    HydratedOverServed,
    /// A hydration takes what it finds for what it filled in.
    CountsBelieved,
    /// "Sold out" comes before the search for an old claim.
    ReplayAfterSoldOut,
    /// A call that broke off in the midst of its writes is no loss for the next one.
    TornUnnoticed,
    /// The outbox entry is the last of a grant's writes, and a call that broke off is no loss for the
    /// next one: each of the two rules is enough alone.
    EntryLast,
    /// The ticket is the last of a grant's writes.
    TicketLast,
    /// An older revision replaces a newer one.
    OlderRevisionTaken,
    /// A paused coupon grants, also to whoever has an older definition: each of the two rules is
    /// enough alone.
    PauseIgnored,
    /// The claims that a user holds are not counted.
    UserLimitIgnored,
}

/// Where a script that grants breaks off, as by a defect in it: what was written stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// After the first of its four writes (the ticket, the entry, the users, and that it ended).
    AfterFirst,
    /// After the second.
    AfterSecond,
    /// After the third.
    AfterThird,
}

impl ModelHotState {
    /// From here on this server breaks a rule, or (`None`) none.
    pub fn set_flaw(&self, flaw: Option<Flaw>) {
        self.shared().world.flaw = flaw;
    }

    /// The next call that grants breaks off in the midst of its writes; its caller gets no answer.
    pub fn tear_next_grant(&self, tear: Tear) {
        self.shared().world.tear = Some(tear);
    }

    /// No grant breaks off any more.
    pub fn mend(&self) {
        self.shared().world.tear = None;
    }
}

// === impl Tear ===

impl Tear {
    /// How many writes take place.
    pub(super) const fn writes(self) -> usize {
        match self {
            Self::AfterFirst => 1,
            Self::AfterSecond => 2,
            Self::AfterThird => 3,
        }
    }
}
