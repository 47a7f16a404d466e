#!/usr/bin/env bash
# The compose project from nothing to answers and down again, on a machine without a container engine.
# Needs root and the folder of shared tools (RECSERVE_SHARED); takes some minutes. Exit 0 = all held.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool=${RECSERVE_SHARED:-../shared}/tools/compose-offline.sh
[ -f "$tool" ] || { echo "no $tool: set RECSERVE_SHARED"; exit 2; }
tool=$(realpath "$tool")
export PORT=${PORT:-8000}
url=http://127.0.0.1:$PORT
query='{"query":"space adventure with robots","k":5}'

trap 'bash "$tool" down "$PWD"' EXIT
bash "$tool" up "$PWD"
eval "$(bash "$tool" env)"
app=$(docker-compose ps -q app)
redis=$(docker-compose ps -q redis)

failures=0
check() { # WHAT EXPECTED ACTUAL
  if [ "$2" = "$3" ]; then echo "ok    $1"; else echo "FAIL  $1: expected '$2', got '$3'"; failures=$((failures + 1)); fi
}
refused() { # WHAT COMMAND…: the command must fail, with a word of its own
  local what=$1 said; shift
  if said=$("$@" 2>&1); then check "$what" refused done; else echo "ok    $what ($(tail -n 1 <<<"$said"))"; fi
}
ask() { # EXPRESSION: its value (Python, on `answer`) for the answer to the query
  curl -sS --max-time 10 -H 'content-type: application/json' -d "$query" "$url/recommend" |
    python3 -c "import json, sys; answer = json.load(sys.stdin); print($1)"
}
status() { curl -sS -o /dev/null --max-time 10 -w '%{http_code}' -H 'content-type: application/json' -d "$1" "$url/recommend"; }
until_healthy() { # CONTAINER
  for _ in $(seq 120); do
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ] && return
    sleep 0.5
  done
  docker logs --tail 30 "$1"; check "healthy within 60 s" healthy "$(docker inspect -f '{{.State.Health.Status}}' "$1")"
}

echo '--- answers'
check 'five items' 5 "$(ask 'len(answer["items"])')"
check 'each with an id and a title' True "$(ask 'all(i["id"] and i["title"] for i in answer["items"])')"
check 'the second time from the cache' hit "$(ask 'answer["cache"]')"
first=$(ask '[i["id"] for i in answer["items"]]')

echo '--- the shared cache outlives the process'
docker restart -t 15 "$app" >/dev/null
until_healthy "$app"
check 'a fresh process answers from Redis' hit "$(ask 'answer["cache"]')"
check 'and the same' "$first" "$(ask '[i["id"] for i in answer["items"]]')"

echo '--- the container'
check 'not root' 10001 "$(docker exec "$app" id -u)"
refused 'the root file system is read-only' docker exec "$app" touch /srv/recserve/x
check '/tmp can be written' ok "$(docker exec "$app" sh -c 'touch /tmp/x && echo ok')"
refused 'no torch' docker exec "$app" python -c 'import torch'
check 'no capabilities' 0000000000000000 "$(docker exec "$app" grep CapEff /proc/1/status | cut -f 2)"
check 'published on loopback only' 127.0.0.1 "$(docker inspect -f '{{range $port, $to := .NetworkSettings.Ports}}{{range $to}}{{.HostIp}}{{end}}{{end}}' "$app")"
check 'listening on loopback only' "127.0.0.1:$PORT" "$(ss -Hltn "sport = :$PORT" | awk '{print $4}' | sort -u)"
check 'Redis is not published' '' "$(docker inspect -f '{{range $port, $to := .NetworkSettings.Ports}}{{range $to}}{{.HostIp}}{{end}}{{end}}' "$redis")"

echo '--- without Redis'
docker stop "$redis" >/dev/null
check 'a new query' 200 "$(status '{"query":"a heist that goes wrong","k":5}')"
check 'the known one' 200 "$(status "$query")"
check 'another new one' 200 "$(status '{"query":"rainy detective story","k":5}')"
check 'still ready' 200 "$(curl -sS -o /dev/null -w '%{http_code}' "$url/readyz")"
docker start "$redis" >/dev/null
until_healthy "$redis"
check 'and with it again' 200 "$(status '{"query":"small town in winter","k":5}')"

echo '--- stopping'
began=$(date +%s%N)
docker stop -t 15 "$app" >/dev/null
took=$((($(date +%s%N) - began) / 1000000))
check 'exit status' 0 "$(docker inspect -f '{{.State.ExitCode}}' "$app")"
check "within the grace period ($took ms)" yes "$([ "$took" -lt 15000 ] && echo yes || echo no)"

echo '--- sizes'
bytes() { docker image inspect -f '{{.Size}}' "$1"; }
echo "runtime image: $(($(bytes recserve:local) / 1000000)) MB, of which the base image $(($(bytes python:3.11-slim) / 1000000)) MB"
docker history --format '{{.Size}}\t{{.CreatedBy}}' recserve:local | grep -v '^0B' | cut -c 1-100

[ "$failures" = 0 ] && echo 'all checks passed' || { echo "$failures checks failed"; docker logs --tail 50 "$app"; exit 1; }
