#!lua flags=no-writes
-- outbox: reads entries of an epoch's stream, of the current epoch or of an older one.
--
-- KEYS (2): 1 lane  2 outbox
-- ARGV: 1 the entry to read after  2 how many at most
-- Returns: {DONE, [id, [field, value …]] …}; {MISSING}; {SERVER_CHANGED}.
-- Called by: the lane's keeper and salvage (LaneStore::read_outbox).
-- Guards: nothing is ever read from a replica or from a server that was not fenced.
local replid = redis.call('HGET', KEYS[1], 'replid')
if not replid then return { MISSING } end
if not same_server(replid) then return { SERVER_CHANGED } end
local from = string.format('%d-0', tonumber(ARGV[1]) + 1)
return { DONE, redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[2]) }
