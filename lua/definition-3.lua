#!lua flags=no-writes
-- definition: reads the published form of a coupon.
--
-- KEYS (3): 1 lane  2 known  3 definition
-- ARGV: 1 epoch  2 coupon id
-- Returns: {DONE, 'live' or 'retired', revision and document}; {UNKNOWN_COUPON}; or a refusal.
-- Called by: the claim engine's definition cache (ClaimStore::definition).
-- Guards: an unknown coupon is one that a complete list does not name; a lost key is a loss, never
--   a 404.
local lane, refusal = enter(ARGV[1])
if not lane then return refusal end
if redis.call('HLEN', KEYS[2]) ~= tonumber(redis.call('HGET', KEYS[1], 'known')) then
  return { LOSS }
end
local life = redis.call('HGET', KEYS[2], ARGV[2])
if not life then return { UNKNOWN_COUPON } end
local document = redis.call('GET', KEYS[3])
if not document then return { LOSS } end
return { DONE, life, document }
