"""The atomic steps of the board, run inside Redis.

KEYS[1] is the set of job ids, KEYS[2] the settings; an entry is the hash <prefix>job:<id>, and a job is there for as
long as its hash is. ARGV[1] is the prefix.
"""

_COMMON = """
local prefix = ARGV[1]
local function entry(id) return prefix .. 'job:' .. id end
local function changed() redis.call('PUBLISH', prefix .. 'changes', '1') end
local function finish(id, outcome, keep_ms)
  redis.call('DEL', entry(id))
  redis.call('SREM', KEYS[1], id)
  redis.call('RPUSH', prefix .. 'outcome:' .. id, outcome)
  redis.call('PEXPIRE', prefix .. 'outcome:' .. id, keep_ms)
  changed()
end
local function alive()
  local found = {}
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local kind = redis.call('HGET', entry(id), 'kind')
    if kind then found[#found + 1] = {id = id, kind = kind} else redis.call('SREM', KEYS[1], id) end
  end
  return found
end
local function any(kind)
  for _, job in ipairs(alive()) do if job.kind == kind then return job.id end end
  return false
end
"""

# id, kind, task, claim; to ask twice is to ask once, because an answer may be lost on its way
OPEN = (
    _COMMON
    + """
local other = ARGV[3] == 'training' and any('training')
if other and other ~= ARGV[2] then return 0 end
redis.call('HSETNX', entry(ARGV[2]), 'turn', redis.call('INCR', prefix .. 'turns'))
redis.call('HSET', entry(ARGV[2]), 'kind', ARGV[3], 'phase', 'queued', 'task', ARGV[4], 'beat', 0, 'owner', '',
  'claim', ARGV[5])
redis.call('SADD', KEYS[1], ARGV[2])
changed()
return 1
"""
)

# id, owner; what clashes is said in claims.py
TAKE = (
    _COMMON
    + """
local function clash(one, other)
  if one == '' or other == '' or string.sub(one, 2) ~= string.sub(other, 2) then return false end
  local a, b = string.sub(one, 1, 1), string.sub(other, 1, 1)
  return a == 'a' or b == 'a' or (a == 'l' and b == 'l')
end
local id = ARGV[2]
if redis.call('HGET', entry(id), 'phase') ~= 'queued' then return false end
local own = redis.call('HMGET', entry(id), 'claim', 'turn')
for _, job in ipairs(own[1] ~= '' and alive() or {}) do
  local values = redis.call('HMGET', entry(job.id), 'claim', 'turn')
  if clash(own[1], values[1]) and tonumber(values[2]) < tonumber(own[2]) then return 0 end
end
redis.call('HSET', entry(id), 'phase', 'running', 'owner', ARGV[3], 'beat', 0)
return redis.call('HMGET', entry(id), 'kind', 'task', 'claim')
"""
)

# id
RENEW_QUEUED = (
    _COMMON
    + """
if redis.call('HGET', entry(ARGV[2]), 'phase') ~= 'queued' then return 0 end
redis.call('HINCRBY', entry(ARGV[2]), 'beat', 1)
return 1
"""
)

# id, kind, task, owner, lr and n_crops or '' and '', claim; what was not dropped, and is not there, was lost by Redis
RENEW = (
    _COMMON
    + """
local id = ARGV[2]
local phase = redis.call('HGET', entry(id), 'phase')
if phase == 'running' then
  redis.call('HINCRBY', entry(id), 'beat', 1)
  return 1
end
if phase or redis.call('EXISTS', prefix .. 'dropped:' .. id) == 1 then return 0 end
if ARGV[3] == 'training' and any('training') then return 0 end
redis.call('HSET', entry(id), 'kind', ARGV[3], 'phase', 'running', 'task', ARGV[4], 'owner', ARGV[5], 'beat', 0,
  'claim', ARGV[8], 'turn', 0)
redis.call('SADD', KEYS[1], id)
if ARGV[6] ~= '' and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[2], 'lr', ARGV[6], 'n_crops', ARGV[7])
end
changed()
return 1
"""
)

