#!lua
-- lease: puts a lease of the ledger on the coupon's list.
--
-- KEYS (2): 1 lane  2 coupon
-- ARGV: 1 epoch  2 keeper  3 lease  4 first ticket  5 its end  6 seq  7 delay in ms after final
-- Returns: {DONE}; {IGNORED, highest lease seen}; {NOT_HYDRATED}; or a refusal.
-- Called by: the lane's keeper, after the ledger made the lease (LaneStore::install_lease).
-- Guards: nothing is installed twice: a number at or below `last_lease` is ignored. Stock that comes
--   after "final" is granted only when every memory of "sold out" has ended.
local lane, refusal = enter(ARGV[1], ARGV[2])
if not lane then return refusal end
local coupon = redis.call('HMGET', KEYS[2], 'stock', 'leases')
if not coupon[1] then return { NOT_HYDRATED } end
local lease, next, last, highest, stock_seq, opens_at, users, devices, addresses, flags =
  struct.unpack(STOCK, coupon[1])
local number = tonumber(ARGV[3])
if number <= highest then return { IGNORED, highest } end
local list = (coupon[2] or '') .. struct.pack(LISTED, number, tonumber(ARGV[4]), tonumber(ARGV[5]))
if next == last then lease, next, last, list = pop(list) end
if flags % 2 == FINAL then
  stock_seq, opens_at = stock_seq + 1, math.max(opens_at, now + tonumber(ARGV[7]))
end
raise('seq', ARGV[6])
redis.call('HSET', KEYS[2], 'leases', list, 'stock', struct.pack(STOCK, lease, next, last, number,
  stock_seq, opens_at, users, devices, addresses, 0))
return { DONE }
