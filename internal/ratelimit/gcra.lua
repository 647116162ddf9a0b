-- GCRA over KEYS. ARGV holds an interval (µs of one request) and a burst for
-- each. A key holds its theoretical arrival time: when its bucket is full again.
-- Answers 1 or 0, then every key's backlog in µs after the decision.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local stored = redis.call('MGET', unpack(KEYS))
local tats, admitted = {}, 1
for i = 1, #KEYS do
  local interval = tonumber(ARGV[2 * i - 1])
  local span = interval * tonumber(ARGV[2 * i])
  -- Never before now; never farther than a full span, which only a clock that
  -- went back or a limit that was lowered can have left behind.
  local tat = tonumber(stored[i] or now) or now
  tat = math.min(math.max(tat, now), now + span)
  tats[i] = tat
  if tat + interval - span > now then admitted = 0 end
end
local answer = { admitted }
for i = 1, #KEYS do
  if admitted == 1 then
    tats[i] = tats[i] + tonumber(ARGV[2 * i - 1])
    redis.call('SET', KEYS[i], string.format('%.0f', tats[i]), 'PX', math.ceil((tats[i] - now) / 1000))
  end
  answer[i + 1] = tats[i] - now
end
return answer
