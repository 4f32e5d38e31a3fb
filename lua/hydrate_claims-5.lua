#!lua
-- hydrate_claims: fills in the claims of some users.
--
-- KEYS (5): 1 lane  2 coupon  3 users  4 devices  5 addresses
-- ARGV: 1 epoch  2 keeper  3 attempt
--   then per user: user, packed records, device hashes (8 bytes each), address hashes (8 each)
-- Returns: {DONE}; {ALREADY_READY}; {STALE_REVISION}; {SUPERSEDED}; or a refusal.
-- Called by: the lane's keeper (LaneStore::hydrate_claims).
-- Guards: a coupon that serves is never written over. A user who is filled already is skipped, so
--   that a repeated call counts no device twice.
local lane, refusal = enter(ARGV[1], ARGV[2], WHILE_RECOVERING)
if not lane then return refusal end
local coupon = redis.call('HMGET', KEYS[2], 'stock', 'attempt', 'begun', 'rules')
if coupon[1] then return { ALREADY_READY } end
if coupon[2] ~= ARGV[3] then return { SUPERSEDED } end
if struct.unpack('>I4', coupon[4]) ~= tonumber(coupon[3]) then return { STALE_REVISION } end
local function count(key, subjects)
  for at = 1, #subjects, 8 do
    redis.call('HINCRBY', key, string.sub(subjects, at, at + 7), 1)
  end
end
for i = 4, #ARGV, 4 do
  if redis.call('HSETNX', KEYS[3], ARGV[i], ARGV[i + 1]) == 1 then
    count(KEYS[4], ARGV[i + 2])
    count(KEYS[5], ARGV[i + 3])
  end
end
return { DONE }
