#!lua flags=no-writes
-- figures: what a coupon's hash says.
--
-- KEYS (2): 1 lane  2 coupon
-- ARGV: 1 epoch  2 1 to read what is left of a lane after a loss
-- Returns: {DONE, rules, stock or null, leases, highest lease while hydrating}; {UNKNOWN_COUPON} where
--   there is no such hash; or a refusal.
-- Called by: gauges, audit, the keeper (LaneStore::figures); recovery
--   (LaneStore::last_seen).
-- Guards: nothing; it decides nothing.
local lane, refusal = enter(ARGV[1], nil, IN_ANY_STATE, true, ARGV[2] == '1')
if not lane then return refusal end
local coupon = redis.call('HMGET', KEYS[2], 'rules', 'stock', 'leases', 'last_lease')
if not coupon[1] then return { UNKNOWN_COUPON } end
return { DONE, coupon[1], coupon[2], coupon[3] or '', coupon[4] or '0' }
