#!lua
-- claim: what a gateway without batches, leases and epochs writes: one claim a call, the usual
-- checks, in as few commands as they take. For the peers of the benches only.
--
-- KEYS (3): 1 coupon  2 its users (a count for each, and the claim id for each of their keys)
--   3 its journal
-- ARGV: 1 user  2 idempotency key  3 the id of the claim if it is granted
-- Returns: {0 granted | 1 replayed | 2 not open | 3 user limit | 4 sold out, claim id, instant}
local slot = ARGV[1] .. ':' .. ARGV[2]
local held = redis.call('HMGET', KEYS[2], ARGV[1], slot)
local time = redis.call('TIME')
if held[2] then return { 1, held[2], time[1] } end
local coupon = redis.call('HMGET', KEYS[1], 'left', 'per_user', 'starts', 'ends')
local now = tonumber(time[1])
if not coupon[1] or now < tonumber(coupon[3]) or now >= tonumber(coupon[4]) then
  return { 2, '', time[1] }
end
local count = tonumber(held[1] or 0)
if count >= tonumber(coupon[2]) then return { 3, '', time[1] } end
if tonumber(coupon[1]) <= 0 then return { 4, '', time[1] } end
redis.call('HINCRBY', KEYS[1], 'left', -1)
redis.call('HSET', KEYS[2], ARGV[1], count + 1, slot, ARGV[3])
redis.call('XADD', KEYS[3], '*', 'u', ARGV[1], 'k', ARGV[2], 'c', ARGV[3])
return { 0, ARGV[3], time[1] }
