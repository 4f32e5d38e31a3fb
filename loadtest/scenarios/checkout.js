// Shoppers who claim, look at their wallet, match and price a cart, hold an order, and then pay or
// give it up; some send pieces back. Does every answer carry the amount that it must, and is each
// claim used exactly as often as orders were paid and kept?

import { check } from 'k6';
import exec from 'k6/execution';
import { admin, auditCoupon, claimUntilKnown, publishedCoupon } from '../lib/client.js';
import { cents, change, look, orders, written } from '../lib/checkout.js';
import { checkout as settings, limits, options as common, virtualUsers } from '../lib/config.js';
import { needUsers, userAt } from '../lib/data.js';
import { member } from '../lib/outcomes.js';
import { summary } from '../lib/summary.js';

const USERS = settings.rate * settings.seconds;
const PIECE = 3000;
const SHIPPING = 500;
const WORD_OFF = 200;
const PATIENCE = 10;
const BUSY_SECONDS = 5;

// What becomes of an order, by the last digit of the shopper's number.
const ENDS = [
  'cancel', 'cancel', 'pay', 'pay', 'pay', 'pay', 'one back', 'one back, then the rest', 'all back', 'pay',
];
const KEPT = ['pay', 'one back'];
const endOf = (number) => ENDS[number % ENDS.length];
// Every third shopper types the public word.
const typesWord = (number) => number % 3 === 0;

needUsers(USERS);

export const options = common(
  Object.assign(
    {
      executor: 'constant-arrival-rate',
      rate: settings.rate,
      timeUnit: '1s',
      // A second more, since an executor rounds; who is not needed does nothing.
      duration: `${settings.seconds + 1}s`,
    },
    virtualUsers(settings.rate, BUSY_SECONDS),
  ),
  {
    users_won: [`count==${USERS * 2}`],
    users_shed: ['count==0'],
    checkout_unexpected: ['count==0'],
    checkout_look_ms: [`p(95)<${limits.p95Ms}`],
    checkout_change_ms: [`p(95)<${limits.p95Ms}`],
  },
);

export function setup() {
  const plain = { total: null, per_user: 1 };
  const word = `LOAD${Date.now().toString(36)}`.toUpperCase();
  return {
    word,
    spend: publishedCoupon('Checkout spend and save', {
      limits: plain,
      benefit: {
        type: 'threshold',
        tiers: [{ spend: '50.00', off: '5.00' }, { spend: '100.00', off: '15.00' }],
      },
    }),
    percent: publishedCoupon('Checkout ten percent', {
      limits: plain,
      benefit: { type: 'percent', basis_points: 1000, max_off: null },
      stacking: { priority: 200 },
    }),
    byWord: publishedCoupon('Checkout word', {
      limits: plain,
      code: word,
      distribution: ['code'],
      benefit: { type: 'fixed', off: written(WORD_OFF) },
      stacking: { group: 'always', priority: 300 },
    }),
  };
}

// The cart of a shopper, and what it costs: the threshold first, ten percent of the rest, the word.
function cartOf(number) {
  const pieces = 1 + (number % 4);
  const subtotal = pieces * PIECE;
  const tier = subtotal >= 10000 ? 1500 : subtotal >= 5000 ? 500 : 0;
  const percent = Math.floor(((subtotal - tier) * 10 + 50) / 100);
  const discount = tier + percent + (typesWord(number) ? WORD_OFF : 0);
  return {
    pieces,
    tier,
    discount,
    total: subtotal + SHIPPING - discount,
    cart: {
      currency: 'USD',
      shipping: { price: written(SHIPPING) },
      lines: [{ id: 'l1', sku: 'A-1', quantity: pieces, unit_price: written(PIECE) }],
    },
  };
}

export default function shop(coupons) {
  const number = exec.scenario.iterationInTest;
  if (number >= USERS) {
    return;
  }
  const shopper = Object.assign({ number, pass: userAt(number).pass }, cartOf(number));
  const claims = [coupons.spend, coupons.percent].map(
    (coupon) => claimUntilKnown(coupon, shopper.pass, { patience: PATIENCE }).claimId,
  );
  // Below the first tier the threshold coupon does not apply, and may not be given.
  shopper.claims = shopper.tier > 0 ? claims : claims.slice(1);
  shopper.codes = typesWord(number) ? [coupons.word.toLowerCase()] : [];
  lookAround(shopper, claims);
  const redemption = hold(shopper);
  if (redemption !== undefined) {
    settle(shopper, redemption);
  }
}

function lookAround({ pass, cart, claims, codes, discount, total, tier }, all) {
  const wallet = look('GET', '/v1/wallet', { pass, name: 'wallet' });
  const items = member(wallet, 'items') || [];
  check(items, {
    'the wallet has both claims': () => all.every((id) => items.some((one) => one.claim_id === id)),
  });
  const matched = look('POST', '/v1/wallet/match', { pass, name: 'match', body: { cart } });
  const verdicts = new Map((member(matched, 'claims') || []).map((one) => [one.claim_id, one]));
  check(verdicts, {
    'the match knows what applies': () =>
      all.every((id, place) => {
        const applies = place === 1 || tier > 0;
        const { verdict, reasons = [] } = verdicts.get(id) || {};
        return applies ? verdict === 'applies' : reasons.length > 0 && !!reasons[0].fix;
      }),
  });
  const body = { cart, claims, codes, choose: 'given' };
  const quote = look('POST', '/v1/quotes', { pass, name: 'quote', body });
  check(quote, {
    'the quote has the discount': (one) => cents(one, 'discount') === discount,
    'the quote has the total': (one) => cents(one, 'total') === total,
    'what was taken off adds up': (one) => sumOfApplied(one) === discount,
  });
}

