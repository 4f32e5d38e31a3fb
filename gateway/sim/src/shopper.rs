//! A shopper of the storm: claims, and repeats with the same key until the answer is definite.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use sluice_domain::claim::Durability;
use sluice_domain::id::{ClaimId, CouponId, UserId};
use sluice_domain::invariant::history::{Answer, Attempt};

use crate::http::{CallError, Connection, Reply};
use crate::tally::{Tally, now};

/// Tries at one claim before the shopper gives up on it.
const TRIES_MAX: u32 = 12;

/// A coupon that shoppers want.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The coupon.
    pub coupon: CouponId,
    /// Claims one user may have: above 1, requests carry a key.
    pub per_user: u16,
}

/// Users with a pass each, who share devices and addresses.
#[derive(Debug, Default)]
pub struct Passes(Vec<Pass>);

/// A user as the gateway sees them.
#[derive(Debug)]
pub struct Pass {
    /// Who.
    pub user: UserId,
    /// On which device, as the pass says.
    pub device: usize,
    /// At which address, as the request says.
    pub address: String,
    pub(crate) authorization: String,
}

/// Addresses that all users share. With the users of a device at as many of them as there are, the
/// two limits bind independently.
const ADDRESSES: usize = 25;

#[derive(Deserialize)]
struct ClaimBody {
    claim_id: ClaimId,
    #[serde(default)]
    durability: Durability,
}

/// A refusal or a fault.
#[derive(Deserialize)]
pub(crate) struct ProblemBody {
    pub(crate) code: String,
    pub(crate) outcome: Option<String>,
}

impl Passes {
    /// Adds the users of a device, from the lines that `sluice token --users` prints.
    ///
    /// # Errors
    /// When a line is none of these.
    pub fn add(&mut self, device: usize, text: &str) -> anyhow::Result<()> {
        for line in text.lines() {
            let (user, token) = line
                .split_once(',')
                .ok_or_else(|| anyhow::anyhow!("no comma"))?;
            let address = self.0.len() % ADDRESSES;
            self.0.push(Pass {
                user: UserId::new(user)?,
                device,
                address: format!("198.51.100.{address}"),
                authorization: format!("Bearer {token}"),
            });
        }
        Ok(())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Pass> {
        self.0.iter()
    }

    /// One of them, by number.
    pub(crate) fn get(&self, number: usize) -> &Pass {
        &self.0[number]
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Claims at random until told to stop. Users are shared by all shoppers, so the same claim is
/// often asked for by several at once.
pub async fn shop(
    seed: u64,
    mut connection: Connection,
    passes: Arc<Passes>,
    wanted: Arc<[Wanted]>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    let mut random = SmallRng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        let want = wanted[random.random_range(0..wanted.len())];
        let user = random.random_range(0..passes.len());
        let key = match want.per_user {
            1 => String::new(),
            many => format!("key-{}", random.random_range(0..many + 1)),
        };
        for _attempt in 0..TRIES_MAX {
            let answer = claim(&mut connection, &passes, user, want.coupon, &key, &tally).await;
            let again = matches!(
                answer,
                Answer::NotApplied | Answer::Unknown | Answer::Pending(_)
            );
            if !again || stop.load(Ordering::Relaxed) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(5..80))).await;
        }
    }
}

/// One claim request, recorded.
pub async fn claim(
    connection: &mut Connection,
    passes: &Passes,
    user: usize,
    coupon: CouponId,
    key: &str,
    tally: &Tally,
) -> Answer {
    let pass = &passes.0[user];
    let path = format!("/v1/coupons/{coupon}/claims");
    let mut headers = vec![
        ("authorization", pass.authorization.as_str()),
        ("x-forwarded-for", pass.address.as_str()),
    ];
    if !key.is_empty() {
        headers.push(("idempotency-key", key));
    }
    let sent_at = now();
    let reply = connection.call(Method::POST, &path, &headers, "").await;
    let answer = read(reply);
    tally.attempt(Attempt {
        sent_at,
        answered_at: now(),
        coupon,
        user: pass.user,
        key: key.to_owned(),
        answer: answer.clone(),
    });
    answer
}

/// What an answer means to the history. Anything that cannot be read counts as unknown: that is
/// what a client would have to believe.
fn read(reply: Result<Reply, CallError>) -> Answer {
    let reply = match reply {
        Ok(reply) => reply,
        Err(CallError::NotSent(_why)) => return Answer::NotApplied,
        Err(CallError::NoAnswer(_why)) => return Answer::Unknown,
    };
    let status = reply.status.as_u16();
    match status {
        200..=202 => match serde_json::from_slice::<ClaimBody>(&reply.body) {
            Ok(body) if status == 202 => Answer::Pending(body.claim_id),
            Ok(body) => Answer::Acknowledged {
                claim_id: body.claim_id,
                durability: body.durability,
                body: String::from_utf8_lossy(&reply.body).into_owned(),
            },
            Err(_unreadable) => Answer::Unknown,
        },
        _other => match serde_json::from_slice::<ProblemBody>(&reply.body) {
            Ok(problem) if status == 503 => match problem.outcome.as_deref() {
                Some("not_applied") => Answer::NotApplied,
                _other => Answer::Unknown,
            },
            Ok(problem) if (400..500).contains(&status) => Answer::Refused(problem.code),
            Ok(_) | Err(_) => Answer::Unknown,
        },
    }
}
