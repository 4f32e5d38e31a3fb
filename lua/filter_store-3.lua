#!lua
-- filter_store: shares a winner filter with the other gateways.
--
-- KEYS (3): 1 lane  2 coupon  3 filter
-- ARGV: 1 epoch  2 revision  3 stock_seq  4 users  5 the same three, packed  6 filter  7 life in ms
-- Returns: {DONE}; {PROOF_GONE}; or a refusal.
-- Called by: the claim engine, when it has built one (ClaimStore::store_filter).
-- Guards: bound to its proof. It is no part of the state that decides: losing it costs a rebuild.
local lane, refusal = enter(ARGV[1])
if not lane then return refusal end
if not proven(KEYS[2], ARGV[2], ARGV[3], ARGV[4]) then return { PROOF_GONE } end
redis.call('SET', KEYS[3], ARGV[5] .. ARGV[6], 'PX', ARGV[7])
return { DONE }
