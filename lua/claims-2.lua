#!lua flags=no-writes
-- claims: a page of a coupon's users with their packed claims.
--
-- KEYS (2): 1 lane  2 users
-- ARGV: 1 epoch  2 cursor  3 page size
-- Returns: {DONE, next cursor, [user, packed records, …]}; or a refusal.
-- Called by: the audit (LaneStore::claims).
-- Guards: nothing; it decides nothing.
local lane, refusal = enter(ARGV[1], nil, IN_ANY_STATE, true)
if not lane then return refusal end
local page = redis.call('HSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3])
return { DONE, page[1], page[2] }
