-- The ledger as first made. Numbers that are u64 in code stay below 2^63 here.
-- Instants are milliseconds since 1970-01-01T00:00:00Z; ids are as in the domain crate.

CREATE TABLE meta (
  only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
  ledger_id     BLOB    NOT NULL CHECK (length(ledger_id) = 16),
  hash_key      BLOB    NOT NULL CHECK (length(hash_key) = 32),
  lanes         INTEGER NOT NULL CHECK (lanes BETWEEN 1 AND 256),
  numbers_given INTEGER NOT NULL DEFAULT 0,
  -- Raised by the probe that asks whether a full disk has room again.
  probes        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE lanes (
  lane   INTEGER PRIMARY KEY,
  epoch  INTEGER NOT NULL DEFAULT 0,
  opened INTEGER NOT NULL DEFAULT 0 CHECK (opened <= epoch),
  keeper INTEGER NOT NULL DEFAULT 0,
  holder TEXT    NOT NULL DEFAULT '',
  until  INTEGER NOT NULL DEFAULT 0,
  halted TEXT,
  seq    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- `document` is the coupon as JSON with its format number; the other columns are copies to search
-- and sort by, written in the same statement.
CREATE TABLE coupons (
  id         INTEGER PRIMARY KEY,
  lane       INTEGER NOT NULL REFERENCES lanes (lane),
  revision   INTEGER NOT NULL,
  document   TEXT    NOT NULL,
  -- 0 draft, 1 live, 2 paused, 3 ended, 4 archived
  lifecycle  INTEGER NOT NULL CHECK (lifecycle BETWEEN 0 AND 4),
  -- 0 ledger, 1 hot
  durability INTEGER NOT NULL CHECK (durability IN (0, 1)),
  published  INTEGER NOT NULL CHECK (published IN (0, 1)),
  retired    INTEGER NOT NULL DEFAULT 0 CHECK (retired IN (0, 1)),
  starts_at  INTEGER,
  ends_at    INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  name_key   TEXT    NOT NULL,
  -- The end of the claim window as a sort key: open ends last.
  ends_key   INTEGER NOT NULL,
  search     TEXT    NOT NULL
) STRICT;
CREATE INDEX coupons_by_created ON coupons (created_at, id);
CREATE INDEX coupons_by_updated ON coupons (updated_at, id);
CREATE INDEX coupons_by_name ON coupons (name_key, id);
CREATE INDEX coupons_by_end ON coupons (ends_key, id);
CREATE INDEX coupons_published ON coupons (lane, id) WHERE published = 1;

CREATE TABLE coupon_versions (
  coupon    INTEGER NOT NULL REFERENCES coupons (id),
  version   INTEGER NOT NULL,
  published TEXT    NOT NULL,
  terms     TEXT    NOT NULL,
  hash      BLOB    NOT NULL CHECK (length(hash) = 32),
  at        INTEGER NOT NULL,
  author    TEXT    NOT NULL,
  PRIMARY KEY (coupon, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE stock (
  coupon   INTEGER PRIMARY KEY REFERENCES coupons (id),
  total    INTEGER,
  target   INTEGER,
  leased   INTEGER NOT NULL DEFAULT 0,
  returned INTEGER NOT NULL DEFAULT 0 CHECK (returned BETWEEN 0 AND leased),
  CHECK (total IS NULL OR leased - returned <= total)
) STRICT;

CREATE TABLE leases (
  coupon       INTEGER NOT NULL REFERENCES coupons (id),
  number       INTEGER NOT NULL CHECK (number >= 1),
  lane         INTEGER NOT NULL REFERENCES lanes (lane),
  epoch        INTEGER NOT NULL,
  first        INTEGER NOT NULL CHECK (first >= 1),
  size         INTEGER NOT NULL CHECK (size BETWEEN 1 AND 8192),
  -- 0 open, 1 quarantined, 2 closed
  state        INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  hot_possible INTEGER NOT NULL CHECK (hot_possible IN (0, 1)),
  returned     INTEGER NOT NULL DEFAULT 0,
  grace_until  INTEGER,
  -- Claim rows under the lease, and how many of them are revoked.
  rows         INTEGER NOT NULL DEFAULT 0,
  revoked      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (coupon, number),
  CHECK (rows <= size AND revoked <= rows),
  CHECK (returned BETWEEN 0 AND size - rows + revoked)
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_live ON leases (lane) WHERE state < 2;

-- A row per claim, in the order of tickets: new rows go to the end of their coupon. The claim id is
-- the coupon's id and `hash`.
CREATE TABLE claims (
  coupon     INTEGER NOT NULL,
  ticket     INTEGER NOT NULL,
  lease      INTEGER NOT NULL,
  hash       BLOB    NOT NULL,
  user       TEXT    NOT NULL,
  revision   INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  granted_at INTEGER NOT NULL,
  -- 0 ledger, 1 hot
  durability INTEGER NOT NULL,
  revoked    INTEGER NOT NULL DEFAULT 0,
  device     BLOB,
  address    BLOB,
  PRIMARY KEY (coupon, ticket)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX claims_by_id ON claims (coupon, hash);
CREATE INDEX claims_by_coupon_user ON claims (coupon, user);
CREATE INDEX claims_by_user ON claims (user, granted_at);

CREATE TABLE dead_letters (
  id       INTEGER PRIMARY KEY,
  lane     INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  entry    INTEGER NOT NULL,
  -- Empty where the whole entry was set aside.
  claim_id BLOB    NOT NULL,
  at       INTEGER NOT NULL,
  reason   TEXT    NOT NULL,
  payload  BLOB    NOT NULL,
  UNIQUE (lane, epoch, entry, claim_id)
) STRICT;

CREATE TABLE operations (
  scope       TEXT    NOT NULL,
  key         TEXT    NOT NULL,
  fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32),
  status      INTEGER NOT NULL,
  body        BLOB    NOT NULL,
  at          INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  prefix     TEXT    PRIMARY KEY,
  hash       BLOB    NOT NULL CHECK (length(hash) = 32),
  label      TEXT    NOT NULL,
  -- JSON: a role or null; a list of scopes.
  role       TEXT    NOT NULL,
  scopes     TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_log (
  sequence   INTEGER PRIMARY KEY,
  at         INTEGER NOT NULL,
  actor      TEXT    NOT NULL,
  action     TEXT    NOT NULL,
  object     TEXT    NOT NULL,
  before     TEXT    NOT NULL,
  after      TEXT    NOT NULL,
  request_id TEXT    NOT NULL,
  previous   BLOB    NOT NULL CHECK (length(previous) = 32),
  hash       BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_log_by_object ON audit_log (object, sequence);
