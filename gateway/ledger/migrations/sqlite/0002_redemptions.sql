-- Checkout: redemptions, their events, and the uses of claims that they hold or spent.

-- `document` is the redemption as JSON with its format; the other columns are copies to find it by,
-- written in the same statement.
CREATE TABLE redemptions (
  id          BLOB    PRIMARY KEY CHECK (length(id) = 16),
  order_id    TEXT    NOT NULL UNIQUE,
  user        TEXT    NOT NULL,
  -- 0 held, 1 confirmed, 2 cancelled, 3 expired, 4 partially refunded, 5 refunded
  status      INTEGER NOT NULL CHECK (status BETWEEN 0 AND 5),
  row_version INTEGER NOT NULL CHECK (row_version >= 1),
  held_until  INTEGER NOT NULL,
  document    TEXT    NOT NULL
) STRICT;
CREATE INDEX redemptions_due ON redemptions (held_until, id) WHERE status = 0;

-- One row per transition, never changed.
CREATE TABLE redemption_events (
  redemption   BLOB    NOT NULL REFERENCES redemptions (id),
  row_version  INTEGER NOT NULL CHECK (row_version >= 1),
  at           INTEGER NOT NULL,
  -- A status as above; null before the first.
  from_status  INTEGER CHECK (from_status BETWEEN 0 AND 5),
  to_status    INTEGER NOT NULL CHECK (to_status BETWEEN 0 AND 5),
  operation_id TEXT    NOT NULL,
  fingerprint  BLOB    NOT NULL CHECK (length(fingerprint) = 32),
  actor        TEXT    NOT NULL,
  result       TEXT    NOT NULL,
  UNIQUE (redemption, row_version),
  UNIQUE (redemption, operation_id)
) STRICT;

-- Live uses only: a freed use is deleted, so that limits are counts of rows and the key keeps two
-- uses of one number apart. What was freed, when and why is in the events.
CREATE TABLE claim_uses (
  coupon     INTEGER NOT NULL,
  -- The claim's id without its coupon, as in `claims`.
  hash       BLOB    NOT NULL,
  use_number INTEGER NOT NULL CHECK (use_number >= 1),
  redemption BLOB    NOT NULL REFERENCES redemptions (id),
  order_id   TEXT    NOT NULL,
  user       TEXT    NOT NULL,
  -- Null: spent.
  held_until INTEGER,
  value      INTEGER NOT NULL CHECK (value >= 0),
  -- Null: uses of its user are not limited.
  period     TEXT,
  PRIMARY KEY (coupon, hash, use_number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX claim_uses_by_redemption ON claim_uses (redemption, coupon, hash);
CREATE INDEX claim_uses_by_user ON claim_uses (coupon, user, period) WHERE period IS NOT NULL;

-- What the rows of `claim_uses` come to, kept with them: a budget is checked without a sum.
CREATE TABLE coupon_usage (
  coupon INTEGER PRIMARY KEY REFERENCES coupons (id),
  uses   INTEGER NOT NULL,
  spent  INTEGER NOT NULL CHECK (spent >= 0),
  value  INTEGER NOT NULL CHECK (value >= 0),
  CHECK (uses >= spent),
  CHECK (uses > 0 OR value = 0)
) STRICT;

-- Every redemption that ever used a claim of the coupon, newest first by the order it was made in.
CREATE TABLE coupon_redemptions (
  coupon     INTEGER NOT NULL REFERENCES coupons (id),
  created_at INTEGER NOT NULL,
  redemption BLOB    NOT NULL REFERENCES redemptions (id),
  PRIMARY KEY (coupon, created_at, redemption)
) STRICT, WITHOUT ROWID;

-- The public words in use: of coupons that are not archived, one coupon per word. Earlier versions
-- let two coupons have one word; the one that was published first, then the older one, keeps it.
CREATE TABLE coupon_codes (
  code   TEXT    PRIMARY KEY,
  coupon INTEGER NOT NULL UNIQUE REFERENCES coupons (id)
) STRICT, WITHOUT ROWID;
INSERT INTO coupon_codes (code, coupon)
  SELECT document ->> '$.coupon.spec.code', id FROM coupons
  WHERE lifecycle < 4 AND document ->> '$.coupon.spec.code' IS NOT NULL
  ORDER BY published DESC, created_at, id
  ON CONFLICT DO NOTHING;
