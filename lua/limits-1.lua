#!lua
-- limits: takes a slice of a shared quota of requests.
--
-- KEYS (1): 1 quota
-- ARGV: 1 window in ms  2 wanted  3 limit of the window
-- Returns: {how much was granted, ms to the end of the window}
-- Called by: gateways, ahead of need and never while a request waits (LimiterRedis::take_slice).
-- Guards: all gateways together never take more than the limit in a window. It has no lane, so no
--   prologue, and belongs on the Redis of request limits.
local taken = tonumber(redis.call('GET', KEYS[1]) or '0')
local left = redis.call('PTTL', KEYS[1])
if left < 0 then taken, left = 0, tonumber(ARGV[1]) end
local granted = math.max(0, math.min(tonumber(ARGV[2]), tonumber(ARGV[3]) - taken))
if granted > 0 then redis.call('SET', KEYS[1], taken + granted, 'PX', left) end
return { granted, left }
