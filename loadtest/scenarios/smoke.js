// The whole walk of a storefront, a few times: is everything there that a page relies on, and does
// every refusal come as problem+json with its code, its status and what the page needs to go on?

import { check } from 'k6';
import exec from 'k6/execution';
import { admin, ask, auditCoupon, claimUntilKnown, publishedCoupon } from '../lib/client.js';
import { options as common, smoke, virtualUsers } from '../lib/config.js';
import { needUsers, tokens, userAt } from '../lib/data.js';
import { member } from '../lib/outcomes.js';
import { summary } from '../lib/summary.js';

const buyers = tokens();
// Users with passes that one walk needs beside its buyer.
const OTHERS = 3;
const DAY_MS = 86400000;
const PATIENCE = 10;

needUsers(smoke.walks * OTHERS);
if (buyers.count < smoke.walks) {
  throw new Error(`SLUICE_TOKENS has ${buyers.count} users, this run needs ${smoke.walks}`);
}

export const options = common(
  Object.assign(
    {
      executor: 'constant-arrival-rate',
      rate: 1,
      timeUnit: '1s',
      duration: `${smoke.walks + 1}s`,
    },
    virtualUsers(1, 10),
  ),
  { users_tried: [`count==${smoke.walks * 4}`], users_shed: ['count==0'] },
);

export function setup() {
  const plain = { total: 1000, per_user: 1 };
  const far = (ms) => new Date(Date.now() + ms).toISOString();
  const paused = publishedCoupon('Smoke paused', { limits: plain });
  const ended = publishedCoupon('Smoke ended', { limits: plain });
  admin('POST', `/admin/v1/coupons/${paused}/pause`);
  admin('POST', `/admin/v1/coupons/${ended}/end`);
  const draft = admin('POST', '/admin/v1/coupons', {
    name: 'Smoke draft',
    currency: 'USD',
    benefit: { type: 'fixed', off: '5.00' },
    limits: plain,
  });
  return {
    // One piece for each walk, so that each sees its own coupon sold out.
    single: Array.from({ length: smoke.walks }, (_, walk) =>
      publishedCoupon(`Smoke walk ${walk}`, { limits: { total: 1, per_user: 1 } }),
    ),
    byAddress: publishedCoupon('Smoke one per address', {
      limits: { total: 1000, per_user: 1, per_ip: 1 },
    }),
    keyed: publishedCoupon('Smoke three each', { limits: { total: 1000, per_user: 3 } }),
    members: publishedCoupon('Smoke members', {
      limits: plain,
      conditions: { users: { kind: 'groups', groups: ['gold'], ids: [] } },
    }),
    tomorrow: publishedCoupon('Smoke tomorrow', {
      limits: plain,
      claim_window: { starts_at: far(DAY_MS), ends_at: far(2 * DAY_MS) },
    }),
    paused,
    ended,
    draft: draft.json('id'),
  };
}

export default function walk(coupons) {
  const number = exec.scenario.iterationInTest;
  if (number >= smoke.walks) {
    return;
  }
  const coupon = coupons.single[number];
  const others = Array.from({ length: OTHERS }, (_, other) => userAt(number * OTHERS + other));

  lookAt(coupon);
  const buyer = buyPass(buyers.at(number));
  const won = buy(coupon, buyer);
  repeat(coupon, buyer, won);
  pollFor(won, buyer, others[0]);
  soldOut(coupon, buyer, others[0], won);
  limitsOf(coupons, others, number);
  refusals(coupons, others[0].pass);
  strangers(coupon, others[0].pass);
}

