#!/bin/sh
# Publishes one event and asks for its audit entry. Needs curl; GATEWAY, QUERY_API and TOKEN (see README.md).
set -eu

id="deploy-$(date +%s)-$$"
curl --silent --show-error --fail-with-body -X POST "$GATEWAY/api/v1/events" \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/cloudevents+json' \
  -d '{
    "specversion": "1.0", "id": "'"$id"'", "source": "/ci/shop/'"$id"'", "type": "io.weir.delivery.deployment_started.v1",
    "time": "'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'",
    "data": { "project": "shop", "environment": "production", "actor": { "id": "mara@example.com" } } }'
echo

# The read models follow within milliseconds; a script that must not miss its own event asks until it is there.
for _ in 1 2 3 4 5 6 7 8 9 10; do
  found=$(curl --silent --show-error --fail-with-body -G "$QUERY_API/api/v1/audit" \
    -H "Authorization: Bearer $TOKEN" -d "source=/ci/shop/$id" -d limit=1)
  case "$found" in *'"items":[]'*) sleep 1 ;; *) echo "$found"; exit 0 ;; esac
done
echo "the event is not there yet: look at 'weir lag'" >&2
exit 1
