#!/usr/bin/env python3
"""Publishes an event straight onto its topic, as CloudEvents' Kafka binding has it (binary mode, JSON value).

Needs confluent-kafka; KAFKA_BOOTSTRAP_SERVERS and TENANT. Whoever may write to the topics may publish as any tenant: give that
right by Kafka's ACLs, and publish over HTTP where tenants must not trust each other.
"""

import datetime
import json
import os
import uuid

from confluent_kafka import Producer


def main():
    tenant = os.environ.get("TENANT", "demo")
    producer = Producer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "enable.idempotence": True,
            # Java's partitioner, so that one entity's events keep their order whoever sends them.
            "partitioner": "murmur2_random",
        }
    )
    actor = "batch-7"
    failures = []
    producer.produce(
        "weir.activity.v1",
        key=f"{tenant}/{actor}",
        value=json.dumps({"action": "NightlyExport", "actor": {"id": actor}, "outcome": {"status": "Success"}}),
        headers={
            "content-type": "application/json",
            "ce_specversion": "1.0",
            "ce_id": str(uuid.uuid4()),
            "ce_source": "/batch/nightly",
            "ce_type": "io.weir.activity.api_called.v1",
            "ce_time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "ce_tenantid": tenant,
        },
        on_delivery=lambda error, _: failures.append(error) if error else None,
    )
    producer.flush(30)
    if failures:
        raise SystemExit(f"not delivered: {failures[0]}")
    print("published")


if __name__ == "__main__":
    main()
