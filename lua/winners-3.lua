#!lua flags=no-writes
-- winners: a page of the users who hold claims, while "sold out" still stands.
--
-- KEYS (3): 1 lane  2 coupon  3 users
-- ARGV: 1 epoch  2 revision  3 stock_seq  4 users  5 cursor  6 page size
-- Returns: {DONE, next cursor, user …}; {PROOF_GONE}; or a refusal.
-- Called by: the builder of the winner filter (ClaimStore::winners).
-- Guards: a filter knows every winner: it is bound to (epoch, revision, stock_seq) and to the number
--   of users, and each page checks them.
local lane, refusal = enter(ARGV[1])
if not lane then return refusal end
if not proven(KEYS[2], ARGV[2], ARGV[3], ARGV[4]) then return { PROOF_GONE } end
local page = redis.call('HSCAN', KEYS[3], ARGV[5], 'COUNT', ARGV[6])
local reply = { DONE, page[1] }
for i = 1, #page[2], 2 do reply[#reply + 1] = page[2][i] end
return reply
