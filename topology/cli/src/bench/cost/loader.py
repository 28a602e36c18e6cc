"""A careful loader of FOCUS charges: reads a CSV file in blocks, copies the charges into a table with a primary key, and
writes the daily aggregate. Prints its seconds, processor seconds and peak memory as JSON.

usage: loader.py DATABASE_URL FILE
"""
import io
import json
import resource
import sys
import time

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

MONEY = ["BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ConsumedQuantity", "PricingQuantity"]
SERIES = [
    "BillingAccountId", "BillingPeriodStart", "SubAccountId", "ServiceName", "ServiceCategory", "RegionId", "ResourceId",
    "ChargeCategory", "ChargeClass", "BillingCurrency", "SkuId", "SkuPriceId", "ConsumedUnit", "PricingUnit", "ProviderName",
    "Tags",
]
KEPT = SERIES + ["ChargePeriodStart", "ChargePeriodEnd", "ChargeDescription", "x_ExportDateTime"] + MONEY


def main(url, path):
    began = time.monotonic()
    money = pa.decimal128(38, 10)
    kinds = {name: money for name in MONEY}
    for name in ("ChargePeriodStart", "ChargePeriodEnd", "x_ExportDateTime"):
        kinds[name] = pa.timestamp("s", tz="UTC")
    reader = csv.open_csv(
        path,
        read_options=csv.ReadOptions(block_size=16 << 20),
        convert_options=csv.ConvertOptions(
            column_types={name: kinds.get(name, pa.string()) for name in KEPT},
            include_columns=KEPT,
            strings_can_be_null=False,
        ),
    )
    columns = ", ".join(f'"{name}" {"numeric" if name in MONEY else "timestamptz" if name in kinds else "text"}' for name in KEPT)
    names = ", ".join(f'"{name}"' for name in KEPT)
    group = SERIES + ["day"]
    number, parts = 0, []
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE loader_charge (id bigint PRIMARY KEY, {columns})")
        with cursor.copy(f"COPY loader_charge (id, {names}) FROM STDIN (FORMAT csv)") as copy:
            for batch in reader:
                table = pa.Table.from_batches([batch])
                ids = pa.array(range(number, number + table.num_rows), pa.int64())
                number += table.num_rows
                out = io.BytesIO()
                csv.write_csv(table.add_column(0, "id", ids), out, csv.WriteOptions(include_header=False))
                copy.write(out.getbuffer())
                days = table.append_column("day", pc.cast(table["ChargePeriodStart"], pa.date32()))
                sums = [(name, "sum") for name in MONEY] + [("ChargePeriodStart", "count")]
                parts.append(days.group_by(group).aggregate(sums))
        whole = pa.concat_tables(parts)
        sums = [(f"{name}_sum", "sum") for name in MONEY] + [("ChargePeriodStart_count", "sum")]
        whole = whole.group_by(group).aggregate(sums).select(
            group + [f"{name}_sum_sum" for name in MONEY] + ["ChargePeriodStart_count_sum"]
        )
        series = ", ".join(f'"{name}" text' for name in SERIES)
        money = ", ".join(f'"{name}" numeric' for name in MONEY)
        cursor.execute(f"CREATE TABLE loader_daily ({series}, day date, {money}, charges bigint)")
        out = io.BytesIO()
        csv.write_csv(whole, out, csv.WriteOptions(include_header=False))
        with cursor.copy("COPY loader_daily FROM STDIN (FORMAT csv)") as copy:
            copy.write(out.getbuffer())
        cursor.execute('CREATE INDEX ON loader_daily ("ResourceId", day)')
        cursor.execute('SELECT count(*), trim_scale(sum("BilledCost"))::text, sum(charges) FROM loader_daily')
        days, billed, charges = cursor.fetchone()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "seconds": time.monotonic() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "rss_peak_bytes": usage.ru_maxrss * 1024,
        "days": days,
        "billed": billed,
        "charges": int(charges),
    }))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
