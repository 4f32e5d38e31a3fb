#!lua flags=allow-oom
-- forget: removes the state of a coupon whose leases are closed, and marks it retired.
--
-- KEYS (7): 1 lane  2 known  3 hydrated  4 coupon  5 users  6 devices  7 addresses
-- ARGV: 1 epoch  2 keeper  3 coupon id
-- Returns: {DONE}, also for a repeat; or a refusal.
-- Called by: the lane's keeper, for retention (LaneStore::forget).
-- Guards: the mark "retired" comes first, so that a touch does not hydrate the coupon again. Its
--   definition stays: repeats are answered from the ledger with it.
local lane, refusal = enter(ARGV[1], ARGV[2])
if not lane then return refusal end
redis.call('HINCRBY', KEYS[1], 'known', redis.call('HSET', KEYS[2], ARGV[3], 'retired'))
-- Not a unary minus: of 0 that is "-0", which is no integer to Redis.
redis.call('HINCRBY', KEYS[1], 'hydrated', 0 - redis.call('SREM', KEYS[3], ARGV[3]))
redis.call('UNLINK', KEYS[4], KEYS[5], KEYS[6], KEYS[7])
return { DONE }
