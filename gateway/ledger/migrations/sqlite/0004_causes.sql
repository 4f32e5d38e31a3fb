-- Claims that were granted because of an order, and orders that were cancelled.

-- From here on nothing is granted because of the order; the first time counts.
CREATE TABLE cancelled_orders (
  order_id TEXT    PRIMARY KEY,
  at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Written before the grant. The claim's id is the coupon's id and `hash`, as in `claims`.
CREATE TABLE causes (
  order_id TEXT    NOT NULL,
  coupon   INTEGER NOT NULL,
  hash     BLOB    NOT NULL CHECK (length(hash) = 12),
  user     TEXT    NOT NULL,
  at       INTEGER NOT NULL,
  -- 0 intended, 1 granted, 2 refused, 3 revoked, 4 flagged
  state    INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
  PRIMARY KEY (order_id, coupon, hash)
) STRICT, WITHOUT ROWID;
