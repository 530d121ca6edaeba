-- The Redis store: every operation is one run of this script, which nothing interrupts. It goes on in
-- `redis_replicas.lua` and ends with `redis_run.lua`.
--
-- KEYS[1] is the schema key, `{prefix}:schema`. All other keys are made from it and bear the same
-- hash tag, so they live in one slot. ARGV[1] is the operation, ARGV[2] the server time after which
-- it must not begin any more ('' for those that only read), then what the operation takes.
--
-- Rules: read and decide first, write last (Redis takes nothing back when a script fails); whatever
-- may be sent twice because an answer was lost carries a `nonce`, and the second run says what the
-- first did; numbers are kept as the text they came as, since Lua would round them.

local root = string.sub(KEYS[1], 1, -#'schema' - 1)
local numbers = root .. 'numbers' -- call -> its place in the list
local unsettled = root .. 'unsettled' -- the same, of calls that owe or hold something
local replicas = root .. 'replicas' -- replica -> last heartbeat
local tokens = root .. 'tokens' -- digest of a media token -> call
local facts = root .. 'facts'
local addresses = root .. 'addresses' -- replica -> where others reach it
local orders = root .. 'orders' -- orders that are kept, by number

local HEARTBEAT_TTL = @HEARTBEAT_TTL@
local ORDER_SECONDS = @ORDER_SECONDS@
local MAX_ORDERS = @MAX_ORDERS@
local FORGET_NONCE = 60 -- seconds; nothing is sent again for so long
local FORGET_REPLICA = 86400 -- seconds; long dead by then, and whoever is missing counts as dead
local SETTLED = {@SETTLED@}

local function key_of(call) return root .. 'call:' .. call end
local function leases_of(scope) return root .. 'leases:' .. scope end -- user -> call
local function used_of(scope) return root .. 'used:' .. scope end -- user -> last use
local function having(conversation) return root .. 'conversation:' .. conversation end
local function users_of(organization) return root .. 'callers:' .. organization end

local function exists(call) return redis.call('EXISTS', key_of(call)) == 1 end
local function stored(call) return redis.call('HGETALL', key_of(call)) end
local function of(call, ...) return unpack(redis.call('HMGET', key_of(call), ...)) end

local function beat(replica, now)
  redis.call('ZADD', replicas, now, replica)
end

local function silent(replica, now)
  local last = redis.call('ZSCORE', replicas, replica)
  -- a beat from the future is as old as one from the past: the clocks were set back since
  return not last or math.abs(tonumber(now) - tonumber(last)) > HEARTBEAT_TTL
end

-- For changes that others may have gone on from before a lost answer is asked for again.
local function done_before(nonce)
  return not redis.call('SET', root .. 'done:' .. nonce, '', 'NX', 'EX', FORGET_NONCE)
end

local function number(call)
  local place = redis.call('INCR', root .. 'last-number')
  redis.call('ZADD', numbers, place, call)
  return place
end

local function write(call, from)
  for n = from, #ARGV, 2 do redis.call('HSET', key_of(call), ARGV[n], ARGV[n + 1]) end
end

local function drop(call, digest)
  redis.call('DEL', key_of(call))
  redis.call('ZREM', numbers, call)
  redis.call('ZREM', unsettled, call)
  if digest and digest ~= '' then redis.call('HDEL', tokens, digest) end
end

-- A user whose call is settled counts as free: its holder died between last record and lease's end.
local function choose(scope, first, last)
  local leases, used = leases_of(scope), used_of(scope)
  local best, since
  for n = first, last do
    local user = ARGV[n]
    local holder = redis.call('HGET', leases, user)
    if not holder or not redis.call('ZSCORE', unsettled, holder) then
      local at = redis.call('HGET', used, user)
      if not at then return user end
      if not best or tonumber(at) < since then best, since = user, tonumber(at) end
    end
  end
  return best
end

local does, reads = {}, {}

function does.admit(nonce, call, scope, now, replica, candidates)
  if exists(call) then
    local by, user, ended, answer = of(call, 'admission', 'user_id', 'ended', 'answer')
    if by == nonce then return {'admitted', user} end
    if ended ~= '1' or answer ~= '' then return {'known', stored(call)} end
  end
  local first = 9
  local last = first + tonumber(candidates) - 1
  local user = choose(scope, first, last)
  if not user then return {'nobody'} end
  drop(call)
  write(call, last + 1)
  redis.call('HSET', key_of(call), 'user_id', user, 'scope', scope, 'admission', nonce)
  redis.call('ZADD', unsettled, number(call), call)
  redis.call('HSET', leases_of(scope), user, call)
  redis.call('HSET', used_of(scope), user, now)
  redis.call('HSET', tokens, redis.call('HGET', key_of(call), 'token_digest'), call)
  beat(replica, now) -- whoever admits lives; its first call must not pass for an orphan
  return {'admitted', user}
end

function does.withdraw(nonce, call)
  local by, used, conversation, digest, scope, user =
    of(call, 'admission', 'token_used', 'conversation_id', 'token_digest', 'scope', 'user_id')
  if by ~= nonce or used == '1' or conversation ~= '' then return 0 end
  if redis.call('HGET', leases_of(scope), user) == call then
    redis.call('HDEL', leases_of(scope), user)
  end
  drop(call, digest)
  return 1
end

function does.turn_away(call)
  if exists(call) then return 0 end
  write(call, 4)
  number(call)
  return 1
end

function does.renew_token(nonce, call, digest, expires, answer)
  if not exists(call) then return 'unknown' end
  local old, ended = of(call, 'token_digest', 'ended')
  if ended == '1' then return 'ended' end
  if done_before(nonce) then return 'done' end
  if old ~= '' then redis.call('HDEL', tokens, old) end
  redis.call('HSET', key_of(call), 'token_digest', digest, 'token_expires', expires,
    'token_used', '0', 'answer', answer)
  redis.call('HDEL', key_of(call), 'admission', 'spent')
  redis.call('HSET', tokens, digest, call)
  return 'done'
end

local function opened_by(digest, now, nonce)
  local call = redis.call('HGET', tokens, digest)
  if not call then return nil end
  local given, expires, used, ended, spent =
    of(call, 'token_digest', 'token_expires', 'token_used', 'ended', 'spent')
  if given ~= digest or ended == '1' then return nil end
  if used == '1' then return nonce and spent == nonce and call or nil end
  return tonumber(expires) > tonumber(now) and call or nil
end

function does.use_token(nonce, digest, now)
  local call = opened_by(digest, now, nonce)
  if not call then return {} end
  redis.call('HSET', key_of(call), 'token_used', '1', 'spent', nonce)
  return stored(call)
end

function reads.token_call(digest, now)
  local call = opened_by(digest, now)
  return call and stored(call) or {}
end

-- `writer` and `turn` put the saves of one process in order, over however many connections they come.
function does.save(call, replica, writer, turn, conversation, state, ended)
  if not exists(call) then return 'unknown' end
  local owner, before, digest, last, latest =
    of(call, 'replica', 'conversation_id', 'token_digest', 'writer', 'turn')
  if owner ~= replica then return 'fenced' end
  if last == writer and tonumber(latest) >= tonumber(turn) then return 'done' end
  local place = redis.call('ZSCORE', numbers, call)
  write(call, 10)
  if before ~= conversation then
    if before ~= '' then redis.call('ZREM', having(before), call) end
    if conversation ~= '' then redis.call('ZADD', having(conversation), place, call) end
  end
  if ended == '1' and SETTLED[state] then
    redis.call('ZREM', unsettled, call)
  else
    redis.call('ZADD', unsettled, place, call)
  end
  if digest ~= '' then
    if ended == '1' then
      redis.call('HDEL', tokens, digest)
    else
      redis.call('HSET', tokens, digest, call)
    end
  end
  return 'done'
end

function does.release_user(call, replica, now)
  local scope, user, owner = of(call, 'scope', 'user_id', 'replica')
  if not scope or owner ~= replica or redis.call('HGET', leases_of(scope), user) ~= call then return 0 end
  redis.call('HDEL', leases_of(scope), user)
  local used = redis.call('HGET', used_of(scope), user)
  if not used or tonumber(used) < tonumber(now) then
    redis.call('HSET', used_of(scope), user, now)
  end
  return 1
end

function reads.user_of(organization, caller)
  return redis.call('HGET', users_of(organization), caller)
end

function does.keep_user(organization, caller, user)
  redis.call('HSETNX', users_of(organization), caller, user)
  return redis.call('HGET', users_of(organization), caller)
end

function does.forget_user(organization, caller, user)
  if redis.call('HGET', users_of(organization), caller) ~= user then return 0 end
  return redis.call('HDEL', users_of(organization), caller)
end

function reads.live_holders(conversation, now)
  local found = {}
  for _, call in ipairs(redis.call('ZREVRANGE', having(conversation), 0, -1)) do
    local ended, replica = of(call, 'ended', 'replica')
    if ended == '0' and not silent(replica, now) then found[#found + 1] = stored(call) end
  end
  return found
end

function reads.find_conversation(conversation)
  local call = redis.call('ZREVRANGE', having(conversation), 0, 0)[1]
  return call and stored(call) or {}
end

function reads.get(call)
  return stored(call)
end

function reads.page(before, count)
  local found = redis.call('ZREVRANGEBYSCORE', numbers, '(' .. before, '-inf',
    'WITHSCORES', 'LIMIT', 0, count)
  for n = 1, #found, 2 do found[n] = of(found[n], 'record') end
  return found
end

function does.remember(key, value)
  redis.call('HSET', facts, key, value)
  return 1
end

function reads.recall(key)
  return redis.call('HGET', facts, key)
end

-- A write, because a server may answer and take none (a replica, a full disk or memory).
function does.ping()
  redis.call('SET', root .. 'ping', '')
  return 1
end
