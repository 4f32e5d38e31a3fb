#!lua flags=allow-oom
-- sweep: unlinks a key of an epoch that is over and salvaged.
--
-- KEYS (2): 1 lane  2 the key
-- ARGV: 1 the epoch that the key belongs to
-- Returns: {DONE, 0 or 1}; {IGNORED} for an epoch that is current, later or not yet salvaged; or a
--   refusal.
-- Called by: the lane's keeper, in slices (LaneStore::sweep_epoch).
-- Guards: nothing goes that may still have to be salvaged.
local lane = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'replid', 'unsalvaged')
if not lane[1] then return { MISSING } end
if not same_server(lane[3]) then return { SERVER_CHANGED } end
if tonumber(ARGV[1]) >= tonumber(lane[1]) or lane[2] ~= 'open'
  or string.find(',' .. lane[4] .. ',', ',' .. ARGV[1] .. ',', 1, true) then return { IGNORED } end
return { DONE, redis.call('UNLINK', KEYS[2]) }
