-- A ledger as the program wrote it under schema 1. Never edited: it stands for files in the field.
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
INSERT INTO schema_version (version, name) VALUES (1, 'first');

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

INSERT INTO meta (only_row, ledger_id, hash_key, lanes, numbers_given, probes)
  VALUES (1, X'E7D9326E608BB66A18D3EA250464CCC0', X'ACA0B3246EFDB3FF7332C666092C5C0741CBA0845B1836010147FD3F7FA5CA5B', 1, 0, 0);
INSERT INTO lanes (lane, epoch, opened, keeper, holder, until, halted, seq)
  VALUES (0, 0, 0, 1, 'story', 1800000000000, NULL, 2);
INSERT INTO coupons (id, lane, revision, document, lifecycle, durability, published, retired, starts_at, ends_at, created_at, updated_at, name_key, ends_key, search)
  VALUES (1, 0, 1, '{"format":1,"coupon":{"format":"1","id":"0000001","number":1,"revision":1,"terms_revision":1,"version":1,"lifecycle":"draft","spec":{"terms":{"name":"Coupon 1","description":"","currency":"USD","benefit":{"type":"fixed","off":500},"conditions":{"min_spend":null,"min_spend_base":"initial","include":{"skus":[],"categories":[],"brands":[],"tags":[]},"exclude":{"skus":[],"categories":[],"brands":[],"tags":[]},"users":{"kind":"all"},"verified":[],"windows":[],"channels":[]},"stacking":{"stage":"order","priority":0,"group":"combinable","combines_with":[],"base":"running","tags":[]},"uses_per_claim":1,"uses_per_user":null,"budget":null,"budget_partial":"refuse","validity":{"type":"permanent"}},"code":"SUMMER","limits":{"total":10,"per_user":1,"per_device":2,"per_address":3},"distribution":["public"],"window":{"starts_at":null,"ends_at":null},"durability":"ledger","shards":1,"template":null,"notes":""},"first_open_at":null,"created_at":"2027-01-15T08:00:00Z","updated_at":"2027-01-15T08:00:00Z"}}', 0, 0, 0, 0, NULL, NULL, 1800000000000, 1800000000000, 'coupon 1', 9223372036854775807, 'coupon 1
summer
0000001');
INSERT INTO coupons (id, lane, revision, document, lifecycle, durability, published, retired, starts_at, ends_at, created_at, updated_at, name_key, ends_key, search)
  VALUES (2, 0, 1, '{"format":1,"coupon":{"format":"1","id":"0000002","number":2,"revision":1,"terms_revision":1,"version":1,"lifecycle":"live","spec":{"terms":{"name":"Coupon 2","description":"","currency":"USD","benefit":{"type":"fixed","off":500},"conditions":{"min_spend":null,"min_spend_base":"initial","include":{"skus":[],"categories":[],"brands":[],"tags":[]},"exclude":{"skus":[],"categories":[],"brands":[],"tags":[]},"users":{"kind":"all"},"verified":[],"windows":[],"channels":[]},"stacking":{"stage":"order","priority":0,"group":"combinable","combines_with":[],"base":"running","tags":[]},"uses_per_claim":1,"uses_per_user":null,"budget":null,"budget_partial":"refuse","validity":{"type":"permanent"}},"code":"SUMMER","limits":{"total":10,"per_user":1,"per_device":2,"per_address":3},"distribution":["public"],"window":{"starts_at":null,"ends_at":null},"durability":"ledger","shards":1,"template":null,"notes":""},"first_open_at":"2027-01-15T08:00:00Z","created_at":"2027-01-15T08:00:00Z","updated_at":"2027-01-15T08:00:00Z"}}', 1, 0, 1, 0, NULL, NULL, 1800000000000, 1800000000000, 'coupon 2', 9223372036854775807, 'coupon 2
summer
0000002');
INSERT INTO coupons (id, lane, revision, document, lifecycle, durability, published, retired, starts_at, ends_at, created_at, updated_at, name_key, ends_key, search)
  VALUES (3, 0, 1, '{"format":1,"coupon":{"format":"1","id":"0000003","number":3,"revision":1,"terms_revision":1,"version":1,"lifecycle":"archived","spec":{"terms":{"name":"Coupon 3","description":"","currency":"USD","benefit":{"type":"fixed","off":500},"conditions":{"min_spend":null,"min_spend_base":"initial","include":{"skus":[],"categories":[],"brands":[],"tags":[]},"exclude":{"skus":[],"categories":[],"brands":[],"tags":[]},"users":{"kind":"all"},"verified":[],"windows":[],"channels":[]},"stacking":{"stage":"order","priority":0,"group":"combinable","combines_with":[],"base":"running","tags":[]},"uses_per_claim":1,"uses_per_user":null,"budget":null,"budget_partial":"refuse","validity":{"type":"permanent"}},"code":"GONE","limits":{"total":10,"per_user":1,"per_device":2,"per_address":3},"distribution":["public"],"window":{"starts_at":null,"ends_at":null},"durability":"ledger","shards":1,"template":null,"notes":""},"first_open_at":"2027-01-15T08:00:00Z","created_at":"2027-01-15T08:00:00Z","updated_at":"2027-01-15T08:00:00Z"}}', 4, 0, 1, 0, NULL, NULL, 1800000000000, 1800000000000, 'coupon 3', 9223372036854775807, 'coupon 3
gone
0000003');
INSERT INTO coupon_versions (coupon, version, published, terms, hash, at, author)
  VALUES (2, 1, '{"version":1,"validity":{"type":"permanent"},"durability":"ledger"}', '{"name":"Coupon 2","description":"","currency":"USD","benefit":{"type":"fixed","off":500},"conditions":{"min_spend":null,"min_spend_base":"initial","include":{"skus":[],"categories":[],"brands":[],"tags":[]},"exclude":{"skus":[],"categories":[],"brands":[],"tags":[]},"users":{"kind":"all"},"verified":[],"windows":[],"channels":[]},"stacking":{"stage":"order","priority":0,"group":"combinable","combines_with":[],"base":"running","tags":[]},"uses_per_claim":1,"uses_per_user":null,"budget":null,"budget_partial":"refuse","validity":{"type":"permanent"}}', X'F5DD641E3701768F1B477A1619820A7383085AD5D4EB31C71369267F08858B51', 1800000000000, 'key:sample');
INSERT INTO coupon_versions (coupon, version, published, terms, hash, at, author)
  VALUES (3, 1, '{"version":1,"validity":{"type":"permanent"},"durability":"ledger"}', '{"name":"Coupon 3","description":"","currency":"USD","benefit":{"type":"fixed","off":500},"conditions":{"min_spend":null,"min_spend_base":"initial","include":{"skus":[],"categories":[],"brands":[],"tags":[]},"exclude":{"skus":[],"categories":[],"brands":[],"tags":[]},"users":{"kind":"all"},"verified":[],"windows":[],"channels":[]},"stacking":{"stage":"order","priority":0,"group":"combinable","combines_with":[],"base":"running","tags":[]},"uses_per_claim":1,"uses_per_user":null,"budget":null,"budget_partial":"refuse","validity":{"type":"permanent"}}', X'2F70F5EFBE80BE9A2014A30FC649C1A278B6F4A1F25D341947A97B6E023000D3', 1800000000000, 'key:sample');
INSERT INTO stock (coupon, total, target, leased, returned)
  VALUES (1, 10, NULL, 0, 0);
INSERT INTO stock (coupon, total, target, leased, returned)
  VALUES (2, 10, NULL, 4, 0);
INSERT INTO stock (coupon, total, target, leased, returned)
  VALUES (3, 10, NULL, 0, 0);
INSERT INTO leases (coupon, number, lane, epoch, first, size, state, hot_possible, returned, grace_until, rows, revoked)
  VALUES (2, 1, 0, 0, 1, 4, 0, 0, 0, NULL, 1, 0);
INSERT INTO claims (coupon, ticket, lease, hash, user, revision, version, granted_at, durability, revoked, device, address)
  VALUES (2, 1, 1, X'000000000000000000000000', 'u0000000', 1, 1, 1800000000000, 0, 0, NULL, NULL);
INSERT INTO audit_log (sequence, at, actor, action, object, before, after, request_id, previous, hash)
  VALUES (1, 1800000000000, 'key:sample', 'coupon.create', 'golden', '', '{}', 'r-1', X'0000000000000000000000000000000000000000000000000000000000000000', X'2BE75D5C8016AE1CC94B0EE534ADCC48DBE6EDB07301B7F299B31608F556E9AD');
INSERT INTO audit_log (sequence, at, actor, action, object, before, after, request_id, previous, hash)
  VALUES (2, 1800000000000, 'key:sample', 'coupon.create', 'golden', '', '{}', 'r-1', X'2BE75D5C8016AE1CC94B0EE534ADCC48DBE6EDB07301B7F299B31608F556E9AD', X'7304E2620CEEAA7BCB9D95C5E4CDF4073EA23423144AA676A3D4F195C80D5C97');
INSERT INTO audit_log (sequence, at, actor, action, object, before, after, request_id, previous, hash)
  VALUES (3, 1800000000000, 'key:sample', 'coupon.create', 'golden', '', '{}', 'r-1', X'7304E2620CEEAA7BCB9D95C5E4CDF4073EA23423144AA676A3D4F195C80D5C97', X'50F18630B7ACE36B6EC06E56511B26907BCF9047A0C6D96514D3C9F9081A5FC5');
