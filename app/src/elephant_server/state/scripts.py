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

# id, kind, lease_ms
OPEN = (
    _COMMON
    + """
if ARGV[3] == 'training' and any('training') then return 0 end
redis.call('HSET', entry(ARGV[2]), 'kind', ARGV[3], 'phase', 'queued')
redis.call('PEXPIRE', entry(ARGV[2]), ARGV[4])
redis.call('SADD', KEYS[1], ARGV[2])
changed()
return 1
"""
)

# id, lease_ms
TAKE = (
    _COMMON
    + """
if redis.call('HGET', entry(ARGV[2]), 'phase') ~= 'queued' then return 0 end
redis.call('HSET', entry(ARGV[2]), 'phase', 'running')
redis.call('PEXPIRE', entry(ARGV[2]), ARGV[3])
return 1
"""
)

# id, lease_ms, phase
RENEW = (
    _COMMON
    + """
if redis.call('HGET', entry(ARGV[2]), 'phase') ~= ARGV[4] then return 0 end
return redis.call('PEXPIRE', entry(ARGV[2]), ARGV[3])
"""
)

# id, outcome, keep_ms; a job whose lease ran out has been given up: nobody waits for its outcome
FINISH = (
    _COMMON
    + """
if redis.call('EXISTS', entry(ARGV[2])) == 0 then return 0 end
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
local cancelled = (not job[1]) or job[2] == '1'
local wait = job[1] == 'training' and (job[3] == '1' or any('guest') ~= false)
local params = redis.call('HMGET', KEYS[2], 'lr', 'n_crops')
return {cancelled and 1 or 0, wait and 1 or 0, params[1], params[2]}
"""
)
