#!lua flags=allow-oom
-- sweep: unlinks a key of an epoch that is over and salvaged.
--
-- KEYS (2): 1 lane  2 the key
-- ARGV: 1 the epoch that the key belongs to
-- Returns: {DONE, 0 or 1}; {IGNORED} for an epoch that is current, later or not yet salvaged; or a
--   refusal.
-- Called by: the lane's keeper, in slices (LaneStore::sweep_epoch).
-- Guards: nothing goes that may still have to be salvaged.
local lane = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'replid')
if not lane[1] then return { MISSING } end
if not same_server(lane[3]) then return { SERVER_CHANGED } end
-- An open lane has no older epoch that is not salvaged: opening forgets the list.
if tonumber(ARGV[1]) >= tonumber(lane[1]) or lane[2] ~= 'open' then return { IGNORED } end
return { DONE, redis.call('UNLINK', KEYS[2]) }
