#!lua flags=no-writes
-- refused: the claims of an epoch that were set aside.
--
-- KEYS (2): 1 lane  2 refused
-- ARGV: none
-- Returns: {DONE, claim id (16 bytes) and entry (8 bytes) …}; {MISSING}; {SERVER_CHANGED}.
-- Called by: a keeper when it starts (LaneStore::refused).
-- Guards: who knows fewer refusals than there are reads them before it answers anyone.
local replid = redis.call('HGET', KEYS[1], 'replid')
if not replid then return { MISSING } end
if not same_server(replid) then return { SERVER_CHANGED } end
return { DONE, redis.call('SMEMBERS', KEYS[2]) }
