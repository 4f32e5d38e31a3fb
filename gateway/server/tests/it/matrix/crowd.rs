//! A crowd that claims, each of its users again and again, and remembers every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::http::{Reply, call, wait_for};
use crate::process::{Place, Running, run, text};

/// Claims asked for at once.
const CALLERS: usize = 8;

/// Who claims one coupon.
pub(crate) struct Crowd {
    url: String,
    coupon: String,
    passes: Vec<String>,
    next: AtomicUsize,
    over: AtomicBool,
    /// The first body that each user was answered.
    granted: Mutex<BTreeMap<usize, String>>,
    /// Requests that were sent and not answered.
    broken: AtomicUsize,
    answered: AtomicUsize,
    refusals: Mutex<BTreeMap<String, usize>>,
    /// While true, nobody begins a request: what a load balancer does with a gateway not ready.
    pub(crate) held_back: AtomicBool,
    /// Looked at before each request, and handed to the judge of its answer.
    pub(crate) in_force: AtomicUsize,
    /// Says what must not be: of what was in force before the request was sent, and its answer.
    judge: fn(usize, &Reply),
}

impl Crowd {
    /// A crowd of so many users of this coupon.
    pub(crate) fn gather(place: &Place, server: &Running, coupon: &str, users: usize) -> Self {
        Self {
            url: server.url("data").to_owned(),
            coupon: coupon.to_owned(),
            passes: place.tokens("c", users, &["--pass"]),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            granted: Mutex::default(),
            broken: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            refusals: Mutex::default(),
            held_back: AtomicBool::new(false),
            in_force: AtomicUsize::new(0),
            judge: |_before, _said| {},
        }
    }

    /// The same with somebody who looks at every answer.
    pub(crate) fn judged_by(mut self, judge: fn(usize, &Reply)) -> Self {
        self.judge = judge;
        self
    }

    /// Lets the crowd claim while `act` is done, and ends it.
    pub(crate) fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        self.over.store(false, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|_caller| scope.spawn(|| self.claim_on()))
                .collect();
            // Ended also where `act` fails, or the scope would wait for ever.
            let _ends = Ends(&self.over);
            let done = act();
            self.over.store(true, Ordering::SeqCst);
            for caller in callers {
                caller.join().unwrap();
            }
            done
        })
    }

    fn claim_on(&self) {
        while !self.over.load(Ordering::SeqCst) {
            if self.held_back.load(Ordering::SeqCst) {
                std::thread::park_timeout(std::time::Duration::from_millis(2));
                continue;
            }
            let user = self.next.fetch_add(1, Ordering::Relaxed) % self.passes.len();
            let before = self.in_force.load(Ordering::SeqCst);
            match self.claim(user) {
                Ok(said) => {
                    (self.judge)(before, &said);
                    self.note(user, said);
                }
                Err(_no_answer) => {
                    self.broken.fetch_add(1, Ordering::SeqCst);
                    std::thread::park_timeout(std::time::Duration::from_millis(2));
                }
            }
        }
    }

    fn claim(&self, user: usize) -> std::io::Result<Reply> {
        let bearer = format!("Bearer {}", self.passes[user]);
        let path = format!("/v1/coupons/{}/claims", self.coupon);
        call(&self.url, "POST", &path, &[("authorization", &bearer)], "")
    }

    fn note(&self, user: usize, said: Reply) {
        if !matches!(said.status, 202 | 503) {
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
        match said.status {
            200 | 201 => {
                let mut granted = self.granted.lock().unwrap();
                let first = granted.entry(user).or_insert_with(|| said.body.clone());
                assert_eq!(*first, said.body, "one user, one claim, one body");
            }
            202 => {}
            status => {
                let code = said.json()["code"].as_str().unwrap_or("").to_owned();
                let mut refusals = self.refusals.lock().unwrap();
                *refusals.entry(format!("{status} {code}")).or_default() += 1;
            }
        }
    }

    /// Waits until so many more requests were decided, for or against.
    pub(crate) fn let_claim(&self, more: usize) {
        let until = self.answered.load(Ordering::SeqCst) + more;
        wait_for("the crowd to be answered", 60, || {
            (self.answered.load(Ordering::SeqCst) >= until).then_some(())
        });
    }

    /// Requests that were sent and got no answer, so far.
    pub(crate) fn broken(&self) -> usize {
        self.broken.load(Ordering::SeqCst)
    }

    /// Requests decided so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Users who have a claim.
    pub(crate) fn winners(&self) -> usize {
        self.granted.lock().unwrap().len()
    }

    /// How often the crowd was refused with this status and code.
    pub(crate) fn refused(&self, with: &str) -> usize {
        self.refusals
            .lock()
            .unwrap()
            .get(with)
            .copied()
            .unwrap_or(0)
    }

    /// Asserts that everybody who was granted a claim has it, as it was said; that nobody was told
    /// "sold out"; that the ledger has each ticket once; and that an audit finds every unit.
    pub(crate) fn has_kept_everything(&self, place: &Place, server: &Running) {
        assert_eq!(self.refused("409 sold_out"), 0, "there was enough for all");
        let granted = self.granted.lock().unwrap().clone();
        assert!(!granted.is_empty(), "the crowd never got anything");
        for (user, body) in &granted {
            let said = wait_for("a repeat to be decided", 30, || {
                let said = self.claim(*user).unwrap();
                (!matches!(said.status, 202 | 503)).then_some(said)
            });
            assert_eq!((said.status, &said.body), (200, body), "user {user}");
        }
        let rows = wait_for("every claim to be in the ledger", 30, || {
            let rows = rows(server, &self.coupon);
            let held: BTreeSet<&str> = rows.iter().map(|row| &*row.0).collect();
            let there = |body: &String| {
                let body: Value = serde_json::from_str(body).unwrap();
                held.contains(body["claim_id"].as_str().unwrap())
            };
            granted.values().all(there).then_some(rows)
        });
        let tickets: BTreeSet<u64> = rows.iter().map(|row| row.1).collect();
        assert_eq!(tickets.len(), rows.len(), "a ticket is one claim's");
        exact(place, &self.coupon, rows.len());
    }
}

/// Sets what it holds when it is dropped, also by a failed assertion.
pub(crate) struct Ends<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Claim and ticket of every row of a coupon.
pub(crate) fn rows(server: &Running, coupon: &str) -> Vec<(String, u64)> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/admin/v1/coupons/{coupon}/claims?limit=200{cursor}");
        let page = server.admin("GET", &path, &Value::Null).json();
        for row in page["items"].as_array().unwrap() {
            let claim = row["claim_id"].as_str().unwrap().to_owned();
            rows.push((claim, row["ticket"].as_u64().unwrap()));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

/// Asserts that an audit of the running system finds all units of this coupon, and so many claims.
pub(crate) fn exact(place: &Place, coupon: &str, claims: usize) {
    let config = place.folder.path().join("sluice.toml");
    let verdict: Value = wait_for("the audit to be able to tell", 60, || {
        let config = config.to_str().unwrap();
        let audit = run(&["audit", "--json", "--coupon", coupon, "--config", config]);
        assert_ne!(audit.status.code(), Some(1), "{}", text(&audit.stdout));
        let done = audit.status.code() == Some(0);
        done.then(|| serde_json::from_slice(&audit.stdout).unwrap())
    });
    assert_eq!(verdict["verdict"], "exact", "{verdict}");
    let found = &verdict["coupons"][0];
    assert_eq!(found["granted"], claims, "{verdict}");
    assert_eq!(found["drift"], 0, "{verdict}");
}
