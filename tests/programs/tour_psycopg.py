"""psycopg 3: types both ways, server-side cursors, pipelines, COPY, notices, errors. Prints what it sees."""

import psycopg
from psycopg import sql

with psycopg.connect("", autocommit=True) as db:
    db.add_notice_handler(lambda n: print("notice", n.severity, n.message_primary))
    for binary in (False, True):
        rows = db.execute("SELECT id, name, mood, home, score, balance, tags, facts, photo, seen, span, half FROM people WHERE id <= %s ORDER BY id", [3], binary=binary)
        print([c.name for c in rows.description], [c.type_code for c in rows.description])
        for row in rows:
            print(row)
    print(db.execute("SELECT %s::int + %s, %s::text, %s::bytea", [1, 2, "ä😀", b"\0\1"]).fetchone())
    for _ in range(7):  # prepared from the sixth on
        print(db.execute("SELECT name FROM people WHERE id = %s", [5]).fetchone())
    for bad in ("SELECT 1/0", "SELEKT", "SELECT * FROM nowhere"):
        try:
            db.execute(bad)
        except psycopg.Error as e:
            print(type(e).__name__, e.sqlstate, e.diag.message_primary, e.diag.statement_position)
    db.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
    with db.transaction(force_rollback=True):
        db.execute("CREATE TEMPORARY TABLE t (a int, b text)")
        with db.cursor().copy("COPY t FROM STDIN") as copy:
            for row in [(1, "x"), (2, None), (3, "tab\tnew\nline")]:
                copy.write_row(row)
        with db.cursor().copy("COPY t TO STDOUT (FORMAT binary)") as copy:
            print(b"".join(bytes(c) for c in copy))
        with db.cursor(name="named") as named:
            named.execute("SELECT g FROM generate_series(1, 1000) g")
            print(named.fetchmany(3), named.fetchone())
        cursor = db.cursor()
        cursor.executemany("INSERT INTO t VALUES (%s, %s) RETURNING a", [(10, "a"), (11, "b")], returning=True)
        print(cursor.fetchone(), cursor.nextset(), cursor.fetchone())
    with db.pipeline():
        first, second = db.execute("SELECT 1"), db.execute("SELECT 2")
        print(first.fetchone(), second.fetchone())
    try:
        with db.pipeline():
            good, bad = db.execute("SELECT 1"), db.execute("SELECT 1/0")
            good.fetchone(), bad.fetchone()
    except psycopg.Error as e:
        print("pipeline", e.sqlstate)
    print(db.execute(sql.SQL("SELECT {}").format(sql.Literal("it's"))).fetchone(), db.info.transaction_status.name)
    print(sorted((k, db.info.parameter_status(k)) for k in ("server_version", "client_encoding", "DateStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings", "is_superuser")))
