-- The last part of the script: the operation is found and run.

local name = ARGV[1]
if does[name] then
  local time = redis.call('TIME')
  if time[1] + time[2] / 1000000 > tonumber(ARGV[2]) then
    return redis.error_reply('TOOLATE')
  end
  -- a server that has lost its memory begins again, at the version that writes there
  redis.call('SET', KEYS[1], '@VERSION@', 'NX')
  return does[name](unpack(ARGV, 3, math.min(#ARGV, 9)))
end
return reads[name](unpack(ARGV, 3, math.min(#ARGV, 9)))
