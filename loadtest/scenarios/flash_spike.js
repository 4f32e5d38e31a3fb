// A flash sale: 50,000 users want one of 5,000 pieces, nearly all of them within a minute.
// Is it exactly 5,000 who get one, whatever the gateway and its batches do meanwhile?
//
// Each user tries once. One in twenty presses the button again at once, and when the storm is
// over the first of all come back: repeats answer what was answered before and grant nothing.

import { check } from 'k6';
import exec from 'k6/execution';
import { auditCoupon, claim, claimUntilKnown, publishedCoupon } from '../lib/client.js';
import { flash, limits, options as common, virtualUsers } from '../lib/config.js';
import { needUsers, userAt } from '../lib/data.js';
import { SHED, member } from '../lib/outcomes.js';
import { summary } from '../lib/summary.js';

const AGAIN_AT_ONCE_ONE_IN = 20;
// Users who come back at the end.
const LATE = Math.min(Math.ceil(flash.users / 100), flash.pieces);
const START_RATE = Math.ceil(flash.peak / 10);

needUsers(flash.users);

export const options = common(
  Object.assign(
    {
      executor: 'ramping-arrival-rate',
      timeUnit: '1s',
      startRate: START_RATE,
      stages: stages(),
    },
    virtualUsers(flash.peak, 0.5),
  ),
  {
    users_tried: [`count==${flash.users}`],
    users_won: [`count==${Math.min(flash.pieces, flash.users)}`],
    claims_replayed: ['count>0'],
    claim_ms: [`p(95)<${limits.p95Ms}`],
    'http_req_failed{name:claim}': [`rate<=${limits.shedPerMille / 1000}`],
  },
);

// Up, a plateau long enough for everybody, and down.
function stages() {
  const slopes = (START_RATE + flash.peak) * flash.rampSeconds;
  const plateau = Math.max(0, flash.users + LATE - slopes);
  // One more in a hundred, since an executor rounds; who is not needed does nothing.
  const plateauMs = Math.ceil((plateau * 1010) / flash.peak) + 500;
  return [
    { target: flash.peak, duration: `${flash.rampSeconds}s` },
    { target: flash.peak, duration: `${plateauMs}ms` },
    { target: START_RATE, duration: `${flash.rampSeconds}s` },
  ];
}

export function setup() {
  const limits = { total: flash.pieces, per_user: 1 };
  return { coupon: publishedCoupon('Flash sale', { limits, shards: flash.shards }) };
}

export default function storm({ coupon }) {
  const number = exec.scenario.iterationInTest;
  if (number < flash.users) {
    tryOnce(coupon, number);
  } else if (number < flash.users + LATE) {
    comeBack(coupon, number - flash.users);
  }
}

function tryOnce(coupon, number) {
  const { pass } = userAt(number);
  const first = claimUntilKnown(coupon, pass);
  if (number % AGAIN_AT_ONCE_ONE_IN !== 0 || !['won', 'refused'].includes(first.end)) {
    return;
  }
  const again = claim(coupon, pass);
  if (SHED.includes(again.outcome)) {
    return;
  }
  check(again, {
    'a winner who repeats gets the same claim': ({ outcome, response }) =>
      first.end !== 'won' ||
      (['replayed', 'pending'].includes(outcome) &&
        member(response, 'claim_id') === first.claimId),
    'a repeat after a refusal is refused': ({ outcome }) =>
      first.end !== 'refused' || outcome === first.outcome,
  });
}

function comeBack(coupon, number) {
  const { outcome } = claim(coupon, userAt(number).pass);
  check(outcome, {
    'coming back after the sale grants nothing new': () =>
      ['replayed', 'sold_out'].concat(SHED).includes(outcome),
  });
}

export function teardown({ coupon }) {
  auditCoupon(coupon, { granted: Math.min(flash.pieces, flash.users) });
}

export const handleSummary = summary('flash_spike');
