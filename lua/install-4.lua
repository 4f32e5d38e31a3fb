#!lua flags=allow-oom
-- install: puts a revision of a coupon in force. The coupon need not be hydrated: a hydration that
-- read an older revision is refused at its end.
--
-- KEYS (4): 1 lane  2 known  3 coupon  4 definition
-- ARGV: 1 epoch  2 coupon id  3 revision  4 packed rules  5 revision and document
-- Returns: {DONE}; {OLDER, revision in force}; or a refusal.
-- Called by: the control plane at every change, the keeper while recovering (LaneStore::install).
-- Guards: revisions only rise; after it no grant is made under older rules. It checks the epoch and
--   no keeper; it runs out of memory too, because a pause must be possible then.
local lane, refusal = enter(ARGV[1], nil, WHILE_RECOVERING)
if not lane then return refusal end
local known = redis.call('HGET', KEYS[2], ARGV[2])
local held = redis.call('GETRANGE', KEYS[4], 0, 3)
if known and held == '' and lane[2] == 'open' then return { LOSS } end
if held ~= '' then
  local in_force = struct.unpack('>I4', held)
  if in_force >= tonumber(ARGV[3]) then return { OLDER, in_force } end
end
-- The rules first: they are what binds.
if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('HSET', KEYS[3], 'rules', ARGV[4]) end
redis.call('SET', KEYS[4], ARGV[5])
if not known then
  redis.call('HSET', KEYS[2], ARGV[2], 'live')
  redis.call('HINCRBY', KEYS[1], 'known', 1)
end
return { DONE }
