#!lua flags=allow-oom
-- halt: stops a lane until an operator decides.
--
-- KEYS (1): 1 lane
-- ARGV: 1 epoch  2 keeper
-- Returns: {DONE}; or a refusal.
-- Called by: the keeper, when the ledger turns out to be older than Redis (LaneStore::halt).
-- Guards: a ledger that was set back sells nothing twice. Only a fence of a higher epoch, which the
--   ledger refuses before the operator's word, ends a halt.
local lane, refusal = enter(ARGV[1], ARGV[2], IN_ANY_STATE, true)
if not lane then return refusal end
redis.call('HSET', KEYS[1], 'state', 'halted')
return { DONE }