ENTRIES = (
    _COMMON
    + """
local found = {}
for _, job in ipairs(alive()) do
  local values = redis.call('HMGET', entry(job.id), 'phase', 'beat', 'owner', 'task', 'cancelled')
  local cancelled = values[5] == '1' and 1 or 0
  found[#found + 1] = {job.id, job.kind, values[1], tonumber(values[2]), values[3], values[4], cancelled}
end
return found
"""
)

# id, phase, beat, outcome, keep_ms
DROP = (
    _COMMON
    + """
local job = redis.call('HMGET', entry(ARGV[2]), 'phase', 'beat', 'owner')
if job[1] ~= ARGV[3] or job[2] ~= ARGV[4] then return 0 end
if job[3] and job[3] ~= '' then
  redis.call('SADD', prefix .. 'silent', job[3])
  redis.call('PEXPIRE', prefix .. 'silent', ARGV[6])
end
redis.call('SET', prefix .. 'dropped:' .. ARGV[2], '1', 'PX', ARGV[6])
finish(ARGV[2], ARGV[5], ARGV[6])
return 1
"""
)

# id, outcome, keep_ms; nobody waits any more for the outcome of a job that was dropped
FINISH = (
    _COMMON
    + """
if redis.call('EXISTS', prefix .. 'dropped:' .. ARGV[2]) == 1 then return 0 end
finish(ARGV[2], ARGV[3], ARGV[4])
return 1
"""
)

# id, news, keep_ms
ANNOUNCE = (
    _COMMON
    + """
if redis.call('EXISTS', entry(ARGV[2])) == 0 then return 0 end
redis.call('RPUSH', prefix .. 'news:' .. ARGV[2], ARGV[3])
redis.call('PEXPIRE', prefix .. 'news:' .. ARGV[2], ARGV[4])
return 1
"""
)

# outcome of a cancelled job, keep_ms, id or '' for all
CANCEL = (
    _COMMON
    + """
for _, job in ipairs(alive()) do
  if ARGV[4] == '' or ARGV[4] == job.id then
    if redis.call('HGET', entry(job.id), 'phase') == 'queued' then
      finish(job.id, ARGV[2], ARGV[3])
    else
      redis.call('HSET', entry(job.id), 'cancelled', '1')
    end
  end
end
changed()
return 1
"""
)

# update, keep_ms
TELL_LIVE = (
    _COMMON
    + """
local id = any('training')
if not id or redis.call('HGET', entry(id), 'live') ~= '1' then return 0 end
redis.call('RPUSH', prefix .. 'live:' .. id, ARGV[2])
redis.call('PEXPIRE', prefix .. 'live:' .. id, ARGV[3])
return 1
"""
)

# id
OPEN_LIVE = (
    _COMMON
    + """
if redis.call('EXISTS', entry(ARGV[2])) == 1 then redis.call('HSET', entry(ARGV[2]), 'live', '1') end
return 1
"""
)

# held: '1' or '0'
HOLD = (
    _COMMON
    + """
local id = any('training')
if id then redis.call('HSET', entry(id), 'held', ARGV[2]) end
changed()
return 1
"""
)

STATE = (
    _COMMON
    + """
if any('guest') then return 2 end
local id = any('training')
if not id then return 0 end
if redis.call('HGET', entry(id), 'held') == '1' then return 2 end
return 1
"""
)

# id
LOOK = (
    _COMMON
    + """
local job = redis.call('HMGET', entry(ARGV[2]), 'kind', 'cancelled', 'held')
local cancelled = job[2] == '1'
local wait = job[1] == 'training' and (job[3] == '1' or any('guest') ~= false)
local params = redis.call('HMGET', KEYS[2], 'lr', 'n_crops')
return {cancelled and 1 or 0, wait and 1 or 0, job[1] and 0 or 1, params[1], params[2]}
"""
)
