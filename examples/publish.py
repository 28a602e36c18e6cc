#!/usr/bin/env python3
"""Publishes a batch of events and reads them back. Python's standard library; GATEWAY, QUERY_API and TOKEN (see README.md)."""

import datetime
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid


def ask(url, body=None, content_type=None):
    """One request with the key; the parsed answer. Problems come as RFC 9457 documents and say what to change."""
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    if content_type:
        headers["Content-Type"] = content_type
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def publish(events):
    """Publishes until it is acknowledged: the same ids again are recognised as duplicates."""
    body = json.dumps(events).encode()
    for attempt in range(5):
        try:
            return ask(f"{os.environ['GATEWAY']}/api/v1/events", body, "application/cloudevents-batch+json")
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise SystemExit(f"refused: {error.code} {error.read().decode()}") from error
            time.sleep(int(error.headers.get("Retry-After", 2**attempt)))
    raise SystemExit("Weir could not take the events; they are to be sent again later")


def search(**filters):
    """Every entry that fits, page by page."""
    cursor = None
    while True:
        query = urllib.parse.urlencode({**filters, "limit": 100, **({"cursor": cursor} if cursor else {})})
        page = ask(f"{os.environ['QUERY_API']}/api/v1/audit?{query}")
        yield from page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            return


def main():
    source = f"/example/{uuid.uuid4()}"
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    events = [
        {
            "specversion": "1.0",
            "id": f"sign-in-{number}",
            "source": source,
            "type": "io.weir.activity.signed_in.v1",
            "time": now,
            "data": {
                "action": "SignIn",
                "actor": {"id": f"person-{number}@example.com"},
                "outcome": {"status": "Success"},
            },
        }
        for number in range(3)
    ]
    answer = publish(events)
    if answer["rejected"]:
        raise SystemExit(f"rejected: {answer['rejected']}")
    publish(events)  # A retry changes nothing.
    deadline = time.monotonic() + 30
    while len(found := list(search(source=source))) < len(events):
        if time.monotonic() > deadline:
            raise SystemExit("the events are not there yet: look at 'weir lag'")
        time.sleep(0.2)
    for entry in found:
        print(entry["occurred_at"], entry["actor"], entry["action"], entry["outcome"])


if __name__ == "__main__":
    main()
