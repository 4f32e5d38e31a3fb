// Every setting of the load tests in one place: by environment, with defaults for a laptop.
// README.md lists them.

function text(name, fallback) {
  const value = __ENV[name];
  return value === undefined || value === '' ? fallback : value;
}

// A whole number of at least `least`; anything else ends the run before it starts.
function count(name, fallback, least = 1) {
  const written = text(name, String(fallback));
  const value = Number(written);
  if (!Number.isInteger(value) || value < least) {
    throw new Error(`${name} must be a whole number from ${least}, not "${written}"`);
  }
  return value;
}

// Gateways, separated by commas: a virtual user stays with one, as a browser with its connection.
const gateways = text('SLUICE_DATA_URL', 'http://127.0.0.1:8080').split(',');

export const target = {
  data: gateways[__VU % gateways.length],
  control: text('SLUICE_CONTROL_URL', 'http://127.0.0.1:8081'),
  adminKey: text('SLUICE_ADMIN_KEY', ''),
};

// Absolute, because open() reads relative paths from the module's folder.
export const files = {
  passes: text('SLUICE_PASSES', ''),
  tokens: text('SLUICE_TOKENS', ''),
  results: text('RESULTS_DIR', 'loadtest/results'),
};

export const limits = {
  // A claim that takes longer than this at the 95th percentile fails the run.
  p95Ms: count('P95_MS', 1500),
  // 503 answers in a thousand claims that a storm may have; README.md says why it is not 0.
  shedPerMille: count('SHED_PER_MILLE', 50, 0),
  // How long setup() waits for the coupon's lane, and teardown() for an audit that can tell.
  warmUpSeconds: count('WARM_UP_SECONDS', 30),
  auditSeconds: count('AUDIT_SECONDS', 60),
};

export const smoke = { walks: count('SMOKE_WALKS', 5) };

export const flash = {
  pieces: count('FLASH_PIECES', 5000),
  users: count('FLASH_USERS', 50000),
  // Claims a second at the height of the storm. k6 itself costs more CPU than the server.
  peak: count('FLASH_PEAK', 1000),
  rampSeconds: count('FLASH_RAMP_SECONDS', 3),
  // Lanes that the coupon's stock is spread over.
  shards: count('FLASH_SHARDS', 1),
};

export const hotKey = {
  rate: count('HOT_KEY_RATE', 400),
  seconds: count('HOT_KEY_SECONDS', 30),
  // Pieces; 0 is unlimited.
  total: count('HOT_KEY_TOTAL', 0, 0),
};

export const replay = {
  rate: count('REPLAY_RATE', 20),
  seconds: count('REPLAY_SECONDS', 15),
  // Requests for one claim at the same instant.
  atOnce: count('REPLAY_AT_ONCE', 4, 2),
  laterSeconds: count('REPLAY_LATER_SECONDS', 2),
};

export const checkout = {
  // Shoppers a second; each sends some fifteen requests.
  rate: count('CHECKOUT_RATE', 20),
  seconds: count('CHECKOUT_SECONDS', 15),
};

// Virtual users for an arrival rate. All are made before the load begins: making them under way
// costs the CPU that the load needs, and each late one is a dropped iteration.
export function virtualUsers(rate, busySeconds) {
  const needed = Math.ceil(rate * busySeconds) + 10;
  return {
    preAllocatedVUs: count('VUS', needed),
    maxVUs: count('VUS_MAX', Math.max(needed * 2, count('VUS', needed))),
  };
}

// Options and pass rules that every scenario shares. An iteration that was dropped is a user who
// never came: then the load was not the one that was asked for, and the run is void.
export function options(scenario, thresholds) {
  return {
    scenarios: { storm: Object.assign({ gracefulStop: '30s' }, scenario) },
    setupTimeout: `${limits.warmUpSeconds + 30}s`,
    teardownTimeout: `${limits.auditSeconds * 2 + 30}s`,
    summaryTrendStats: ['min', 'med', 'avg', 'p(90)', 'p(95)', 'p(99)', 'max'],
    thresholds: Object.assign(
      {
        dropped_iterations: ['count==0'],
        checks: ['rate==1'],
        claims_unexpected: ['count==0'],
        users_unsettled: ['count==0'],
        users_lost: ['count==0'],
        audit_failures: ['count==0'],
        audits_exact: ['count>0'],
      },
      thresholds,
    ),
  };
}
