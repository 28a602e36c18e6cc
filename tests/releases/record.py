"""Records a release for tests/src/releases.rs: its migrations, statements and row types, and some of its rows.

    git worktree add /tmp/release v0.2.0 && cd /tmp/release
    cargo weir up --detach --no-demo && cargo weir generate --events 40 && cargo weir lag --wait
    python3 tests/releases/record.py /tmp/release "$(cargo weir status --output json --show-secrets |
      jq -r .admin_database_url)" > tests/releases/0.2.0.json        # with psycopg; in the newer checkout

Statements are the string literals of the release that PostgreSQL can plan against the release's own tables; those that the
release puts together at run time are left out. With each stand the roles that may run it.
"""

import json
import pathlib
import re
import sys

import psycopg

LITERAL = re.compile(r'r(#+)"(.*?)"\1|r"([^"]*)"|"((?:[^"\\]|\\.)*)"', re.S)
STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|LOCK|MERGE)\b")
# Made anew by each start, or by the migration.
NO_ROWS = {"_sqlx_migrations", "zstd_dictionary", "service_replica", "api_key"}


def literals(checkout):
    """Every string literal of the release that begins as a statement does."""
    for folder in ["sinks", "topology"]:
        for file in sorted(pathlib.Path(checkout, folder).rglob("*.rs")):
            if "test" in str(file.relative_to(checkout)) or "bench" in file.parts:
                continue
            text = re.sub(r"#\[cfg\(test\)\]\s*mod tests \{.*", "", file.read_text(), flags=re.S)
            text = re.sub(r"^\s*//.*$", "", text, flags=re.M)
            for match in LITERAL.finditer(text):
                literal = match.group(2) or match.group(3)
                if literal is None:
                    literal = re.sub(r"\\\n\s*", "", match.group(4) or "").replace('\\"', '"')
                    literal = literal.replace("\\n", "\n").replace("\\\\", "\\")
                if STATEMENT.match(literal):
                    yield " ".join(literal.split())


def plans(connection, statement):
    try:
        connection.execute(b"EXPLAIN (GENERIC_PLAN) " + statement.encode())
        return True
    except psycopg.Error:
        return False


def statements(connection, checkout):
    roles = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'weir\\_%' AND NOT rolcanlogin ORDER BY 1"
    roles = [name for (name,) in connection.execute(roles)]
    for statement in sorted(set(literals(checkout))):
        if not plans(connection, statement):
            continue
        allowed = []
        for role in roles:
            connection.execute(f"SET ROLE {role}")
            if plans(connection, statement):
                allowed.append(role)
            connection.execute("RESET ROLE")
        yield {"roles": allowed, "sql": statement}


def attributes(connection, kinds):
    """Attributes of tables (r, p) or of the composite types whose arrays rows are sent as (c)."""
    query = """SELECT t.typname, array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
                 FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid
                 JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                WHERE t.typnamespace = 'public'::regnamespace AND c.relkind::text = ANY(%s) AND NOT c.relispartition
                GROUP BY 1 ORDER BY 1"""
    return dict(connection.execute(query, [kinds]).fetchall())


def rows(connection):
    """Rows of the tables, as PostgreSQL writes the values. Partitions are rows of their parent."""
    tables = """SELECT c.oid, c.relname FROM pg_class AS c
                 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                 ORDER BY 2"""
    recorded = {}
    for oid, table in connection.execute(tables).fetchall():
        columns = """SELECT attname FROM pg_attribute
                      WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"""
        columns = [name for (name,) in connection.execute(columns, [oid])]
        as_text = ", ".join(f'"{name}"::text' for name in columns)
        found = connection.execute(f'SELECT {as_text} FROM "{table}"').fetchall()
        if found and table not in NO_ROWS:
            recorded[table] = {"columns": columns, "rows": found}
    return recorded


def main():
    checkout, url = sys.argv[1:]
    with psycopg.connect(url, autocommit=True) as connection:
        migrations = connection.execute("SELECT version FROM _sqlx_migrations ORDER BY 1").fetchall()
        record = {
            "migrations": [version for (version,) in migrations],
            "row_types": attributes(connection, ["c"]),
            "tables": attributes(connection, ["r", "p"]),
            "statements": list(statements(connection, checkout)),
            "rows": rows(connection),
        }
    print("{" + ",\n".join(f"{json.dumps(name)}:{lines(part)}" for name, part in record.items()) + "}")


def lines(part):
    """JSON with a line for each item, for people who compare two records."""
    text = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(part, list):
        return "[" + ",\n".join(map(text, part)) + "]"
    return "{" + ",\n".join(f"{text(name)}:{text(value)}" for name, value in part.items()) + "}"


main()
