-- The common prologue, rendered in front of every script that works in a lane. It answers one
-- question, "is this still the Redis that we opened?", and holds what all scripts share: the
-- clock, the reply codes and the layouts of packed fields (README.md explains each).
-- KEYS[1] is the lane hash in every script.

-- The reply codes. The same list, in the same order, is `Code` in hotstate's redis/reply.rs.
local DONE, MISSING, SERVER_CHANGED, EPOCH, DEPOSED, HALTED, RECOVERING = 0, 1, 2, 3, 4, 5, 6
local LEASE_OVER, LOSS, COUPON_NOT_READY, BACKPRESSURE, PROOF_GONE = 7, 8, 9, 10, 11
local UNKNOWN_COUPON, OLDER, IGNORED, NOT_HYDRATED, ALREADY_READY = 12, 13, 14, 15, 16
local STALE_REVISION, COUNTS_DIFFER, SUPERSEDED, EVICTING = 17, 18, 19, 20

-- revision, terms revision, version, state, class, starts, ends, limits per user, device, address
local RULES = '>I4I4I2BBI8I8I2I2I2'
-- current lease, next ticket, its end, highest lease seen, stock_seq, opens_at, users, devices,
-- addresses, flags
local STOCK = '>I4I8I8I4I8I8I8I8I8B'
-- A lease on the list: number, first ticket, end.
local LISTED, LISTED_BYTES = '>I4I8I8', 20
-- A claim of a user: hash, ticket, version, granted at, outbox entry.
local RECORD, RECORD_BYTES = '>c12I5I2I6I6', 31
-- Flags of a stock: nothing left in the ledger; units of it are quarantined.
local FINAL, MORE_MAY_COME = 1, 2
-- States besides `open` in which a script may run.
local WHILE_RECOVERING = { recovering = true }
local IN_ANY_STATE = { recovering = true, halted = true }

-- Redis TIME is the only clock that decides anything.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The id changes at every restart, promotion and step down; a replica carries its primary's id,
-- hence the role.
local function same_server(replid)
  local info = redis.call('INFO', 'replication')
  return replid and #replid == 40
    and string.find(info, 'role:master', 1, true) ~= nil
    and string.find(info, 'master_replid:' .. replid, 1, true) ~= nil
end

-- The lane as {epoch, state, replid, lease_until, n, keeper}, or nil and the refusal to return.
-- keeper: nil where the caller carries none. also: further states. leaseless: past lease_until too.
-- anywhere: on a changed server too.
local function enter(epoch, keeper, also, leaseless, anywhere)
  local lane = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'replid', 'lease_until', 'n', 'keeper')
  if not lane[1] then return nil, { MISSING } end
  if not anywhere and not same_server(lane[3]) then return nil, { SERVER_CHANGED } end
  if keeper and (lane[1] ~= epoch or lane[6] ~= keeper) then
    return nil, { DEPOSED, lane[1], lane[6] }
  end
  if lane[1] ~= epoch then return nil, { EPOCH, lane[1] } end
  local state = lane[2]
  if state == 'open' then
    if not leaseless and now >= tonumber(lane[4]) then return nil, { LEASE_OVER } end
  elseif not (also and also[state]) then
    return nil, { state == 'halted' and HALTED or RECOVERING }
  end
  return lane
end

-- seq and lease_until only ever rise.
local function raise(field, value)
  if tonumber(value) > tonumber(redis.call('HGET', KEYS[1], field)) then
    redis.call('HSET', KEYS[1], field, value)
  end
end

-- Takes the first lease off a list: its number, first ticket, end, and the rest of the list.
local function pop(list)
  local lease, first, last = struct.unpack(LISTED, list)
  return lease, first, last, string.sub(list, LISTED_BYTES + 1)
end

-- Whether "sold out" still stands just as a gateway was told.
local function proven(coupon, revision, stock_seq, users)
  local held = redis.call('HMGET', coupon, 'rules', 'stock')
  if not held[2] or struct.unpack('>I4', held[1]) ~= tonumber(revision) then return false end
  local stock = { struct.unpack(STOCK, held[2]) }
  return stock[10] % 2 == FINAL and stock[5] == tonumber(stock_seq) and stock[7] == tonumber(users)
end

-- All that a keeper wants to know of a lane, as {DONE, now, same server, fields …}.
local function facts(mark, refused)
  local lane = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'replid', 'keeper', 'lease_until',
    'ledger_id', 'seq', 'n', 'unsalvaged')
  local server = same_server(lane[3]) and 1 or 0
  return { DONE, now, server, lane[1], lane[2], lane[4], lane[5], lane[6], lane[7], lane[8], lane[9],
    redis.call('GET', mark), redis.call('SCARD', refused) }
end
