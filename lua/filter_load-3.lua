#!lua flags=no-writes
-- filter_load: the winner filter that some gateway shared.
--
-- KEYS (3): 1 lane  2 coupon  3 filter
-- ARGV: 1 epoch  2 revision  3 stock_seq  4 users  5 the same three, packed
-- Returns: {DONE, filter} ; {PROOF_GONE} where there is none for this proof; or a refusal.
-- Called by: the claim engine, before it builds one (ClaimStore::load_filter).
-- Guards: a filter is used only under the proof it was built under.
local lane, refusal = enter(ARGV[1])
if not lane then return refusal end
if not proven(KEYS[2], ARGV[2], ARGV[3], ARGV[4]) then return { PROOF_GONE } end
local held = redis.call('GET', KEYS[3])
if not held or string.sub(held, 1, #ARGV[5]) ~= ARGV[5] then return { PROOF_GONE } end
return { DONE, string.sub(held, #ARGV[5] + 1) }
