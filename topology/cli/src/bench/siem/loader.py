"""A careful loader, as many write it: from the audit topic to Splunk's HTTP Event Collector.

Arguments: bootstrap servers, topic, URL, number of records, consumer group. Prints how many records were delivered and
waits for the end of its standard input.
"""

import gzip
import sys

import requests
from confluent_kafka import Consumer

BATCH = 100


def main(bootstrap, topic, url, count, group):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    session = requests.Session()
    headers = {
        "Authorization": "Splunk a token of the bench",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }
    delivered = 0
    while delivered < count:
        messages = [m for m in consumer.consume(BATCH, timeout=1.0) if m.error() is None]
        if not messages:
            continue
        body = b"\n".join(b'{"event":' + m.value() + b"}" for m in messages)
        answer = session.post(url, data=gzip.compress(body, 6), headers=headers, timeout=30)
        answer.raise_for_status()
        if answer.json().get("code") != 0:
            raise RuntimeError(answer.text)
        consumer.commit(asynchronous=True)
        delivered += len(messages)
    print(delivered, flush=True)
    sys.stdin.read()
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