// Values of the claims, each the sum of its lines' single pieces.
function sumOfApplied(quote) {
  const cent = (text) => Number(text.replace('.', ''));
  let sum = 0;
  for (const applied of member(quote, 'applied') || []) {
    const pieces = applied.lines.flatMap((line) => line.per_unit).map(cent);
    const value = pieces.reduce((total, one) => total + one, cent(applied.shipping_off));
    sum += value === cent(applied.value) ? value : NaN;
  }
  return sum;
}

function hold({ number, pass, cart, claims, codes, total }) {
  const body = { cart, claims, codes, order_id: `load-${exec.scenario.startTime}-${number}` };
  const path = '/v1/redemptions';
  const wrong = Object.assign({ expected_total: written(total + 1) }, body);
  const refused = change(path, { pass, name: 'hold', body: wrong, wanted: [409] });
  check(refused, {
    'another total is not held': (one) =>
      member(one, 'code') === 'price_changed' && cents(one, 'actual') === total,
  });
  const right = Object.assign({ expected_total: written(total) }, body);
  const held = change(path, { pass, name: 'hold', body: right, wanted: [200, 201] });
  const again = change(path, { pass, name: 'hold again', body: right });
  check(held, {
    'the order is held at the total': (one) =>
      member(one, 'status') === 'held' && cents(one, 'total') === total,
    'holding again changes nothing': (one) =>
      again.body === one.body && again.headers['Idempotency-Replayed'] === 'true',
  });
  return member(held, 'redemption_id');
}

function settle({ number, pass, claims, pieces, total }, id) {
  const end = endOf(number);
  const path = `/v1/redemptions/${id}`;
  const call = (verb, body, wanted) =>
    change(`${path}/${verb}`, { pass, name: verb, body, wanted: wanted || [200] });
  if (end === 'cancel') {
    const cancelled = call('cancel');
    check(cancelled, { 'a cancelled order says so': (one) => member(one, 'status') === 'cancelled' });
    orders.cancelled.add(1);
  } else {
    const paid = call('confirm');
    check(paid, {
      'a paid order costs what was held': (one) =>
        member(one, 'status') === 'confirmed' && cents(one, 'total') === total,
    });
    check(call('cancel', undefined, [409]), {
      'a paid order cannot be cancelled': (one) => member(one, 'state') === 'confirmed',
    });
    orders.confirmed.add(1);
    giveBack(end, call, pieces, total);
  }
  const status = member(
    look('GET', `/v1/claims/${claims[0]}`, { pass, name: 'claim status' }),
    'status',
  );
  // The last piece of an order is the whole order.
  const kept = end === 'pay' || (end === 'one back' && pieces > 1);
  check(status, { 'a claim is used where the order was kept': (one) => one === (kept ? 'used' : 'usable') });
}

function giveBack(end, call, pieces, total) {
  let paidOut = 0;
  if (end.startsWith('one back')) {
    const one = { refund_id: 'one', lines: [{ id: 'l1', quantity: 1 }] };
    const refund = call('refunds', one);
    const again = call('refunds', one);
    paidOut = cents(refund, 'refund');
    check(refund, {
      'one piece costs less than all': () => (pieces > 1 ? paidOut < total : paidOut === total),
      'a refund repeated is paid once': () => again.body === refund.body,
    });
    if (pieces === 1) {
      orders.refunded.add(1);
      return;
    }
  }
  if (end === 'all back' || end === 'one back, then the rest') {
    const rest = call('refunds', { refund_id: 'rest', full: true });
    check(rest, {
      'everything back is what was paid': (one) =>
        member(one, 'status') === 'refunded' && paidOut + cents(one, 'refund') === total,
    });
    orders.refunded.add(1);
  }
}

// How often a coupon was used: by the shoppers that gave it, whose order was paid and kept.
function usesOf(gives) {
  let uses = 0;
  for (let number = 0; number < USERS; number += 1) {
    const end = endOf(number);
    const kept = KEPT.includes(end) && !(end === 'one back' && cartOf(number).pieces === 1);
    uses += kept && gives(number) ? 1 : 0;
  }
  return uses;
}

export function teardown({ spend, percent, byWord }) {
  const everybody = () => true;
  for (const [coupon, granted, gives] of [
    [spend, USERS, (number) => cartOf(number).tier > 0],
    [percent, USERS, everybody],
    [byWord, undefined, typesWord],
  ]) {
    auditCoupon(coupon, { granted });
    const { counts } = admin('GET', `/admin/v1/coupons/${coupon}`).json();
    check(counts, {
      'each coupon was used as often as orders were kept': ({ redeemed }) => redeemed === usesOf(gives),
    });
  }
}

export const handleSummary = summary('checkout');
