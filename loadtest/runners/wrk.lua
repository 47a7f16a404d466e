-- Posts the bodies of a file, one per line, each once, in order.
-- wrk ... -s wrk.lua URL -- FILE FIRST_LINE [stages]     (0 = the first)
-- `stages`: also reads timings_ms of every answer: the median of encode + retrieve + rerank.
-- Prints one line of JSON at the end. Run it with one thread (-t 1): threads would repeat bodies.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  sent = -1 -- wrk asks for one request before it starts, and throws it away
  requests = {}
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  stages = {}
  if args[3] == "stages" then
    function response(status, headers, body)
      local encode = body:match('"encode":([%d.]+)')
      local retrieve = body:match('"retrieve":([%d.]+)')
      stages[#stages + 1] = encode + retrieve + body:match('"rerank":([%d.]+)')
    end
  end
  local skip = tonumber(args[2])
  for body in io.lines(args[1]) do
    if skip > 0 then
      skip = skip - 1
    else
      requests[#requests + 1] = wrk.format(nil, nil, nil, body)
    end
  end
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
  local sent, stages = 0, {}
  for _, thread in ipairs(threads) do
    sent = sent + thread:get("sent")
    stages = thread:get("stages") -- there is one thread
  end
  table.sort(stages)
  local errors = summary.errors
  io.write(string.format(
    '{"sent": %d, "answered": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d, "pass_ms": %.3f}\n',
    sent, summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    stages[math.ceil(#stages / 2)] or 0))
end
