#!lua flags=allow-oom
-- open: makes a recovered lane serve.
--
-- KEYS (3): 1 lane  2 known  3 mark
-- ARGV: 1 epoch  2 keeper  3 lease_until  4 seq  5 the ledger id that the lane belongs to from now
--   on, or '' for the one it has  6 how many of the coupons are live
--   then ids of known coupons, the live ones first, then the retired ones
-- Returns: {DONE}, also for a repeat, which changes nothing; {HALTED}; or a refusal.
-- Called by: the keeper, after `opened` was set in the ledger (LaneStore::open).
-- Guards: everything of older epochs is salvaged, so it is forgotten here; the mark begins at the
--   tail. An operator's word gives the lane to another ledger only here, when all is done: until
--   then every restart asks again. Coupons join what installs have made known meanwhile; nothing is taken away.
local lane, refusal = enter(ARGV[1], ARGV[2], WHILE_RECOVERING, true)
if not lane then return refusal end
if lane[2] == 'open' then return { DONE } end
local live = tonumber(ARGV[6])
for i = 7, #ARGV do
  if i - 6 <= live then
    redis.call('HSETNX', KEYS[2], ARGV[i], 'live')
  else
    redis.call('HSET', KEYS[2], ARGV[i], 'retired')
  end
end
raise('seq', ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'ledger_id', ARGV[5]) end
redis.call('SET', KEYS[3], lane[5])
redis.call('HSET', KEYS[1], 'known', redis.call('HLEN', KEYS[2]), 'lease_until', ARGV[3],
  'unsalvaged', '', 'state', 'open')
return { DONE }
