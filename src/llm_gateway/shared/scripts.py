"""What Redis does for limits, each a step that nothing comes between.

Of a project or key (a *holder*) Redis keeps, all under the hash tag of the project:

    …:leases    sorted set: lease -> when it expires (milliseconds of Redis' own clock), of requests that run
    …:state     hash: the buckets of requests (ru, ra, rl) and tokens (tu, ta, tl): used, as of when, under which limit;
                what is reserved of budgets (vt tokens, vn costs), and by which lease (l:LEASE)
    …:d:BEGIN   hash: what was used of a day's budgets by what processes told (t tokens, n costs) and by what stands in
                the database (T, N); the larger one counts. …:m:BEGIN of a month's

A lease that nobody renews is dropped by whoever looks next, with what it had reserved. All counters of days and months
only rise, so a Redis that has lost its memory is told by each process what that had heard. The two origins are kept
apart because a row may arrive in the database before its process can tell Redis of it: added up it would count twice.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.shared.client import Script

_COMMON: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local HOUR = 3600000

local function drop(leases, state, lease)
  local held = redis.call('HGET', state, 'l:' .. lease)
  if held then
    local tokens, nanos = string.match(held, '^(%d+) (%d+)')
    if tokens ~= '0' then redis.call('HINCRBY', state, 'vt', '-' .. tokens) end
    if nanos ~= '0' then redis.call('HINCRBY', state, 'vn', '-' .. nanos) end
    redis.call('HDEL', state, 'l:' .. lease)
  end
  return redis.call('ZREM', leases, lease)
end

local function sweep(leases, state)
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)) do
    drop(leases, state, lease)
  end
end

local function level(state, kind, limit)
  local v = redis.call('HMGET', state, kind .. 'u', kind .. 'a', kind .. 'l')
  local used, at = tonumber(v[1] or 0) or 0, tonumber(v[2] or now) or now
  if v[3] and tonumber(v[3]) ~= limit then used = math.min(used, limit) end
  return math.max(0, used - math.max(0, now - at) * limit / 60000)
end

local function keep(state, kind, used, limit)
  redis.call('HSET', state, kind .. 'u', used, kind .. 'a', now, kind .. 'l', limit)
end

local function hold(leases, state, lease, ttl, tokens, nanos)
  redis.call('ZADD', leases, now + ttl, lease)
  redis.call('PEXPIRE', leases, HOUR)  -- as the state: what a forgotten lease holds nobody would give back
  redis.call('PEXPIRE', state, HOUR)
  if (tokens ~= '0' or nanos ~= '0') and redis.call('HEXISTS', state, 'l:' .. lease) == 0 then
    redis.call('HSET', state, 'l:' .. lease, tokens .. ' ' .. nanos)
    redis.call('HINCRBY', state, 'vt', tokens)
    redis.call('HINCRBY', state, 'vn', nanos)
  end
end

local function lift(key, ttl, fields, values)
  local has = redis.call('HMGET', key, unpack(fields))
  for i, field in ipairs(fields) do
    if not has[i] or tonumber(values[i]) > tonumber(has[i]) then
      redis.call('HSET', key, field, values[i])
      has[i] = values[i]
    end
  end
  redis.call('PEXPIRE', key, ttl)
  return has
end
"""

