"""The atomic steps of the Redis event store, as scripts: Lua 5.1, commands of Redis ≤ 6.2.

    PREFIX events          hash: event id -> user key, line break, JSON
    PREFIX u:HASH          hash of a user: epoch, n, deleted, merged, k:KIND (events of that kind),
                           attributes (user key, line break, JSON)
    PREFIX z:HASH:KIND     sorted set: time -> n in 16 digits, event id
    PREFIX s:HASH:KIND     hash: item -> newest time, blank, highest value; the seen items of events
                           that were dropped because there were too many of their kind

The first argument of every script is the prefix. The scripts make the names of keys themselves, so
they work with one Redis and its replicas, but not with a Redis cluster. `n` counts the changes of a
user. It is half of the user's version, and it orders events of the same time.
"""

from typing import Final

from app.core.store_ports import MOST_KINDS

_COMMON: Final = """
local P = table.remove(ARGV, 1)
local E = P .. 'events'
local function meta(h) return P .. 'u:' .. h end
local function set_of(h, kind) return P .. 'z:' .. h .. ':' .. kind end
local function seen_of(h, kind) return P .. 's:' .. h .. ':' .. kind end
local function remember(h, kind, item, time, value)
  local old = redis.call('HGET', seen_of(h, kind), item)
  if old then
    local old_time, old_value = string.match(old, '^(%S+) (%S*)$')
    if tonumber(old_time) > tonumber(time) then time = old_time end
    if value == '' or (old_value ~= '' and tonumber(old_value) > tonumber(value)) then
      value = old_value
    end
  end
  redis.call('HSET', seen_of(h, kind), item, time .. ' ' .. value)
end
local function remember_events(h, kind, members)
  for _, member in ipairs(members) do
    local whole = redis.call('HGET', E, string.sub(member, 17))
    local event = cjson.decode(string.sub(whole, string.find(whole, '\\n', 1, true) + 1))
    local value = ''
    if event[4] ~= cjson.null then value = string.format('%.17g', event[4]) end
    remember(h, kind, event[1], string.format('%.17g', event[3]), value)
  end
end
local function expire_seen(h, kind, oldest)
  if oldest == '-inf' then return end
  local seen = redis.call('HGETALL', seen_of(h, kind))
  for i = 1, #seen, 2 do
    if tonumber(string.match(seen[i + 1], '^%S+')) < tonumber(oldest) then
      redis.call('HDEL', seen_of(h, kind), seen[i])
    end
  end
end
local function add(h, kind, id, time)
  local n = redis.call('HINCRBY', meta(h), 'n', 1)
  redis.call('ZADD', set_of(h, kind), time, string.format('%016d', n) .. id)
  redis.call('HINCRBY', meta(h), 'k:' .. kind, 1)
end
local function drop(h, kind, members)
  for _, member in ipairs(members) do
    redis.call('HDEL', E, string.sub(member, 17))
    redis.call('ZREM', set_of(h, kind), member)
  end
  if #members > 0 and redis.call('HINCRBY', meta(h), 'k:' .. kind, -#members) <= 0 then
    redis.call('HDEL', meta(h), 'k:' .. kind)
  end
  return #members
end
local function trim(h, kind, keep, oldest)
  local z = set_of(h, kind)
  local gone = drop(h, kind, redis.call('ZRANGEBYSCORE', z, '-inf', '(' .. oldest))
  local over = redis.call('ZCARD', z) - keep
  if over > 0 then
    local members = redis.call('ZRANGE', z, 0, over - 1)
    remember_events(h, kind, members)
    gone = gone + drop(h, kind, members)
  end
  if redis.call('ZCARD', z) == 0 then redis.call('DEL', seen_of(h, kind)) end
  return gone
end
local function kinds_of(h)
  local kinds = {}
  for _, field in ipairs(redis.call('HKEYS', meta(h))) do
    if string.sub(field, 1, 2) == 'k:' then kinds[#kinds + 1] = string.sub(field, 3) end
  end
  return kinds
end
local function limit_kinds(h)
  if redis.call('HLEN', meta(h)) <= MOST_KINDS then return end
  local kinds = {}
  for _, kind in ipairs(kinds_of(h)) do
    local newest = redis.call('ZREVRANGE', set_of(h, kind), 0, 0, 'WITHSCORES')
    kinds[#kinds + 1] = {tonumber(newest[2]), kind}
  end
  table.sort(kinds, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] < b[2]
  end)
  for i = 1, #kinds - MOST_KINDS do
    local kind = kinds[i][2]
    drop(h, kind, redis.call('ZRANGE', set_of(h, kind), 0, -1))
    redis.call('DEL', seen_of(h, kind))
  end
end
local function forget(h, epoch)
  local gone = 0
  for _, kind in ipairs(kinds_of(h)) do
    gone = gone + drop(h, kind, redis.call('ZRANGE', set_of(h, kind), 0, -1))
    redis.call('DEL', seen_of(h, kind))
  end
  redis.call('DEL', meta(h))
  redis.call('HSET', meta(h), 'epoch', epoch, 'n', 0, 'deleted', 1)
  return gone
end
""".replace("MOST_KINDS", str(MOST_KINDS))