function lookAt(coupon) {
  const page = ask('GET', `/v1/coupons/${coupon}`, { name: 'coupon' });
  check(page, {
    'the coupon page shows it to anybody': ({ status }) => status === 200,
    'it is active and in stock': (one) =>
      member(one, 'state') === 'active' && member(one, 'stock') !== 'sold_out',
    'it says what it is, in numbers and words': (one) => !!member(one, 'terms'),
    'it tells the time for countdowns': (one) => !isNaN(Date.parse(member(one, 'server_time'))),
    'it never says an exact figure': ({ body }) => !/"(total|available|granted|left)"/.test(body),
    'caches may keep it for a second': ({ headers }) => headers['Cache-Control'] === 'public, max-age=1',
  });
}

// A page fetches its pass before the sale starts.
function buyPass({ user, pass: token }) {
  const bought = ask('POST', '/v1/passes', { pass: token, name: 'pass' });
  check(bought, {
    'a token buys a pass': (one) => one.status === 200 && !!member(one, 'pass'),
    'the pass is good for a while': (one) => Date.parse(member(one, 'expires_at')) > Date.now(),
  });
  const again = ask('POST', '/v1/passes', {
    pass: member(bought, 'pass'),
    name: 'pass for a pass',
    wanted: [401],
  });
  check(again, { 'a pass buys no pass': ({ status }) => status === 401 });
  return { user, pass: member(bought, 'pass') };
}

function buy(coupon, { user, pass }) {
  const won = claimUntilKnown(coupon, pass, { patience: PATIENCE });
  check(won, {
    'the buyer gets a claim': ({ end }) => end === 'won',
    'the first answer is 201, or 202 to be polled': ({ outcome }) =>
      ['granted', 'pending'].includes(outcome),
    'it is the buyer’s, of this coupon, and usable': ({ outcome, response }) =>
      outcome === 'pending' ||
      (member(response, 'user_id') === user &&
        member(response, 'coupon_id') === coupon &&
        member(response, 'status') === 'usable'),
    'it is in the ledger': ({ response }) => member(response, 'durability') === 'ledger',
  });
  return won;
}

function repeat(coupon, { pass }, won) {
  const again = claimUntilKnown(coupon, pass, { patience: PATIENCE });
  check(again, {
    'pressing again is answered 200 as a repeat': ({ outcome }) => outcome === 'replayed',
    'with the same body': ({ response }) =>
      won.outcome === 'pending' || response.body === won.response.body,
  });
}

function pollFor({ claimId }, { pass }, stranger) {
  const path = `/v1/claims/${claimId}`;
  const mine = ask('GET', path, { pass, name: 'claim status' });
  check(mine, {
    'the claim can be looked up': (one) =>
      one.status === 200 && member(one, 'claim_id') === claimId,
    'and is usable': (one) => member(one, 'status') === 'usable',
  });
  const foreign = ask('GET', path, { pass: stranger.pass, name: 'foreign claim', wanted: [404] });
  problem(foreign, 404, 'not_found', 'somebody else’s claim');
  check(foreign, {
    'and nothing was done: claim again': (one) => member(one, 'outcome') === 'not_applied',
  });
}

function soldOut(coupon, buyer, late, won) {
  const refused = claimUntilKnown(coupon, late.pass, { patience: PATIENCE });
  problem(refused.response, 409, 'sold_out', 'who comes late');
  const winner = claimUntilKnown(coupon, buyer.pass, { patience: PATIENCE });
  check(winner, {
    'a winner’s repeat is answered 200 after the sale too': ({ outcome, claimId }) =>
      outcome === 'replayed' && claimId === won.claimId,
  });
}

