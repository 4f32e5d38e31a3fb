// One coupon that everybody wants and that never runs out, at a steady rate: all claims meet in one
// lane, one hash, one stream. Is every one granted, on time, and in the ledger?

import { check } from 'k6';
import exec from 'k6/execution';
import { auditCoupon, claimUntilKnown, publishedCoupon } from '../lib/client.js';
import { hotKey, limits, options as common, virtualUsers } from '../lib/config.js';
import { needUsers, userAt } from '../lib/data.js';
import { summary } from '../lib/summary.js';

const USERS = hotKey.rate * hotKey.seconds;
// Users who are sent away come back so often: at a steady rate nobody has to go without.
const PATIENCE = 5;

needUsers(USERS);
if (hotKey.total > 0 && hotKey.total < USERS) {
  throw new Error(`HOT_KEY_TOTAL must be 0 (unlimited) or from ${USERS}: nobody is to be refused`);
}

export const options = common(
  Object.assign(
    {
      executor: 'constant-arrival-rate',
      rate: hotKey.rate,
      timeUnit: '1s',
      // A second more, since an executor rounds; who is not needed does nothing.
      duration: `${hotKey.seconds + 1}s`,
    },
    virtualUsers(hotKey.rate, 0.75),
  ),
  {
    users_won: [`count==${USERS}`],
    users_refused: ['count==0'],
    users_shed: ['count==0'],
    claim_ms: [`p(95)<${limits.p95Ms}`],
    'http_req_failed{name:claim}': [`rate<=${limits.shedPerMille / 1000}`],
  },
);

export function setup() {
  const total = hotKey.total === 0 ? null : hotKey.total;
  return { coupon: publishedCoupon('Hot key', { limits: { total, per_user: 1 } }) };
}

export default function storm({ coupon }) {
  const number = exec.scenario.iterationInTest;
  if (number >= USERS) {
    return;
  }
  const { user, pass } = userAt(number);
  const ended = claimUntilKnown(coupon, pass, { patience: PATIENCE });
  check(ended, {
    'everybody holds a claim': ({ end }) => end === 'won',
    'the claim is the caller’s own': ({ outcome, response }) =>
      outcome !== 'granted' || response.json('user_id') === user,
  });
}

export function teardown({ coupon }) {
  auditCoupon(coupon, { granted: USERS });
}

export const handleSummary = summary('hot_key');
