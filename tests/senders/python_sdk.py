"""Sends with the CloudEvents SDK of Python (1.x or 2.x, whichever is installed) as its documentation shows it.

Usage: python_sdk.py URL; the key stands in WEIR_TOKEN. Prints a line of JSON for each cell: what the gateway answered, or the Kafka message
that the SDK makes.
"""

import base64
import json
import os
import sys
import urllib.error
import urllib.request

URL, TOKEN = sys.argv[1], os.environ["WEIR_TOKEN"]
CASES = [
    ("object", {"a": 1, "b": "ü"}, {}),
    ("nothing", None, {}),
    ("text", "plain words", {"datacontenttype": "text/plain"}),
    ("bytes", b"\x00\xff", {"datacontenttype": "application/octet-stream"}),
    ("attributes", {"b": "ü"}, {"subject": "a b ü %41 \"quoted\"", "partitionkey": "k", "dataschema": "https://example.com/s"}),
]

try:
    from cloudevents.core.bindings import http, kafka
    from cloudevents.core.v1.event import CloudEvent

    NAME = "python-2"

    def made(attributes, data):
        return CloudEvent({"specversion": "1.0", **attributes}, data=data)

    def as_request(mode, event):
        message = http.to_binary_event(event) if mode == "binary" else http.to_structured_event(event)
        return message.headers, message.body

    def as_message(mode, event):
        return kafka.to_binary_event(event) if mode == "binary" else kafka.to_structured_event(event)

except ImportError:
    from cloudevents import kafka
    from cloudevents.conversion import to_binary, to_structured
    from cloudevents.http import CloudEvent

    NAME = "python-1"

    def made(attributes, data):
        return CloudEvent(attributes, data)

    def as_request(mode, event):
        return to_binary(event) if mode == "binary" else to_structured(event)

    def as_message(mode, event):
        return kafka.to_binary(event) if mode == "binary" else kafka.to_structured(event)


def posted(headers, body):
    request = urllib.request.Request(URL, data=body or b"", method="POST")
    for name, value in {**headers, "authorization": f"Bearer {TOKEN}"}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def told(**cell):
    print(json.dumps({"sdk": NAME, **cell}), flush=True)


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


for case, data, more in CASES:
    for mode in ("binary", "structured"):
        attributes = {"type": "com.example.sent", "source": f"/sdk/{NAME}", "id": f"{case}-{mode}", **more}
        event = made(attributes, data)
        for turn in (1, 2):
            status, answer = posted(*as_request(mode, event))
            told(way="http", case=case, mode=mode, turn=turn, status=status, answer=answer)
        attributes = {**attributes, "id": f"{case}-{mode}-kafka", "tenantid": "acme"}
        try:
            message = as_message(mode, made(attributes, data))
        except Exception as refused:
            # Version 1 wants `datacontenttype` of an event on Kafka, and takes no bytes there.
            told(way="kafka", case=case, mode=mode, unsent=repr(refused))
            continue
        value = message.value.encode() if isinstance(message.value, str) else message.value
        told(
            way="kafka",
            case=case,
            mode=mode,
            headers=[[name, text(value)] for name, value in message.headers.items()],
            value=None if value is None else base64.b64encode(value).decode(),
        )