TAKE: Final = Script(
    _COMMON
    + """
-- keys: leases, state, day, month of each holder
-- argument (MessagePack): lease, its milliseconds, requests, places, rate, tokens, nanos (the last two as text);
-- then of each holder 7 limits (-1: none), what was heard of day (tokens, nanos) and month as text, milliseconds that
-- their counters are kept
local A = cmsgpack.unpack(ARGV[1])
local lease, ttl, requests, places, rate = A[1], A[2], A[3], A[4], A[5]
local tokens, nanos = tonumber(A[6]), tonumber(A[7])
local FIELDS = {'t', 'n', 'T', 'N'}
local holders, refused, limit_refused, wait = {}, 0, 0, 0
local function used(counter, i) return math.max(tonumber(counter[i]), tonumber(counter[i + 2])) end

for h = 1, #KEYS / 4 do
  local k, a = 4 * (h - 1), 7 + 13 * (h - 1)
  local o = {leases = KEYS[k + 1], state = KEYS[k + 2], day = KEYS[k + 3], month = KEYS[k + 4]}
  for i = 1, 7 do o[i] = A[a + i] end
  o.d, o.m = {'0', '0', '0', '0'}, {'0', '0', '0', '0'}
  if o[4] >= 0 or o[6] >= 0 then o.d = lift(o.day, A[a + 12], FIELDS, {A[a + 8], A[a + 9], '0', '0'}) end
  if o[5] >= 0 or o[7] >= 0 then o.m = lift(o.month, A[a + 13], FIELDS, {A[a + 10], A[a + 11], '0', '0'}) end
  sweep(o.leases, o.state)
  o.ru = o[1] > 0 and level(o.state, 'r', o[1]) or 0
  o.tu = o[2] > 0 and level(o.state, 't', o[2]) or 0
  o.running = redis.call('ZCARD', o.leases)
  local held = redis.call('HMGET', o.state, 'vt', 'vn')
  o.vt, o.vn = held[1] or '0', held[2] or '0'
  holders[h] = o
  if refused == 0 then
    local function refuse(which, seconds) refused, limit_refused, wait = h, which, seconds end
    local vt, vn = tonumber(o.vt) + math.max(1, tokens), tonumber(o.vn) + math.max(1, nanos)
    if requests > 0 and o[1] >= 0 and o.ru + 1 - o[1] > 1e-6 then
      refuse(1, o[1] > 0 and (o.ru + 1 - o[1]) * 60 / o[1] or 0)
    elseif places > 0 and o[3] >= 0 and o.running >= o[3] then refuse(3, 0)
    elseif o[2] >= 0 and o.tu + math.max(1, rate) - o[2] > 1e-6 then
      refuse(2, o[2] > 0 and (o.tu + math.max(1, rate) - o[2]) * 60 / o[2] or 0)
    elseif o[4] >= 0 and used(o.d, 1) + vt > o[4] then refuse(4, 0)
    elseif o[5] >= 0 and used(o.m, 1) + vt > o[5] then refuse(5, 0)
    elseif o[6] >= 0 and used(o.d, 2) + vn > o[6] then refuse(6, 0)
    elseif o[7] >= 0 and used(o.m, 2) + vn > o[7] then refuse(7, 0)
    end
  end
end

local answer = {refused, limit_refused, tostring(wait)}
for _, o in ipairs(holders) do
  if refused == 0 then
    if requests > 0 and o[1] > 0 then o.ru = o.ru + 1; keep(o.state, 'r', o.ru, o[1]) end
    if o[2] > 0 and rate > 0 then o.tu = o.tu + rate; keep(o.state, 't', o.tu, o[2]) end
    hold(o.leases, o.state, lease, ttl, A[6], A[7])
  end
  for _, values in ipairs({{tostring(o.ru), tostring(o.tu), o.running, o.vt, o.vn}, o.d, o.m}) do
    for _, value in ipairs(values) do answer[#answer + 1] = value end
  end
end
return table.concat(answer, ' ')
"""
)

SETTLE: Final = Script(
    _COMMON
    + """
-- keys: sequence; then leases, state of each holder; then counters of days and months
-- arguments: process, number; how many holders, counters, leases; of each holder its tokens' limit and what is to be
-- added to that bucket; of each counter tokens, nanos, what was heard of both, milliseconds that it is kept; leases.
-- Returns tokens and nanos of each counter
local process, number = ARGV[1], tonumber(ARGV[2])
local holders, counters, leases = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- a batch whose answer got lost is sent again as it was
if number <= (tonumber(redis.call('HGET', KEYS[1], process) or 0) or 0) then return {} end
redis.call('HSET', KEYS[1], process, number)
redis.call('PEXPIRE', KEYS[1], 24 * HOUR)
local a = 5
for h = 1, holders do
  local set, state = KEYS[2 * h], KEYS[2 * h + 1]
  local limit, more = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  a = a + 2
  if limit > 0 and more ~= 0 then keep(state, 't', math.max(0, level(state, 't', limit) + more), limit) end
  for l = #ARGV - leases + 1, #ARGV do drop(set, state, ARGV[l]) end
end
local answer = {}
for c = 1, counters do
  local key = KEYS[1 + 2 * holders + c]
  lift(key, ARGV[a + 5], {'t', 'n'}, {ARGV[a + 3], ARGV[a + 4]})
  answer[#answer + 1] = redis.call('HINCRBY', key, 't', ARGV[a + 1])
  answer[#answer + 1] = redis.call('HINCRBY', key, 'n', ARGV[a + 2])
  a = a + 5
end
return answer
"""
)

RENEW: Final = Script(
    _COMMON
    + """
-- keys: leases, state of each holder; arguments: milliseconds; lease, tokens, nanos of each lease
for h = 1, #KEYS / 2 do
  for a = 2, #ARGV, 3 do hold(KEYS[2 * h - 1], KEYS[2 * h], ARGV[a], tonumber(ARGV[1]), ARGV[a + 1], ARGV[a + 2]) end
end
return 1
"""
)

MEMORY: Final = Script("""
-- key: since when this Redis remembers. Another answer than before = everything was forgotten in between
local time = redis.call('TIME')
redis.call('SET', KEYS[1], time[1] .. '.' .. time[2], 'NX')
return redis.call('GET', KEYS[1])
""")

STORED: Final = Script(
    _COMMON
    + """
-- keys: counters; arguments: of each what stands in the database (tokens, nanos), milliseconds that it is kept
for c, key in ipairs(KEYS) do
  local a = 3 * (c - 1)
  lift(key, ARGV[a + 3], {'T', 'N'}, {ARGV[a + 1], ARGV[a + 2]})
end
return 1
"""
)
