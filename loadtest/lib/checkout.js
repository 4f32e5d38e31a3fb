// Checkout as a storefront calls it, and what a cart must cost.

import { sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { ask } from './client.js';
import { member } from './outcomes.js';

// A 503 says that nothing was done, or that the same request tells: either way it is sent again.
const ATTEMPTS_MAX = 10;

const shed = new Counter('checkout_shed');
const unexpected = new Counter('checkout_unexpected');
const took = {
  look: new Trend('checkout_look_ms', true),
  change: new Trend('checkout_change_ms', true),
};

// How orders ended.
export const orders = {
  confirmed: new Counter('orders_confirmed'),
  cancelled: new Counter('orders_cancelled'),
  refunded: new Counter('orders_refunded'),
};

// One call; `wanted` are the statuses that are right. Returns the response.
function checkout(kind, method, path, { pass, name, body, wanted }) {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const headers = payload === undefined ? {} : { 'Content-Type': 'application/json' };
  for (let attempt = 1; ; attempt += 1) {
    const response = ask(method, path, { pass, headers, name, body: payload, wanted });
    if (response.status === 503 && attempt < ATTEMPTS_MAX) {
      shed.add(1);
      sleep(0.5);
      continue;
    }
    took[kind].add(response.timings.duration);
    if (!wanted.includes(response.status)) {
      unexpected.add(1);
      console.error(`${name}: ${response.status} ${response.body}`);
    }
    return response;
  }
}

export const look = (method, path, options) =>
  checkout('look', method, path, Object.assign({ wanted: [200] }, options));
export const change = (path, options) =>
  checkout('change', 'POST', path, Object.assign({ wanted: [200] }, options));

// === money: whole cents, written as the contract writes them ===

export const written = (cents) => `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;

// The cents of an amount in an answer; NaN where there is none.
export function cents(response, path) {
  const text = member(response, path);
  return /^\d+\.\d{2}$/.test(text) ? Number(text.replace('.', '')) : NaN;
}
