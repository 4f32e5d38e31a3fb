// The two planes as their callers see them: claims with a pass, coupons and audits with a key.

import http from 'k6/http';
import { fail, sleep } from 'k6';
import { Counter, Gauge } from 'k6/metrics';
import { limits, target } from './config.js';
import { REFUSALS, SHED, member, outcomeOf, users } from './outcomes.js';

// Refusals of a sale are answers, not failures: `http_req_failed` counts what is neither.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }, 409, 410, 425, 429));

const auditFailures = new Counter('audit_failures');
const auditsExact = new Counter('audits_exact');
const auditGranted = new Gauge('audit_granted');
const auditDrift = new Gauge('audit_drift');

// Attempts until a user knows; and the longest wait between two, whatever Retry-After says.
const ATTEMPTS_MAX = 20;
const WAIT_SECONDS_MAX = 2;

// === the data plane ===

// One request of a storefront; `wanted` lists further statuses that are right here.
export function ask(method, path, { pass, headers, body, name, wanted } = {}) {
  const params = { headers: Object.assign({}, headers), tags: { name: name || path } };
  if (pass) {
    params.headers.Authorization = `Bearer ${pass}`;
  }
  if (wanted) {
    params.responseCallback = http.expectedStatuses(...wanted);
  }
  return http.request(method, `${target.data}${path}`, body === undefined ? null : body, params);
}

// A claim request as http.batch() takes it.
export function claimRequest(coupon, pass, key) {
  const headers = { Authorization: `Bearer ${pass}` };
  if (key) {
    headers['Idempotency-Key'] = key;
  }
  const url = `${target.data}/v1/coupons/${coupon}/claims`;
  return ['POST', url, null, { headers, tags: { name: 'claim' } }];
}

// Claims once.
export function claim(coupon, pass, key) {
  const [method, url, body, params] = claimRequest(coupon, pass, key);
  const response = http.request(method, url, body, params);
  return { response, outcome: outcomeOf(response) };
}

// Claims as a storefront does: it repeats what it does not know the outcome of, polls what is
// pending, and comes back `patience` times where it was sent away. Counts how the user ended.
//
// Returns { end: 'won' | 'refused' | 'shed' | 'unsettled' | 'lost', outcome, response }; where the
// user won, `claimId` too.
export function claimUntilKnown(coupon, pass, { key, patience = 0 } = {}) {
  users.tried.add(1);
  const ended = settle(coupon, pass, key, patience);
  users[ended.end].add(1);
  return ended;
}

function settle(coupon, pass, key, patience) {
  let sentAway = 0;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const { response, outcome } = claim(coupon, pass, key);
    if (outcome === 'granted' || outcome === 'replayed') {
      return { end: 'won', outcome, response, claimId: member(response, 'claim_id') };
    }
    if (outcome === 'pending') {
      const claimId = member(response, 'claim_id');
      return { end: poll(claimId, pass), outcome, response, claimId };
    }
    if (REFUSALS.includes(outcome)) {
      return { end: 'refused', outcome, response };
    }
    if (outcome === 'unexpected') {
      return { end: 'unsettled', outcome, response };
    }
    if (SHED.includes(outcome)) {
      sentAway += 1;
      // An earlier attempt that got no answer may have been carried out.
      if (sentAway > patience && sentAway === attempt + 1) {
        return { end: 'shed', outcome, response };
      }
    }
    sleep(waitOf(response));
  }
  return { end: 'unsettled' };
}

// Asks for a pending claim until it is usable or gone.
export function poll(claimId, pass) {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const path = `/v1/claims/${claimId}`;
    const response = ask('GET', path, { pass, name: 'poll', wanted: [200, 404, 503] });
    if (response.status === 200 && member(response, 'status') === 'usable') {
      return 'won';
    }
    if (response.status === 404) {
      return 'lost';
    }
    sleep(waitOf(response) / 2);
  }
  return 'unsettled';
}

function waitOf(response) {
  const seconds = Number(response.headers['Retry-After']);
  return seconds > 0 ? Math.min(seconds, WAIT_SECONDS_MAX) : 0.5;
}

