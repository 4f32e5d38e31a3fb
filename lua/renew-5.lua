#!lua flags=allow-oom
-- renew: prolongs the lane's lease, and looks whether anything small got lost.
--
-- KEYS (5): 1 lane  2 mark  3 refused  4 known  5 hydrated
-- ARGV: 1 epoch  2 keeper  3 lease_until  4 seq
-- Returns: facts (see prologue.lua); {EVICTING} where the server may evict keys; {LOSS} where a set
--   does not have the size that the lane remembers or the mark is gone; or a refusal.
-- Called by: the lane's keeper, after the ledger confirmed it (LaneStore::renew).
-- Guards: an isolated primary stops granting when its lease is over. Never shortened, so a delayed
--   renewal changes nothing.
local lane, refusal = enter(ARGV[1], ARGV[2], nil, true)
if not lane then return refusal end
local memory = redis.call('INFO', 'memory')
if not string.find(memory, 'maxmemory_policy:noeviction', 1, true) then return { EVICTING } end
local sizes = redis.call('HMGET', KEYS[1], 'refused', 'known', 'hydrated')
if redis.call('EXISTS', KEYS[2]) == 0
  or redis.call('SCARD', KEYS[3]) ~= tonumber(sizes[1])
  or redis.call('HLEN', KEYS[4]) ~= tonumber(sizes[2])
  or redis.call('SCARD', KEYS[5]) ~= tonumber(sizes[3]) then return { LOSS } end
raise('lease_until', ARGV[3])
raise('seq', ARGV[4])
return facts(KEYS[2], KEYS[3])
