#!lua flags=no-writes
-- coupons: the coupons that a lane knows, and which of them are hydrated.
--
-- KEYS (3): 1 lane  2 known  3 hydrated
-- ARGV: 1 epoch  2 1 to read what is left of a lane after a loss
-- Returns: {DONE, [known id, life, …], [hydrated id …]}; {LOSS} where a size differs; or a refusal.
-- Called by: the keeper's start, the audit (LaneStore::coupons); recovery (LaneStore::last_seen).
-- Guards: the list is complete or refused; after a loss it is what is there, and decides nothing but
--   whether the ledger was set back.
local left = ARGV[2] == '1'
local lane, refusal = enter(ARGV[1], nil, IN_ANY_STATE, true, left)
if not lane then return refusal end
local known, hydrated = redis.call('HGETALL', KEYS[2]), redis.call('SMEMBERS', KEYS[3])
local sizes = redis.call('HMGET', KEYS[1], 'known', 'hydrated')
if not left and lane[2] == 'open'
  and (#known / 2 ~= tonumber(sizes[1]) or #hydrated ~= tonumber(sizes[2])) then return { LOSS } end
return { DONE, known, hydrated }