// === the control plane ===

export function admin(method, path, body, key) {
  const headers = { Authorization: `Bearer ${target.adminKey}` };
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
  }
  if (key) {
    headers['Idempotency-Key'] = key;
  }
  const payload = body === undefined ? null : JSON.stringify(body);
  const params = { headers, timeout: '30s', tags: { name: 'admin' } };
  return http.request(method, `${target.control}${path}`, payload, params);
}

// Repeats a call while the answer is 503 or none; fails the run on any other refusal.
function insist(what, call) {
  const until = Date.now() + limits.warmUpSeconds * 1000;
  for (;;) {
    const response = call();
    if (response.status >= 200 && response.status < 300) {
      return response;
    }
    const again = response.status === 503 || response.status === 0;
    if (!again || Date.now() >= until) {
      fail(`${what}: ${response.status} ${response.error} ${response.body}`);
    }
    sleep(0.5);
  }
}

// Makes a coupon and publishes it, waiting for its lane. `fields` goes over a plain 5.00 off.
// Returns its id.
export function publishedCoupon(name, fields) {
  if (!target.adminKey) {
    fail('SLUICE_ADMIN_KEY is not set: `sluice dev` prints it as admin_key');
  }
  const coupon = Object.assign(
    { name, currency: 'USD', benefit: { type: 'fixed', off: '5.00' } },
    fields,
  );
  // The key makes a repeat find the coupon that the first attempt made.
  const key = `${name}-${Date.now()}-${Math.random().toString(36).slice(2)}`.replace(/ /g, '-');
  const made = insist('making the coupon', () =>
    admin('POST', '/admin/v1/coupons', coupon, key),
  );
  const id = made.json('id');
  insist('publishing the coupon', () => admin('POST', `/admin/v1/coupons/${id}/publish`));
  return id;
}

// Asks the audit until it can tell and nothing is on its way any more, and fails the run unless it
// is exact and, where `granted` is given, counts that many claims.
export function auditCoupon(id, { granted } = {}) {
  const report = settledAudit(id);
  const coupon = (report.coupons || [])[0];
  const wrong = [];
  const expect = (holds, words) => {
    if (!holds) {
      wrong.push(words);
    }
  };
  expect(report.verdict === 'exact', `the verdict is ${report.verdict}`);
  if (coupon) {
    auditGranted.add(coupon.granted);
    if (coupon.drift !== null) {
      auditDrift.add(coupon.drift);
    }
    const sold = coupon.granted + (coupon.in_outbox || 0);
    expect(coupon.total === null || sold <= coupon.total, `oversold: ${sold} of ${coupon.total}`);
    expect(coupon.drift === 0, `the drift is ${coupon.drift}`);
    expect(
      granted === undefined || coupon.granted === granted,
      `${coupon.granted} claims are granted, ${granted} were won`,
    );
  } else {
    expect(false, 'the audit does not know the coupon');
  }
  if (wrong.length === 0) {
    auditsExact.add(1);
    return;
  }
  auditFailures.add(1);
  const odd = (report.checks || []).filter((one) => one.status !== 'held');
  console.error(`audit of coupon ${id}: ${wrong.join('; ')}`);
  console.error(`audit of coupon ${id}: ${JSON.stringify({ coupon, checks: odd })}`);
}

function settledAudit(id) {
  const until = Date.now() + limits.auditSeconds * 1000;
  for (;;) {
    const response = admin('GET', `/admin/v1/coupons/${id}/audit`);
    const answered = response.status === 200;
    const report = answered ? response.json() : { verdict: `no audit (${response.status})` };
    const moving = (report.coupons || []).some((one) => one.in_outbox !== 0);
    const told = report.verdict === 'violated' || (report.verdict === 'exact' && !moving);
    if (told || Date.now() >= until) {
      if (!answered) {
        console.error(`the audit answered ${response.status} ${response.body}`);
      }
      return report;
    }
    sleep(0.5);
  }
}