APPEND: Final = (
    _COMMON
    + """
-- events to keep per kind, oldest time, epoch, then for each event: hash, kind, id, time, value
local keep, oldest, epoch = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local fresh, touched = {}, {}
for i = 4, #ARGV, 5 do
  local h, kind, id = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local new = redis.call('HSETNX', E, id, ARGV[i + 4])
  if new == 1 then
    redis.call('HSETNX', meta(h), 'epoch', epoch)
    add(h, kind, id, ARGV[i + 3])
    touched[set_of(h, kind)] = {h, kind}
  end
  fresh[#fresh + 1] = new
end
for _, t in pairs(touched) do trim(t[1], t[2], keep, oldest) end
for _, t in pairs(touched) do limit_kinds(t[1]) end
return fresh
"""
)

READ: Final = (
    _COMMON
    + """
-- hash, oldest time, most events of a kind, '1' = all kinds and their counts, the number of kinds
-- whose seen items are read, these kinds, then the kinds whose events are read
local h, oldest, most = ARGV[1], ARGV[2], ARGV[3]
local first = 6 + tonumber(ARGV[5])
local head = redis.call('HMGET', meta(h), 'epoch', 'n', 'deleted', 'merged', 'attributes')
local counts, events, kinds = {}, {}, {}
if ARGV[4] == '1' then
  kinds = kinds_of(h)
  for _, kind in ipairs(kinds) do
    counts[#counts + 1] = kind
    counts[#counts + 1] = redis.call('ZCOUNT', set_of(h, kind), oldest, '+inf')
  end
else
  for i = first, #ARGV do kinds[#kinds + 1] = ARGV[i] end
end
-- There are many more rules than kinds that one user has.
local present = {}
for _, kind in ipairs(head[1] and kinds_of(h) or {}) do present[kind] = true end
for _, kind in ipairs(head[1] and kinds or {}) do
  local z = set_of(h, kind)
  local newest = present[kind]
    and redis.call('ZREVRANGEBYSCORE', z, '+inf', oldest, 'LIMIT', 0, most) or {}
  for _, member in ipairs(newest) do
    events[#events + 1] = member
    events[#events + 1] = redis.call('HGET', E, string.sub(member, 17))
  end
end
local seen = {}
for i = 6, head[1] and first - 1 or 0 do
  local ids = present[ARGV[i]]
    and redis.call('ZRANGEBYSCORE', set_of(h, ARGV[i]), oldest, '+inf') or {}
  local values = {}
  for at = 1, #ids, 1000 do
    local part = {}
    for j = at, math.min(at + 999, #ids) do part[#part + 1] = string.sub(ids[j], 17) end
    for _, value in ipairs(redis.call('HMGET', E, unpack(part))) do values[#values + 1] = value end
  end
  local dropped = present[ARGV[i]] and redis.call('HGETALL', seen_of(h, ARGV[i])) or {}
  seen[#seen + 1] = {ARGV[i], values, dropped}
end
return {head, counts, events, seen}
"""
)

