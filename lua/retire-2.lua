#!lua flags=allow-oom
-- retire: takes leases off a coupon's list, one or all.
--
-- KEYS (2): 1 lane  2 coupon
-- ARGV: 1 epoch  2 keeper  3 the only lease to take, 0 for all  4 lease to remember at least  5 seq
-- Returns: {DONE, the lane's tail}; or a refusal.
-- Called by: the lane's keeper, before it closes a lease (LaneStore::retire).
-- Guards: when the mark has passed the tail answered here, no claim of the leases is under way. An
--   install still under way is ignored, because `last_lease` has passed it.
local lane, refusal = enter(ARGV[1], ARGV[2])
if not lane then return refusal end
local only, at_least = tonumber(ARGV[3]), tonumber(ARGV[4])
local coupon = redis.call('HMGET', KEYS[2], 'stock', 'leases', 'last_lease')
raise('seq', ARGV[5])
if coupon[1] then
  local lease, next, last, highest, stock_seq, opens_at, users, devices, addresses, flags =
    struct.unpack(STOCK, coupon[1])
  local kept = {}
  for at = 1, #(coupon[2] or ''), LISTED_BYTES do
    local listed = string.sub(coupon[2], at, at + LISTED_BYTES - 1)
    if only ~= 0 and struct.unpack('>I4', listed) ~= only then kept[#kept + 1] = listed end
  end
  local list = table.concat(kept)
  if only == 0 or only == lease then lease, next, last = 0, 0, 0 end
  if next == last and list ~= '' then lease, next, last, list = pop(list) end
  redis.call('HSET', KEYS[2], 'leases', list, 'stock', struct.pack(STOCK, lease, next, last,
    math.max(highest, at_least), stock_seq, opens_at, users, devices, addresses, flags))
elseif coupon[3] and tonumber(coupon[3]) < at_least then
  -- Hydration is at work: its end takes this number over.
  redis.call('HSET', KEYS[2], 'last_lease', at_least)
end
return { DONE, lane[5] }
