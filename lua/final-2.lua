#!lua flags=allow-oom
-- final: says that the ledger has nothing more to lease for a coupon.
--
-- KEYS (2): 1 lane  2 coupon
-- ARGV: 1 epoch  2 keeper  3 flags to set (1 final, 2 more may come)
-- Returns: {DONE}, also where the coupon is not hydrated and nothing happens; or a refusal.
-- Called by: the lane's keeper, after it closed what is not listed (LaneStore::set_final).
-- Guards: `sold_out` is said only with this; leases still listed are granted first.
local lane, refusal = enter(ARGV[1], ARGV[2])
if not lane then return refusal end
local stock = redis.call('HGET', KEYS[2], 'stock')
if stock then
  redis.call('HSET', KEYS[2], 'stock', string.sub(stock, 1, -2) .. string.char(ARGV[3]))
end
return { DONE }