MERGE: Final = (
    _COMMON
    + """
-- session's hash, user's hash, user's key, events to keep per kind, oldest time, epoch of the user,
-- epoch of the session, session's key, most merged names
local s, u, key = ARGV[1], ARGV[2], ARGV[3]
local moving = {}
for _, kind in ipairs(kinds_of(s)) do
  local seen = redis.call('HGETALL', seen_of(s, kind))
  for i = 1, #seen, 2 do
    local time, value = string.match(seen[i + 1], '^(%S+) (%S*)$')
    remember(u, kind, seen[i], time, value)
  end
  local rows = redis.call('ZRANGE', set_of(s, kind), 0, -1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    moving[#moving + 1] = {tonumber(rows[i + 1]), rows[i], kind, rows[i + 1]}
  end
end
table.sort(moving, function(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  return a[2] < b[2]
end)
redis.call('HSETNX', meta(u), 'epoch', ARGV[6])
redis.call('HINCRBY', meta(u), 'n', 1)
local touched = {}
for _, m in ipairs(moving) do
  local id, kind = string.sub(m[2], 17), m[3]
  local value = redis.call('HGET', E, id)
  redis.call('HSET', E, id, key .. string.sub(value, string.find(value, '\\n', 1, true), -1))
  redis.call('ZREM', set_of(s, kind), m[2])
  add(u, kind, id, m[4])
  touched[kind] = true
end
for kind, _ in pairs(touched) do trim(u, kind, tonumber(ARGV[4]), ARGV[5]) end
limit_kinds(u)
local merged, there = {}, {}
for _, names in ipairs({redis.call('HGET', meta(u), 'merged') or '',
                        redis.call('HGET', meta(s), 'merged') or '', ARGV[8]}) do
  for name in string.gmatch(names, '[^\\n]+') do
    if not there[name] then merged[#merged + 1] = name end
    there[name] = true
  end
end
local first = math.max(1, #merged - tonumber(ARGV[9]) + 1)
redis.call('HSET', meta(u), 'merged', table.concat(merged, '\\n', first))
forget(s, ARGV[7])
return #moving
"""
)

PUT_ATTRIBUTES: Final = (
    _COMMON
    + """
-- hash, epoch, attributes
redis.call('HSETNX', meta(ARGV[1]), 'epoch', ARGV[2])
redis.call('HINCRBY', meta(ARGV[1]), 'n', 1)
redis.call('HSET', meta(ARGV[1]), 'attributes', ARGV[3])
return 1
"""
)

DELETE: Final = (
    _COMMON
    + """
-- hash, epoch
return forget(ARGV[1], ARGV[2])
"""
)

UNDO: Final = (
    _COMMON
    + """
-- hash, key of the user, event id; returns 0 if this is not, or no longer, an event of this user
local value = redis.call('HGET', E, ARGV[3])
local cut = value and string.find(value, '\\n', 1, true)
if not value or string.sub(value, 1, cut - 1) ~= ARGV[2] then return 0 end
local event = cjson.decode(string.sub(value, cut + 1))
for _, member in ipairs(redis.call('ZRANGE', set_of(ARGV[1], event[2]), 0, -1)) do
  if string.sub(member, 17) == ARGV[3] then drop(ARGV[1], event[2], {member}) end
end
redis.call('HINCRBY', meta(ARGV[1]), 'n', 1)
return 1
"""
)

TRIM: Final = (
    _COMMON
    + """
-- hash, events to keep per kind, oldest time
local gone = 0
for _, kind in ipairs(kinds_of(ARGV[1])) do
  expire_seen(ARGV[1], kind, ARGV[3])
  gone = gone + trim(ARGV[1], kind, tonumber(ARGV[2]), ARGV[3])
end
return gone
"""
)
