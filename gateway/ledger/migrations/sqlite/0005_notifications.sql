-- Messages to shoppers, and how far the reminders came.

-- The id follows from what the message is about: the key keeps it from being written twice.
CREATE TABLE notifications (
  id         BLOB    PRIMARY KEY CHECK (length(id) = 16),
  user       TEXT    NOT NULL,
  -- 0 a claim expires
  kind       INTEGER NOT NULL CHECK (kind = 0),
  coupon     INTEGER NOT NULL,
  hash       BLOB    NOT NULL CHECK (length(hash) = 12),
  version    INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  lead_ms    INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  read_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX notifications_by_user ON notifications (user, at, id);
CREATE INDEX notifications_by_end ON notifications (expires_at);

-- Claims of a version up to this ticket were gone through, for reminders of this lead.
CREATE TABLE reminder_cursors (
  coupon  INTEGER NOT NULL,
  version INTEGER NOT NULL,
  lead_ms INTEGER NOT NULL,
  ticket  INTEGER NOT NULL,
  PRIMARY KEY (coupon, version, lead_ms)
) STRICT, WITHOUT ROWID;
