#!lua flags=allow-oom
-- take: puts a new keeper in charge of a lane, in the same epoch.
--
-- KEYS (3): 1 lane  2 mark  3 refused
-- ARGV: 1 epoch  2 keeper  3 lease_until  4 ledger id
-- Returns: facts (see prologue.lua); {DEPOSED, epoch, keeper} where the number does not rise or the
--   epoch is another; or a refusal.
-- Called by: a keeper that the ledger gave the lane to (LaneStore::take).
-- Guards: keeper numbers rise, so that a late keeper changes nothing. lease_until is the lane's
--   clock as read before the ledger confirmed the keeper, so it never grows by delay; a lane of
--   another ledger is not prolonged.
local lane, refusal = enter(ARGV[1], nil, IN_ANY_STATE, true)
if not lane then
  if refusal[1] == EPOCH then
    return { DEPOSED, refusal[2], redis.call('HGET', KEYS[1], 'keeper') }
  end
  return refusal
end
if tonumber(ARGV[2]) <= tonumber(lane[6]) then return { DEPOSED, lane[1], lane[6] } end
redis.call('HSET', KEYS[1], 'keeper', ARGV[2])
if redis.call('HGET', KEYS[1], 'ledger_id') == ARGV[4] then raise('lease_until', ARGV[3]) end
return facts(KEYS[2], KEYS[3])
