#!lua
-- hydrate_begin: starts to fill a coupon from the ledger, under a state that is not served.
--
-- KEYS (8): 1 lane  2 known  3 coupon  4 definition  5 users  6 devices  7 addresses  8 hydrated
-- ARGV: 1 epoch  2 keeper  3 coupon id  4 attempt  5 revision  6 packed rules
--   7 revision and document  8 highest lease in the ledger  9 seq
-- Returns: {DONE}; {ALREADY_READY}; {STALE_REVISION}; {SUPERSEDED}; {LOSS} for a coupon that is said
--   to be hydrated and is not; or a refusal.
-- Called by: the lane's keeper (LaneStore::hydrate_begin).
-- Guards: a coupon that serves is never written over; older terms never replace newer ones; of two
--   hydrations the later one wins; a retired coupon stays retired.
local lane, refusal = enter(ARGV[1], ARGV[2], WHILE_RECOVERING)
if not lane then return refusal end
local life = redis.call('HGET', KEYS[2], ARGV[3])
local coupon = redis.call('HMGET', KEYS[3], 'stock', 'attempt')
if coupon[1] then return { ALREADY_READY } end
if redis.call('SISMEMBER', KEYS[8], ARGV[3]) == 1 then return { LOSS } end
if life == 'retired' or (coupon[2] and tonumber(coupon[2]) > tonumber(ARGV[4])) then
  return { SUPERSEDED }
end
local held, revision = redis.call('GETRANGE', KEYS[4], 0, 3), tonumber(ARGV[5])
local in_force = held ~= '' and struct.unpack('>I4', held) or 0
if in_force > revision then return { STALE_REVISION } end
raise('seq', ARGV[9])
redis.call('UNLINK', KEYS[3], KEYS[5], KEYS[6], KEYS[7])
redis.call('HSET', KEYS[3], 'rules', ARGV[6], 'attempt', ARGV[4], 'begun', revision, 'last_lease', ARGV[8])
if in_force < revision then redis.call('SET', KEYS[4], ARGV[7]) end
if not life then
  redis.call('HSET', KEYS[2], ARGV[3], 'live')
  redis.call('HINCRBY', KEYS[1], 'known', 1)
end
return { DONE }
