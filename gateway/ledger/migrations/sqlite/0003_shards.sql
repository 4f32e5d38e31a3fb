-- Shards of a coupon's stock: shard k lives in lane (lane + k) modulo the lanes. A copy from the
-- document, to find the coupons of a lane by.
ALTER TABLE coupons ADD COLUMN shards INTEGER NOT NULL DEFAULT 1;

-- Nearly every coupon has one shard: those that have more are few.
CREATE INDEX coupons_sharded ON coupons (id, lane, shards, retired) WHERE shards > 1 AND published = 1;
