"""The Lua scripts by which the store is changed: each runs as one step, by the server's own clock.

Each first compares the store's key with the caller's: where the store was emptied, or given another key, nothing is
read or written under the old one's names. `KEYS[1]` is the hash that holds the key.
"""

from __future__ import annotations

from typing import Final

WRONG_KEY: Final = "STATEKEY"

_GUARD: Final = f"""
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return redis.error_reply('{WRONG_KEY} is another') end
"""

ADOPT: Final = """
redis.call('HSETNX', KEYS[1], 'id', ARGV[1])
if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then redis.call('HSET', KEYS[1], 'wrapped', ARGV[2], 'kek', ARGV[3]) end
return redis.call('HMGET', KEYS[1], 'id', 'wrapped', 'kek')
"""
"""Put a key in the store unless there is one, and say which is. ARGV: id, wrapped key, name of the KEK."""

READ: Final = (
    _GUARD
    + """
local found = {}
for i = 2, #KEYS do
  for j = 2, #ARGV do found[#found + 1] = redis.call('HGET', KEYS[i], ARGV[j]) end
end
return found
"""
)
"""Fields of several values. ARGV: key id, fields."""

REPLACE: Final = (
    _GUARD
    + """
if (redis.call('HGET', KEYS[2], 'token') or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], 'token', ARGV[3], 'head', ARGV[4], 'states', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[4]), ARGV[7])
return 1
"""
)
"""Write a value if it is still the one that was read, and note in the index, `KEYS[3]`, as which change, of `KEYS[4]`.

ARGV: key id, token read, new token, head, states, ms to live, the value's name.
"""

CHANGED: Final = (
    _GUARD
    + """
return redis.call('ZRANGE', KEYS[2], '(' .. ARGV[2], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
"""
)
"""Names of values that were written after a change, oldest first, each with its own. ARGV: key id, change, how many."""

DROP: Final = (
    _GUARD
    + """
for i = 2, #ARGV do
  if redis.call('EXISTS', KEYS[i + 1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[i]) end
end
return 0
"""
)
"""Take names out of the index whose values are gone. ARGV: key id, names; KEYS from the third: their places."""

DRAW: Final = (
    _GUARD
    + """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local waits, levels, free = {}, {}, true
for i = 2, #KEYS do
  local at = 2 + (i - 2) * 4
  local rate, capacity, need = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
  local held = redis.call('HMGET', KEYS[i], 'level', 'at')
  local level = capacity
  if held[1] then
    level = math.min(capacity, tonumber(held[1]) + math.max(0, now - tonumber(held[2])) * rate)
  end
  levels[i] = level
  local wait = 0
  if level < need then wait = math.max((need - level) / rate, 0.000001); free = false end
  waits[i - 1] = string.format('%.6f', wait)
end
if free then
  for i = 2, #KEYS do
    local at = 2 + (i - 2) * 4
    local rate, capacity, amount = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local level = levels[i] - amount
    if amount > 0 then
      redis.call('HSET', KEYS[i], 'level', string.format('%.17g', level), 'at', string.format('%.6f', now))
      redis.call('PEXPIRE', KEYS[i], math.ceil((capacity - level) / rate * 1000) + 1000)
    end
  end
end
return waits
"""
)
"""Draw on token buckets, all or none. ARGV: key id, then tokens a second, capacity, amount and least level of each.

Answers seconds until each holds its least level, `0.000000` for all where they were drawn on. A full bucket is no key.
"""

COUNT: Final = (
    _GUARD
    + """
local time = redis.call('TIME')
local period = tonumber(ARGV[2])
local left = math.ceil((period - (tonumber(time[1]) + tonumber(time[2]) / 1000000) % period) * 1000)
local fresh = {}
for i = 4, #ARGV do
  if redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 0 then fresh[#fresh + 1] = ARGV[i] end
end
local together = redis.call('SCARD', KEYS[2]) + #fresh
if together <= tonumber(ARGV[3]) then
  for i = 1, #fresh do redis.call('SADD', KEYS[2], fresh[i]) end
  if redis.call('PTTL', KEYS[2]) == -1 then redis.call('PEXPIRE', KEYS[2], left) end
end
return together
"""
)
"""Count distinct values of the current period, if they are not too many. ARGV: key id, period in s, most, values.

Answers how many there are with these, each of which stands in ARGV once; added only where that is not more than `most`.
A period begins at a multiple of its length since 1970, and the set ends with it.
"""

LOGS: Final = (
    _GUARD
    + """
local time = redis.call('TIME')
local found = {}
for i = 2, #ARGV do found[i - 1] = redis.call('HGET', KEYS[2], ARGV[i]) or '' end
return {redis.call('HGET', KEYS[2], '') or '', time[1] * 1000 + math.floor(time[2] / 1000), found}
"""
)
"""A collection's mark, the time in ms, and logs of records, of one hash. ARGV: key id, names."""

LOG_BEGIN: Final = (
    _GUARD
    + """
local mark = redis.call('HGET', KEYS[2], '') or ''
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
if string.sub(mark, 1, 1) == 'r' then
  local began = struct.pack('>I6', now)
  for i = 3, #ARGV, 3 do
    local text, body = redis.call('HGET', KEYS[2], ARGV[i]) or '', ARGV[i + 2]
    found[#found + 1] = text
    if text == '' then text = ARGV[2] end
    local head = struct.pack('>I4', 11 + string.len(body)) .. string.char(0) .. ARGV[i + 1] .. began
    redis.call('HSET', KEYS[2], ARGV[i], text .. head .. body)
  end
end
return {mark, now, found}
"""
)
"""Put a write at the end of logs, where the mark says that the collection is ready; answers as `LOGS`, before it.

ARGV: key id, an empty log, then name, number and body of each.
"""

LOG_SWAP: Final = (
    _GUARD
    + """
if (redis.call('HGET', KEYS[2], '') or '') ~= ARGV[2] then return false end
local found = {}
for i = 3, #ARGV, 3 do
  local text = redis.call('HGET', KEYS[2], ARGV[i]) or ''
  if text ~= ARGV[i + 1] then
    found[#found + 1] = ARGV[i]
    found[#found + 1] = text
  elseif ARGV[i + 2] == '' then
    redis.call('HDEL', KEYS[2], ARGV[i])
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
  end
end
return found
"""
)
"""Replace logs that still are what they were; names and texts of the others, nil under another mark.

ARGV: key id, mark, then name, former and new log of each (none: an empty text).
"""

LOG_PUT: Final = (
    _GUARD
    + """
if (redis.call('HGET', KEYS[2], '') or '') ~= ARGV[2] then return false end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
"""
)
"""Put logs; nil under another mark. ARGV: key id, mark, then name and log of each."""

LOG_MARK: Final = (
    _GUARD
    + """
if ARGV[3] == '1' then redis.call('UNLINK', KEYS[2]) end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], '', ARGV[2]) end
return redis.call('HLEN', KEYS[2])
"""
)
"""Set a collection's mark, after all of it was forgotten where the last argument is 1. ARGV: key id, mark, 1 or 0."""

LOG_NAMES: Final = (
    _GUARD
    + """
local found, names = redis.call('HSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3]), {}
for i = 1, #found[2], 2 do names[#names + 1] = found[2][i] end
return {found[1], names}
"""
)
"""Some fields of a hash, the mark's among them, and the cursor for more. ARGV: key id, cursor, how many to look at."""
