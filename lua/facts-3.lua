#!lua flags=no-writes
-- facts: reads the lane hash raw, also of a lane that serves nothing.
--
-- KEYS (3): 1 lane  2 mark  3 refused
-- ARGV: 1 the epoch that keys 2 and 3 are named after
-- Returns: facts (see prologue.lua); {EPOCH, epoch} where the keys are another's; {MISSING}.
-- Called by: the keeper, recovery, `sluice lane status` (LaneStore::facts).
-- Guards: nothing; it decides nothing.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return { MISSING } end
if epoch ~= ARGV[1] then return { EPOCH, epoch } end
return facts(KEYS[2], KEYS[3])
