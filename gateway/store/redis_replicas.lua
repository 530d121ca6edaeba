-- Part of the script of `redis.lua`: replicas, who owns a call, and orders to owners.

local function holders()
  local found = {}
  for _, call in ipairs(redis.call('ZRANGE', unsettled, 0, -1)) do
    local replica = of(call, 'replica')
    if replica then found[replica] = true end
  end
  return found
end

-- One that has a call is never forgotten: a clock that is days off makes the living look long dead,
-- and its address is how others find out that it lives.
function does.heartbeat(replica, now, address)
  local before = '(' .. (tonumber(now) - FORGET_REPLICA)
  local silent_long = redis.call('ZRANGEBYSCORE', replicas, '-inf', before)
  local needed = #silent_long > 0 and holders() or {}
  for _, gone in ipairs(silent_long) do
    if not needed[gone] then
      redis.call('HDEL', addresses, gone)
      redis.call('ZREM', replicas, gone)
    end
  end
  beat(replica, now)
  if address ~= '' then redis.call('HSET', addresses, replica, address) end
  return 1
end

function reads.address_of(replica, now)
  if now ~= '' and silent(replica, now) then return false end
  if not redis.call('ZSCORE', replicas, replica) then return false end
  return redis.call('HGET', addresses, replica) or ''
end

function reads.replicas()
  return redis.call('ZRANGE', replicas, 0, -1)
end

-- The rest of ARGV: replicas whose processes the asker knows to be gone.
function reads.orphans(now, mine)
  local gone, found = {}, {}
  for n = 5, #ARGV do gone[ARGV[n]] = true end
  for _, call in ipairs(redis.call('ZRANGE', unsettled, 0, -1)) do
    local replica = of(call, 'replica')
    if replica and replica ~= mine and (gone[replica] or silent(replica, now)) then
      found[#found + 1] = stored(call)
    end
  end
  return found
end

function reads.owned(mine)
  local found = {}
  for _, call in ipairs(redis.call('ZRANGE', unsettled, 0, -1)) do
    if of(call, 'replica') == mine then found[#found + 1] = call end
  end
  return found
end

local function order_key(n) return root .. 'order:' .. n end

-- A list, since one can wait for it; a bell nobody hears falls silent by itself.
local function ring(replica)
  local bell = root .. 'bell:' .. replica
  redis.call('DEL', bell)
  redis.call('RPUSH', bell, '1')
  redis.call('EXPIRE', bell, FORGET_NONCE)
end

local function hand_over(call, heir, now)
  redis.call('HSET', key_of(call), 'replica', heir)
  redis.call('HDEL', key_of(call), 'admission') -- from here on the heir knows of it: not withdrawn
  beat(heir, now)
  if redis.call('ZCARD', orders) > 0 then ring(heir) end
end

function does.adopt(nonce, call, holder, heir, now, gone)
  local replica, adoption = of(call, 'replica', 'adoption')
  if adoption == nonce then return replica == heir and 1 or 0 end
  if replica ~= holder or holder == heir or (gone ~= '1' and not silent(holder, now)) then
    return 0
  end
  redis.call('HSET', key_of(call), 'adoption', nonce)
  hand_over(call, heir, now)
  return 1
end

function does.claim(nonce, call, heir, now, holder)
  local ended, replica = of(call, 'ended', 'replica')
  if ended ~= '0' then return {} end
  local ours = holder == '' or holder == replica or heir == replica
  if ours and not done_before(nonce) then hand_over(call, heir, now) end
  return stored(call)
end

-- An order is a hash: `call`, `kind`, `body`, `at`; once handed out also `to`, the replica that has it,
-- and `batch`, the nonce of the look that got it. It goes when that replica's next look says that
-- the batch arrived. Until then nobody else gets it: whether it arrived, only its taker can tell.

local function drop_order(n)
  redis.call('ZREM', orders, n)
  redis.call('DEL', order_key(n))
end

local function outlived(call, at, now)
  return of(call, 'ended') ~= '0' or tonumber(now) - tonumber(at) > ORDER_SECONDS
end

function does.order(nonce, call, kind, body, now)
  local replica, ended = of(call, 'replica', 'ended')
  if ended ~= '0' then return 'ended' end
  if redis.call('ZCARD', orders) >= MAX_ORDERS then
    for _, n in ipairs(redis.call('ZRANGE', orders, 0, -1)) do
      local of_call, at = unpack(redis.call('HMGET', order_key(n), 'call', 'at'))
      if outlived(of_call, at, now) then drop_order(n) end
    end
    if redis.call('ZCARD', orders) >= MAX_ORDERS then return 'full' end
  end
  if done_before(nonce) then return 'done' end
  local n = redis.call('INCR', root .. 'last-order')
  redis.call('HSET', order_key(n), 'call', call, 'kind', kind, 'body', body, 'at', now)
  redis.call('ZADD', orders, n, n)
  ring(replica)
  return 'done'
end

function does.take_orders(nonce, me, arrived, now)
  local mine = {}
  redis.call('DEL', root .. 'bell:' .. me)
  for _, n in ipairs(redis.call('ZRANGE', orders, 0, -1)) do
    local call, kind, body, at, to, batch =
      unpack(redis.call('HMGET', order_key(n), 'call', 'kind', 'body', 'at', 'to', 'batch'))
    local owner = of(call, 'replica')
    if outlived(call, at, now) or (to == me and batch == arrived) then
      drop_order(n)
    elseif owner == me and (not to or to == me) then
      redis.call('HSET', order_key(n), 'to', me, 'batch', nonce)
      mine[#mine + 1] = {call, kind, body}
    elseif to == me then
      -- it never arrived here, and by now the call is another's
      redis.call('HDEL', order_key(n), 'to', 'batch')
      ring(owner)
    end
  end
  return mine
end
