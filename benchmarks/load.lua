-- Posts the body on standard input over and over; with "register", posts it and unregisters by turns.
local register, keys = nil, {}

function init(args)
  wrk.method = "POST"
  wrk.body = io.read("*a")
  wrk.headers["Content-Type"] = "text/xml"
  if args[1] == "register" then
    register = wrk.format()
    request = function()
      local key = table.remove(keys)
      if key == nil then
        return register
      end
      return wrk.format(nil, nil, nil, "<?xml version='1.0'?>\n<methodCall>\n<methodName>samp.hub.unregister</methodName>\n"
        .. "<params>\n<param>\n<value><string>" .. key .. "</string></value>\n</param>\n</params>\n</methodCall>\n")
    end
    response = function(_, _, body)
      local key = body:match("samp%.private%-key</name>%s*<value>%s*<?s?t?r?i?n?g?>?([^<]+)<")
      if key ~= nil then
        keys[#keys + 1] = key
      end
    end
  end
end

function done(summary, latency)
  io.write(string.format(
    "RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.status, summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
end
