#!lua flags=allow-oom
-- final: says that nothing more can be leased for a coupon, or that something can again.
--
-- KEYS (2): 1 lane  2 coupon
-- ARGV: 1 epoch  2 keeper  3 flags to set (1 final, 2 more may come; 0: not final any more)
--   4 delay in ms after final, where it ends
-- Returns: {DONE}, also where the coupon is not hydrated and nothing happens; or a refusal.
-- Called by: the lane's keeper, after it closed what is not listed (LaneStore::set_final), and when
--   another shard has something again (LaneStore::clear_final).
-- Guards: `sold_out` is said only with this; leases still listed are granted first. What comes after
--   "final" is granted only when every memory of "sold out" has ended.
local lane, refusal = enter(ARGV[1], ARGV[2])
if not lane then return refusal end
local stock = redis.call('HGET', KEYS[2], 'stock')
if not stock then return { DONE } end
if ARGV[3] ~= '0' then
  redis.call('HSET', KEYS[2], 'stock', string.sub(stock, 1, -2) .. string.char(ARGV[3]))
  return { DONE }
end
local lease, next, last, highest, stock_seq, opens_at, users, devices, addresses, flags =
  struct.unpack(STOCK, stock)
if flags % 2 == FINAL then
  opens_at = math.max(opens_at, now + tonumber(ARGV[4]))
  redis.call('HSET', KEYS[2], 'stock', struct.pack(STOCK, lease, next, last, highest,
    stock_seq + 1, opens_at, users, devices, addresses, 0))
end
return { DONE }
