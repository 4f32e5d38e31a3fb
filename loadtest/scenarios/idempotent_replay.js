// Impatient thumbs and flaky networks: each claim is sent several times at the same instant, and
// again later. Is there one claim, one body, and does every repeat say that it is one?
//
// Two coupons: one per person, where any request of a user is the same claim (with or without an
// Idempotency-Key); and three per person, where the key tells claims apart.

import http from 'k6/http';
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import {
  ask,
  auditCoupon,
  claim,
  claimRequest,
  publishedCoupon,
} from '../lib/client.js';
import { limits, options as common, replay, virtualUsers } from '../lib/config.js';
import { needUsers, userAt } from '../lib/data.js';
import { SHED, member, outcomeOf, users } from '../lib/outcomes.js';
import { summary } from '../lib/summary.js';

const KEYS = ['first', 'second', 'third'];
const LATE_ATTEMPTS_MAX = 10;
// How long one iteration keeps its virtual user: three late looks and some slack.
const BUSY_SECONDS = replay.laterSeconds + 3;

const USERS = replay.rate * replay.seconds;

needUsers(USERS);

export const options = common(
  Object.assign(
    {
      executor: 'constant-arrival-rate',
      rate: replay.rate,
      timeUnit: '1s',
      // A second more, since an executor rounds; who is not needed does nothing.
      duration: `${replay.seconds + 1}s`,
    },
    virtualUsers(replay.rate, BUSY_SECONDS),
  ),
  {
    users_won: [`count==${USERS}`],
    claims_replayed: ['count>0'],
    claim_ms: [`p(95)<${limits.p95Ms}`],
    'http_req_failed{name:claim}': [`rate<=${limits.shedPerMille / 1000}`],
  },
);

export function setup() {
  return {
    single: publishedCoupon('Replay, one each', { limits: { total: null, per_user: 1 } }),
    keyed: publishedCoupon('Replay, three each', {
      limits: { total: null, per_user: KEYS.length },
    }),
  };
}

export default function storm({ single, keyed }) {
  const number = exec.scenario.iterationInTest;
  if (number >= USERS) {
    return;
  }
  const { pass } = userAt(number);
  users.tried.add(1);
  const mine = sendAtOnce(single, pass);
  const byKey = KEYS.map((key) => sendAtOnce(keyed, pass, key));

  check(byKey.map(idOf), {
    'three keys are three claims': (ids) => new Set(ids).size === KEYS.length,
  });
  const fourth = claimKnown(keyed, pass, 'fourth');
  check(fourth, { 'a fourth key is refused': ({ outcome }) => outcome === 'user_limit_reached' });
  const path = `/v1/coupons/${keyed}/claims`;
  const keyless = ask('POST', path, { pass, name: 'claim without key', wanted: [400] });
  check(keyless, {
    'without a key: 400 key_required': (answer) => member(answer, 'code') === 'key_required',
  });

  sleep(replay.laterSeconds);
  const same = [
    sendLater(single, pass, mine),
    sendLater(single, pass, mine, 'a-key-changes-nothing-at-limit-1'),
    ...KEYS.map((key, place) => sendLater(keyed, pass, byKey[place], key)),
  ];
  users[same.every((one) => one) ? 'won' : 'unsettled'].add(1);
}

const idOf = (answer) => member(answer.response, 'claim_id');
const isWhole = ({ outcome }) => outcome === 'granted' || outcome === 'replayed';

// Sends one claim several times in parallel. Returns an answer of it: a whole one where there is
// one, else one that was still pending.
function sendAtOnce(coupon, pass, key) {
  const requests = Array.from({ length: replay.atOnce }, () => claimRequest(coupon, pass, key));
  const answers = http
    .batch(requests)
    .map((response) => ({ response, outcome: outcomeOf(response) }));
  // All of them may have been sent away; the user does not give up.
  if (!answers.some((one) => isWhole(one) || one.outcome === 'pending')) {
    answers.push(claimKnown(coupon, pass, key));
  }
  const whole = answers.filter(isWhole);
  const ids = answers.filter((one) => isWhole(one) || one.outcome === 'pending').map(idOf);
  check(answers, {
    'at once: one claim id': () => new Set(ids).size === 1 && ids[0] !== undefined,
    'at once: one body': () => new Set(whole.map((one) => one.response.body)).size <= 1,
    'at once: granted at most once': () =>
      whole.filter((one) => one.outcome === 'granted').length <= 1,
    'at once: nobody is refused': () =>
      answers.every((one) => isWhole(one) || ['pending', ...SHED].includes(one.outcome)),
  });
  return whole[0] || answers.find((one) => one.outcome === 'pending') || answers[0];
}

// Sends a claim again when it is long settled; true where the answer is the same.
function sendLater(coupon, pass, before, key) {
  const late = claimKnown(coupon, pass, key);
  return check(late, {
    'later: 200 that says it is a repeat': ({ outcome }) => outcome === 'replayed',
    'later: the same claim id': (answer) => idOf(answer) === idOf(before),
    'later: the same body': ({ response }) =>
      before.outcome === 'pending' || response.body === before.response.body,
  });
}

// Claims until the answer is one that a repeat would get as well.
function claimKnown(coupon, pass, key) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = claim(coupon, pass, key);
    const known = ![...SHED, 'pending', 'outcome_unknown', 'no_answer'].includes(answer.outcome);
    if (known || attempt === LATE_ATTEMPTS_MAX) {
      return answer;
    }
    sleep(0.5);
  }
}

export function teardown({ single, keyed }) {
  auditCoupon(single, { granted: USERS });
  auditCoupon(keyed, { granted: USERS * KEYS.length });
}

export const handleSummary = summary('idempotent_replay');
