// What a claim request can end in, and a counter for each: `claims_<outcome>`.

import { Counter, Trend } from 'k6/metrics';

// Refusals and faults by code, each with the one status it may come with.
const STATUS_OF = {
  sold_out: 409,
  user_limit_reached: 409,
  device_limit_reached: 409,
  ip_limit_reached: 409,
  paused: 409,
  outside_time_window: 409,
  ended: 410,
  archived: 410,
  not_started: 425,
  rate_limited: 429,
  login_required: 401,
  verification_required: 403,
  blocked: 403,
  not_eligible: 403,
  not_found: 404,
  key_required: 400,
  key_reused: 422,
  warming: 503,
  recovering: 503,
  overloaded: 503,
  outcome_unknown: 503,
};

const WON = ['granted', 'replayed', 'pending'];
// No answer at all, and an answer that the contract does not know.
const ODD = ['no_answer', 'unexpected'];

const counters = {};
for (const name of WON.concat(Object.keys(STATUS_OF), ODD)) {
  counters[name] = new Counter(`claims_${name}`);
}

// The business refusals: what is neither a claim, nor the machine's fault.
export const REFUSALS = Object.keys(STATUS_OF).filter((code) => STATUS_OF[code] !== 503);
// The machine's faults that say: nothing was done, come back.
export const SHED = ['warming', 'recovering', 'overloaded'];
export const OUTCOMES = Object.keys(counters);

const claimMs = new Trend('claim_ms', true);
const grantedMs = new Trend('claim_granted_ms', true);
const refusedMs = new Trend('claim_refused_ms', true);

// How a user's attempt ended, repeats of the same attempt put together.
export const users = {
  // Came to claim.
  tried: new Counter('users_tried'),
  // Hold a claim.
  won: new Counter('users_won'),
  // Were told no.
  refused: new Counter('users_refused'),
  // Were sent away by 503 and gave up.
  shed: new Counter('users_shed'),
  // Never learnt what became of their claim.
  unsettled: new Counter('users_unsettled'),
  // Held a pending claim that was gone afterwards.
  lost: new Counter('users_lost'),
};

// A member of a JSON body by its path; undefined where there is none.
export function member(response, path) {
  try {
    return response.json(path);
  } catch (_notJson) {
    return undefined;
  }
}

function name(response) {
  switch (response.status) {
    case 0:
      return 'no_answer';
    case 201:
      return 'granted';
    case 202:
      return 'pending';
    case 200:
      // A repeat says that it is one.
      return response.headers['Idempotency-Replayed'] === 'true' ? 'replayed' : 'unexpected';
    default: {
      const code = member(response, 'code');
      const isProblem = response.headers['Content-Type'] === 'application/problem+json';
      return isProblem && STATUS_OF[code] === response.status ? code : 'unexpected';
    }
  }
}

// Names an answer to a claim request and counts it.
export function outcomeOf(response) {
  const outcome = name(response);
  counters[outcome].add(1);
  if (outcome === 'unexpected') {
    console.error(`unexpected answer to a claim: ${response.status} ${response.body}`);
  }
  if (outcome === 'no_answer') {
    return outcome;
  }
  const took = response.timings.duration;
  claimMs.add(took);
  if (WON.includes(outcome)) {
    grantedMs.add(took);
  } else if (STATUS_OF[outcome] !== 503) {
    refusedMs.add(took);
  }
  return outcome;
}
