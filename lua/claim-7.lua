#!lua
-- claim: decides a batch of claims for one coupon, in order, all in one step.
--
-- KEYS (7): 1 lane  2 hydrated  3 coupon  4 users  5 devices  6 addresses  7 outbox
-- ARGV: 1 epoch  2 coupon id  3 caller's revision  4 most entries in the outbox
--   5 replay-only flags, a 0 or 1 per claim, or empty where all may be granted
--   then per claim: record (user's length, claim hash 12, presence bits, device and address 8 each), user
-- Returns: {DONE, now, an answer letter per claim, instant, first ticket, version, entry, revision,
--   stock_seq, users, flags, packed record of each replay …}; or a refusal of it all: no writes.
-- Called by: the claim engine's batcher (ClaimStore::decide).
-- Guards: replay first; limits and stock decided in one step; no write before every check; tickets
--   first (a fault in between under-sells), then the entry (no repeat finds a claim that has none);
--   a call that began its writes and did not end them is a loss for the next.
local lane, refusal = enter(ARGV[1])
if not lane then return refusal end
local coupon = redis.call('HMGET', KEYS[3], 'rules', 'stock', 'leases', 'began', 'ended')
if not coupon[2] then return { redis.call('SISMEMBER', KEYS[2], ARGV[2]) == 1 and LOSS or COUPON_NOT_READY } end
local revision, terms_revision, version, state, class, starts, ends, per_user, per_device, per_address =
  struct.unpack(RULES, coupon[1])
local lease, next, last, highest, stock_seq, opens_at, users, devices, addresses, flags =
  struct.unpack(STOCK, coupon[2])
if coupon[4] ~= coupon[5] or redis.call('HLEN', KEYS[4]) ~= users
  or (per_device > 0 and redis.call('HLEN', KEYS[5]) ~= devices)
  or (per_address > 0 and redis.call('HLEN', KEYS[6]) ~= addresses) then return { LOSS } end

local count, asked, sub, pack, names = (#ARGV - 5) / 2, tonumber(ARGV[3]), string.sub, struct.pack, {}
for i = 1, count do names[i] = ARGV[5 + 2 * i] end
local held = redis.call('HMGET', KEYS[4], unpack(names))
local function tally(key, from)
  local subjects, by = {}, {}
  for i = 1, count do subjects[i] = sub(ARGV[4 + 2 * i], from, from + 7) end
  local found = redis.call('HMGET', key, unpack(subjects))
  for i = 1, count do by[subjects[i]] = tonumber(found[i]) or 0 end
  return by
end
local address_from = per_device > 0 and 23 or 15
local presence = (per_device > 0 and 1 or 0) + (per_address > 0 and 2 or 0)
local function once_more(by, of, at, subject) -- 1 where it is new
  by[subject] = by[subject] + 1
  of[at - 1], of[at] = subject, by[subject]
  return by[subject] == 1 and 1 or 0
end
local by_device = per_device > 0 and tally(KEYS[5], 15)
local by_address = per_address > 0 and tally(KEYS[6], address_from)
local verdict = (asked < terms_revision and 'S') or (state == 2 and 'P')
  or ((state > 2 or now >= ends) and 'E') or (now < starts and 'B') or (now < opens_at and 'O')
local list, left, n, first = coupon[3] or '', last - next, lane[5] + 1, next
local dry = (list ~= '' and 'X') or (flags % 2 == FINAL and 'F') or 'L'
local tail = pack('>I2I6I6', version, now, n)

local answers, replays, fresh, granted, some, g = {}, {}, {}, {}, {}, 0
local of_users, of_devices, of_addresses, room = {}, {}, {}, per_user * RECORD_BYTES
for i = 1, count do
  local user, record = names[i], ARGV[4 + 2 * i]
  local own, hash, answer = fresh[user] or held[i] or '', sub(record, 2, 13), nil
  for at = 1, #own, RECORD_BYTES do
    if sub(own, at, at + 11) == hash then
      answer, replays[#replays + 1] = 'R', sub(own, at, at + RECORD_BYTES - 1)
    end
  end
  if not answer and sub(ARGV[5], i, i) == '1' then answer = 'N' end
  if not answer and asked > revision then return { LOSS } end
  answer = answer or verdict or (string.byte(record, 14) ~= presence and 'S')
    or (#own >= room and 'U')
  local device = by_device and sub(record, 15, 22)
  local address = by_address and sub(record, address_from, address_from + 7)
  answer = answer or (device and by_device[device] >= per_device and 'D')
    or (address and by_address[address] >= per_address and 'A') or (g >= left and dry)
  if not answer then
    answer, own, g = 'G', own .. hash .. pack('>I5', next + g) .. tail, g + 1
    if #own == RECORD_BYTES then users = users + 1 end
    granted[g], fresh[user], of_users[2 * g - 1], of_users[2 * g] = i, own, user, own
    if device then devices = devices + once_more(by_device, of_devices, 2 * g, device) end
    if address then addresses = addresses + once_more(by_address, of_addresses, 2 * g, address) end
  end
  answers[i] = answer
end

if g > 0 then
  if redis.call('XLEN', KEYS[7]) >= tonumber(ARGV[4]) then return { BACKPRESSURE } end
  local entry, said = string.format('%d-0', n), pack('>Bc7I4I4I2BI8I8I2', 2, ARGV[2], lease, revision,
    version, class, now, first, g)
  next = next + g
  if next == last and list ~= '' then lease, next, last, list = pop(list) end
  redis.call('HSET', KEYS[3], 'leases', list, 'stock', pack(STOCK, lease, next, last, highest,
    stock_seq, opens_at, users, devices, addresses, flags), 'began', n)
  redis.call('HSET', KEYS[1], 'n', n)
  for at, i in ipairs(g < count and granted or {}) do
    some[2 * at - 1], some[2 * at] = ARGV[4 + 2 * i], names[i]
  end
  redis.call('XADD', KEYS[7], entry, 'h',
    said .. (g == count and table.concat(ARGV, '', 6) or table.concat(some)))
  redis.call('HSET', KEYS[4], unpack(of_users))
  if by_device then redis.call('HSET', KEYS[5], unpack(of_devices)) end
  if by_address then redis.call('HSET', KEYS[6], unpack(of_addresses)) end
  redis.call('HSET', KEYS[3], 'ended', n)
end
return { DONE, now, table.concat(answers), verdict == 'B' and starts or opens_at, first, version, n,
  revision, stock_seq, users, flags, unpack(replays) }
