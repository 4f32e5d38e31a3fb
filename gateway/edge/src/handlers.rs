//! One file per route, or per resource where its verbs share what they answer.

pub(crate) mod claim;
pub(crate) mod claim_by_code;
pub(crate) mod claim_status;
pub(crate) mod coupon;
pub(crate) mod grant;
pub(crate) mod hold;
pub(crate) mod notifications;
pub(crate) mod order_cancelled;
pub(crate) mod pass;
pub(crate) mod quote;
pub(crate) mod redemption;
pub(crate) mod refund;
pub(crate) mod wallet;
