-- One claim: read the request, one EVALSHA over a kept connection, one answer. No signature is
-- checked, which the gateway beside it does: the user is cut out of the pass as it came.
local cjson = require "cjson"
local redis = require "nginx.redis"

local settings = claim_settings
local encode, decode, sub = cjson.encode, cjson.decode, string.sub
local GRANTED, REPLAYED, SOLD_OUT = 0, 1, 4
local REASONS = { [2] = "not_open", [3] = "user_limit_reached", [4] = "sold_out" }

local function refuse(status, code, detail)
    local body = encode({
        type = "urn:sluice:reason:" .. code, title = detail, status = status, code = code,
        detail = detail, request_id = ngx.var.request_id,
    })
    ngx.status = status
    ngx.header.content_type = "application/problem+json"
    ngx.header.content_length = #body
    ngx.print(body)
end

-- The text of an instant in whole seconds, as the gateway's answers have it; made once a second.
local second, text
local function instant(seconds)
    if seconds ~= second then
        second, text = seconds, os.date("!%Y-%m-%dT%H:%M:%S.000Z", tonumber(seconds))
    end
    return text
end

return function()
    -- "/v1/coupons/" is 12 characters, "/claims" is 7.
    local coupon = sub(ngx.var.uri, 13, -8)
    local pass = ngx.var.http_authorization
    if not pass then return refuse(401, "unauthenticated", "A pass is needed.") end
    -- "Bearer sp_" and the 16 characters before the user's name in a pass.
    local user = sub(pass, 27, 38)
    ngx.req.read_body()
    local body = ngx.req.get_body_data()
    if body and not pcall(decode, body) then
        return refuse(400, "invalid_body", "The body is not JSON.")
    end
    local key = ngx.var.http_idempotency_key or "-"

    local connection = redis:new()
    connection:set_timeout(1000)
    local connected = connection:connect(settings.redis)
    if not connected then return refuse(503, "unavailable", "Redis is not there.") end
    local name = "c:{" .. coupon .. "}"
    local reply = connection:evalsha(settings.script, 3, name, name .. ":users",
        name .. ":journal", user, key, ngx.var.request_id)
    if not reply then return refuse(503, "unavailable", "Redis did not answer.") end
    connection:set_keepalive(60000, settings.connections)

    local code = reply[1]
    if code ~= GRANTED and code ~= REPLAYED then
        return refuse(409, REASONS[code], code == SOLD_OUT and "Nothing is left." or "Not granted.")
    end
    local at = instant(reply[3])
    local answer = encode({
        claim_id = reply[2], coupon_id = coupon, user_id = user, version = 1, status = "usable",
        durability = "hot", granted_at = at, valid_from = at, expires_at = cjson.null,
    })
    ngx.status = code == GRANTED and 201 or 200
    ngx.header.content_type = "application/json"
    ngx.header.content_length = #answer
    ngx.print(answer)
end
