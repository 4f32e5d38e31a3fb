#!lua flags=allow-oom
-- mark: publishes how far the outbox is durable, and trims it up to there.
--
-- KEYS (4): 1 lane  2 mark  3 refused  4 outbox
-- ARGV: 1 epoch  2 keeper  3 mark  4 seq
-- Returns: facts (see prologue.lua); {LOSS} for a mark that goes back, goes beyond the tail or finds
--   none before it; or a refusal.
-- Called by: the lane's keeper, after the append was committed (LaneStore::mark).
-- Guards: what is trimmed is in the ledger, or set aside in it. It frees memory, so it runs out of
--   memory too.
local lane, refusal = enter(ARGV[1], ARGV[2])
if not lane then return refusal end
local mark, held = tonumber(ARGV[3]), tonumber(redis.call('GET', KEYS[2]) or '')
if not held or mark < held or mark > tonumber(lane[5]) then return { LOSS } end
raise('seq', ARGV[4])
redis.call('SET', KEYS[2], ARGV[3])
redis.call('XTRIM', KEYS[4], 'MINID', string.format('%d-1', mark))
return facts(KEYS[2], KEYS[3])