// Limits per address and per person. Addresses as `sluice dev` believes them from loopback.
function limitsOf({ byAddress, keyed }, others, number) {
  const path = (coupon) => `/v1/coupons/${coupon}/claims`;
  const from = { 'X-Forwarded-For': `198.51.100.${number + 1}` };
  const options = { headers: from, name: 'claim by address', wanted: [201, 202, 409] };
  const one = ask('POST', path(byAddress), Object.assign({ pass: others[0].pass }, options));
  check(one, { 'the first of an address gets one': ({ status }) => [201, 202].includes(status) });
  const two = ask('POST', path(byAddress), Object.assign({ pass: others[1].pass }, options));
  problem(two, 409, 'ip_limit_reached', 'the second of an address');

  const pass = others[2].pass;
  const keyless = ask('POST', path(keyed), { pass, name: 'claim without key', wanted: [400] });
  problem(keyless, 400, 'key_required', 'several each and no Idempotency-Key');
  for (const key of ['a', 'b', 'c', 'd']) {
    const wanted = key === 'd' ? [409] : [201, 202];
    const headers = { 'Idempotency-Key': key };
    const answer = ask('POST', path(keyed), { pass, headers, name: 'keyed claim', wanted });
    if (key === 'd') {
      problem(answer, 409, 'user_limit_reached', 'the fourth of three');
    } else {
      check(answer, { 'three each, by key': ({ status }) => [201, 202].includes(status) });
    }
  }
}

function refusals({ members, tomorrow, paused, ended, draft }, pass) {
  const tryClaim = (coupon, status) =>
    ask('POST', `/v1/coupons/${coupon}/claims`, { pass, name: 'refused', wanted: [status] });
  problem(tryClaim(members, 403), 403, 'not_eligible', 'not in the group');
  const early = tryClaim(tomorrow, 425);
  problem(early, 425, 'not_started', 'too early');
  check(early, {
    'too early: when to come back': (one) =>
      Date.parse(member(one, 'starts_at')) > Date.now() && Number(one.headers['Retry-After']) > 0,
  });
  problem(tryClaim(paused, 409), 409, 'paused', 'paused');
  problem(tryClaim(ended, 410), 410, 'ended', 'ended');
  problem(tryClaim(draft, 404), 404, 'not_found', 'a draft');
  problem(tryClaim('nothing', 404), 404, 'not_found', 'no such coupon');
}

// Who is not known, and what is not understood.
function strangers(coupon, pass) {
  const path = `/v1/coupons/${coupon}/claims`;
  const name = 'refused';
  const json = { 'Content-Type': 'application/json' };
  const nobody = ask('POST', path, { name, wanted: [401] });
  problem(nobody, 401, 'login_required', 'nobody');
  check(nobody, { 'nobody: asked to log in': ({ headers }) => headers['Www-Authenticate'] === 'Bearer' });
  const forged = ask('POST', path, { pass: `${pass.slice(0, -4)}AAAA`, name, wanted: [401] });
  problem(forged, 401, 'login_required', 'a forged pass');
  const wrongVerb = ask('DELETE', path, { pass, name, wanted: [405] });
  problem(wrongVerb, 405, 'method_not_allowed', 'the wrong method');
  const unknown = ask('GET', '/v1/nowhere', { pass, name, wanted: [404] });
  problem(unknown, 404, 'not_found', 'an unknown route');
  const extra = { pass, name, headers: json, body: '{"user_id":"me"}', wanted: [400] };
  problem(ask('POST', path, extra), 400, 'invalid_request', 'an unknown field');
}

function problem(response, status, code, who) {
  check(response, {
    [`${who}: ${status} ${code}`]: (one) => one.status === status && member(one, 'code') === code,
    [`${who}: problem+json`]: (one) =>
      one.headers['Content-Type'] === 'application/problem+json' &&
      member(one, 'type') === `urn:sluice:reason:${code}` &&
      member(one, 'status') === status &&
      !!member(one, 'title') &&
      !!member(one, 'detail') &&
      member(one, 'request_id') === one.headers['X-Request-Id'],
  });
}

export function teardown(coupons) {
  for (const coupon of coupons.single) {
    auditCoupon(coupon, { granted: 1 });
  }
  auditCoupon(coupons.byAddress, { granted: smoke.walks });
  auditCoupon(coupons.keyed, { granted: smoke.walks * 3 });
  for (const name of ['members', 'tomorrow', 'paused', 'ended']) {
    auditCoupon(coupons[name], { granted: 0 });
  }
}

export const handleSummary = summary('smoke');
