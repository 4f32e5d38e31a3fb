#!lua flags=allow-oom
-- refuse: sets a claim aside whose ticket turned out to be another's, and takes its traces back.
--
-- KEYS (6): 1 lane  2 refused  3 coupon  4 users  5 devices  6 addresses
-- ARGV: 1 epoch  2 keeper  3 claim id (16 bytes)  4 outbox entry  5 user  6 device  7 address
--   (6 and 7 empty where not counted)
-- Returns: {DONE}, also for a repeat; or a refusal.
-- Called by: the lane's keeper, before the mark passes the entry (LaneStore::refuse).
-- Guards: the pair (claim, entry) is refused, never the claim alone: a repeat of the claim has
--   another entry, and its user's record then no longer carries this one.
local lane, refusal = enter(ARGV[1], ARGV[2])
if not lane then return refusal end
local entry = tonumber(ARGV[4])
if redis.call('SADD', KEYS[2], ARGV[3] .. struct.pack('>I8', entry)) == 0 then return { DONE } end
redis.call('HINCRBY', KEYS[1], 'refused', 1)
local stock = redis.call('HGET', KEYS[3], 'stock')
local own = stock and redis.call('HGET', KEYS[4], ARGV[5])
if not own then return { DONE } end

local kept, found = {}, false
for at = 1, #own, RECORD_BYTES do
  local record = string.sub(own, at, at + RECORD_BYTES - 1)
  local hash, _, _, _, n = struct.unpack(RECORD, record)
  if hash == string.sub(ARGV[3], 5) and n == entry then found = true else kept[#kept + 1] = record end
end
if not found then return { DONE } end
local function one_less(key, subject) -- how many subjects went
  local seen = subject ~= '' and tonumber(redis.call('HGET', key, subject))
  if not seen then return 0 end
  if seen > 1 then redis.call('HSET', key, subject, seen - 1) return 0 end
  return redis.call('HDEL', key, subject)
end
local lease, next, last, highest, stock_seq, opens_at, users, devices, addresses, flags =
  struct.unpack(STOCK, stock)
if #kept > 0 then
  redis.call('HSET', KEYS[4], ARGV[5], table.concat(kept))
else
  users = users - redis.call('HDEL', KEYS[4], ARGV[5])
end
devices = devices - one_less(KEYS[5], ARGV[6])
addresses = addresses - one_less(KEYS[6], ARGV[7])
redis.call('HSET', KEYS[3], 'stock', struct.pack(STOCK, lease, next, last, highest, stock_seq,
  opens_at, users, devices, addresses, flags))
return { DONE }
