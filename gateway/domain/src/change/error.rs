//! Why a change is refused.

use std::fmt;

use crate::coupon::Status;
use crate::time::Timestamp;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// To publish it.
    Publish,
    /// To edit it.
    Edit,
    /// To pause it.
    Pause,
    /// To resume it.
    Resume,
    /// To end it.
    End,
    /// To set its total.
    SetTotal,
}

/// A change that is not made, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The coupon's state does not allow it.
    #[error("cannot {action}: the coupon is {}; {}", status_name(*.status), advice(*.action, *.status))]
    State {
        /// What was asked for.
        action: Action,
        /// Where the coupon stands.
        status: Status,
    },
    /// What would be published or edited into is over.
    #[error("is {ended_at}, which is past; use an instant after now")]
    Over {
        /// The field.
        pointer: &'static str,
        /// When it ended.
        ended_at: Timestamp,
    },
    /// How claim ids are made is fixed when a coupon is first published.
    #[error("cannot change between 1 and more once the coupon is published; duplicate the coupon")]
    ClaimForm,
    /// Claims made before were not counted by this limit.
    #[error(
        "cannot be added once the coupon is published, because claims made before were not \
         counted; duplicate the coupon"
    )]
    LimitAdded {
        /// The field.
        pointer: &'static str,
    },
    /// Something that must not change once the coupon is published.
    #[error("cannot change once the coupon is published; duplicate the coupon")]
    Fixed {
        /// The field.
        pointer: &'static str,
    },
    /// A total is lowered by a step of its own.
    #[error("cannot be lowered by an edit; send {{\"total\": …}} to the coupon's stock")]
    TotalLowered,
    /// No further version.
    #[error(
        "has {} versions already, which is the most; duplicate the coupon",
        super::VERSIONS_MAX
    )]
    Versions,
}

impl ChangeError {
    /// The field that it concerns, as a JSON pointer into the coupon; empty for the whole.
    #[must_use]
    pub const fn pointer(&self) -> &'static str {
        match self {
            Self::State { .. } | Self::Versions => "",
            Self::Over { pointer, .. } | Self::LimitAdded { pointer } | Self::Fixed { pointer } => {
                pointer
            }
            Self::ClaimForm => "/limits/per_user",
            Self::TotalLowered => "/limits/total",
        }
    }

    /// Whether the coupon's state stands against it (a conflict), rather than what was sent.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::State { .. } | Self::Versions)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Edit => "edit",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::End => "end",
            Self::SetTotal => "change the stock",
        })
    }
}

const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Draft => "a draft",
        Status::Scheduled => "scheduled",
        Status::Active => "active",
        Status::Paused => "paused",
        Status::Ended => "ended",
        Status::Archived => "archived",
    }
}

const fn advice(action: Action, status: Status) -> &'static str {
    match (action, status) {
        (_, Status::Ended | Status::Archived) => "that is final, duplicate it to go on",
        (Action::Publish, Status::Paused) => "resume it instead",
        (Action::End, Status::Draft) => "archive it instead",
        (_, Status::Draft) => "publish it first",
        (_, Status::Scheduled | Status::Active | Status::Paused) => "read it again",
    }
}
