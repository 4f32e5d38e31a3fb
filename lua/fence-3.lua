#!lua flags=allow-oom
-- fence: begins a recovery. From here on nothing is granted from the old epoch.
--
-- KEYS (3): 1 lane  2 mark of the new epoch  3 refused of the new epoch
-- ARGV: 1 new epoch  2 keeper  3 the caller's ledger id, for an empty server
-- Returns: facts (see prologue.lua); {DEPOSED, epoch, keeper} where the lane is further; or
--   {SERVER_CHANGED} on a replica.
-- Called by: the keeper that raised the epoch in the ledger (LaneStore::fence).
-- Guards: epochs and keeper numbers rise; the old epoch is remembered until it is salvaged; ledger_id,
--   seq and n stay. The only script that writes `replid`: its own server's.
local info = redis.call('INFO', 'replication')
local replid = string.match(info, 'master_replid:(%x+)')
if not string.find(info, 'role:master', 1, true) or not replid or #replid ~= 40 then
  return { SERVER_CHANGED }
end
local lane = redis.call('HMGET', KEYS[1], 'epoch', 'keeper', 'state', 'unsalvaged', 'ledger_id', 'seq', 'n')
local epoch, unsalvaged = tonumber(ARGV[1]), ''
if lane[1] then
  local old, keeper = tonumber(lane[1]), tonumber(lane[2])
  if epoch == old and ARGV[2] == lane[2] and lane[3] == 'recovering' and same_server(replid)
    and replid == redis.call('HGET', KEYS[1], 'replid') then
    return facts(KEYS[2], KEYS[3])
  end
  if epoch <= old or tonumber(ARGV[2]) < keeper then return { DEPOSED, lane[1], lane[2] } end
  unsalvaged = lane[4] == '' and lane[1] or lane[4] .. ',' .. lane[1]
end
-- In the order of how often scripts read them: a small hash is searched from its front.
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'state', 'recovering', 'replid', replid,
  'lease_until', 0, 'n', lane[7] or 0, 'keeper', ARGV[2], 'known', 0, 'hydrated', 0, 'refused', 0,
  'seq', lane[6] or 0, 'ledger_id', lane[5] or ARGV[3], 'fenced_at', now, 'unsalvaged', unsalvaged)
return facts(KEYS[2], KEYS[3])
