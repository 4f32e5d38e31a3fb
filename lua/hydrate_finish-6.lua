#!lua
-- hydrate_finish: the coupon serves from here on.
--
-- KEYS (6): 1 lane  2 hydrated  3 coupon  4 users  5 devices  6 addresses
-- ARGV: 1 epoch  2 keeper  3 coupon id  4 attempt  5 users  6 devices  7 addresses filled
--   8 delay in ms between the fence and the first grant
-- Returns: {DONE}; {ALREADY_READY}; {STALE_REVISION}; {COUNTS_DIFFER}; {SUPERSEDED}; or a refusal.
-- Called by: the lane's keeper (LaneStore::hydrate_finish).
-- Guards: the numbers are those of the rows that were read, never of what is found here. `stock`,
--   which makes the coupon ready, is written last.
local lane, refusal = enter(ARGV[1], ARGV[2], WHILE_RECOVERING)
if not lane then return refusal end
local coupon = redis.call('HMGET', KEYS[3], 'stock', 'attempt', 'begun', 'rules', 'last_lease')
if coupon[1] then return { ALREADY_READY } end
if coupon[2] ~= ARGV[4] then return { SUPERSEDED } end
if struct.unpack('>I4', coupon[4]) ~= tonumber(coupon[3]) then return { STALE_REVISION } end
for filled = 5, 7 do
  if redis.call('HLEN', KEYS[filled - 1]) ~= tonumber(ARGV[filled]) then return { COUNTS_DIFFER } end
end
local opens_at = tonumber(redis.call('HGET', KEYS[1], 'fenced_at')) + tonumber(ARGV[8])
if redis.call('SADD', KEYS[2], ARGV[3]) == 1 then redis.call('HINCRBY', KEYS[1], 'hydrated', 1) end
redis.call('HDEL', KEYS[3], 'attempt', 'begun', 'last_lease')
redis.call('HSET', KEYS[3], 'leases', '', 'stock', struct.pack(STOCK, 0, 0, 0, tonumber(coupon[5]), 0,
  opens_at, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), 0))
return { DONE }
