"""Secrets and changes by what a database's own definitions bring along: foreign tables below a table, columns that hold rows of a
tagged table, columns that are computed when they are read, tagged columns that move."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import Callable, Iterator

from suite.model import Case, Ctx, found, leak, same, write

from .edges import SETTLES
from .leak_values import C, WHO

Text = str | Callable[[Ctx], str]


@contextmanager
def made(ctx: Ctx, make: Text, unmake: str) -> Iterator[None]:
    """What the administrator makes, once the gateway has seen it. A case whose ground is not there says nothing."""
    try:
        ctx.admin.db.execute(make if isinstance(make, str) else make(ctx))
        time.sleep(SETTLES)
        yield
    finally:
        ctx.admin.db.execute(unmake)


def amid(case: Case, make: Text, unmake: str, since: int = 13) -> Case:
    """The same case on such ground, from a major on."""
    def run(ctx: Ctx) -> str | None:
        if ctx.admin.db.info.server_version < since * 10_000:
            return None
        with made(ctx, make, unmake):
            return case.run(ctx)
    return replace(case, run=run, timeout=20)


def changing(id: str, make: Text, unmake: str, *asks: str) -> Case:
    """The ground is gone again before the server is looked at."""
    def driver(ctx: Ctx) -> None:
        with made(ctx, make, unmake):
            w = ctx.wire()
            for sql in asks:
                w.query(sql)
                w.extended(sql)
    return write(id, driver=driver, timeout=20)


# ---------------------------------------------------------------- a table's rows are elsewhere

def far(ctx: Ctx) -> str:
    """Below tables of this database, tables of a server that is this one again."""
    at = ctx.admin.db.info
    return f"""CREATE EXTENSION postgres_fdw; CREATE EXTENSION file_fdw;
        CREATE SERVER hid_loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{at.host}', port '{at.port}', dbname '{at.dbname}');
        CREATE SERVER hid_files FOREIGN DATA WRAPPER file_fdw;
        CREATE USER MAPPING FOR PUBLIC SERVER hid_loop OPTIONS (user '{at.user}', password_required 'false');
        CREATE TABLE shop.hid_parts (id integer, name text) PARTITION BY LIST (id);
        CREATE FOREIGN TABLE shop.hid_part PARTITION OF shop.hid_parts DEFAULT SERVER hid_loop OPTIONS (schema_name 'vault', table_name 'products');
        CREATE VIEW shop.hid_parts_seen AS SELECT id, name FROM shop.hid_parts;
        CREATE TABLE shop.hid_all (id integer, name text);
        CREATE FOREIGN TABLE shop.hid_far (touched integer) INHERITS (shop.hid_all) SERVER hid_loop OPTIONS (schema_name 'shop', table_name 'v_touch');
        CREATE TABLE shop.hid_lines (line text);
        CREATE FOREIGN TABLE shop.hid_file () INHERITS (shop.hid_lines) SERVER hid_files OPTIONS (filename 'acceptance_note.txt');
        CREATE TABLE shop.hid_top (id integer, name text); ALTER TABLE shop.hid_all INHERIT shop.hid_top; INSERT INTO shop.hid_top VALUES (7, 'here')"""


NEAR = """DROP TABLE IF EXISTS shop.hid_parts, shop.hid_top, shop.hid_all, shop.hid_lines CASCADE; DROP SERVER IF EXISTS hid_loop CASCADE; DROP SERVER IF EXISTS hid_files CASCADE;
    DROP EXTENSION IF EXISTS postgres_fdw, file_fdw"""
FAR = {
    "partition": "SELECT * FROM shop.hid_parts", "view": "SELECT name FROM shop.hid_parts_seen", "copy": "COPY (SELECT name FROM shop.hid_parts) TO STDOUT",
    "sub-query": "SELECT id, (SELECT max(name) FROM shop.hid_parts) FROM shop.products WHERE id < 3", "file": "SELECT * FROM shop.hid_lines",
}
REACHED = {"child": "SELECT * FROM shop.hid_all", "grandchild": "SELECT name FROM shop.hid_top", "count": "SELECT count(*) FROM shop.hid_all", "explained": "EXPLAIN ANALYZE SELECT * FROM shop.hid_all"}


# ---------------------------------------------------------------- columns that hold rows of a tagged table

ROWS = f"""CREATE TABLE shop.hid_kept (id integer, was {C}, all_were {C}[]); INSERT INTO shop.hid_kept SELECT id, c, ARRAY[c] FROM ONLY {C} c WHERE id <= {WHO};
    CREATE DOMAIN shop.hid_row AS {C}; CREATE TYPE shop.hid_pair AS (number integer, inner_row {C}); CREATE TABLE shop.hid_deep (id integer, d shop.hid_row, p shop.hid_pair, o shop.products);
    INSERT INTO shop.hid_deep SELECT c.id, c, ROW(1, c)::shop.hid_pair, o FROM ONLY {C} c JOIN shop.products o USING (id) WHERE id <= {WHO};
    CREATE VIEW shop.hid_kept_seen AS SELECT id, (was).email AS part FROM shop.hid_kept; CREATE MATERIALIZED VIEW shop.hid_deep_copy AS SELECT id, (p).inner_row AS q FROM shop.hid_deep"""
NO_ROWS = "DROP TABLE IF EXISTS shop.hid_kept, shop.hid_deep CASCADE; DROP TYPE IF EXISTS shop.hid_pair; DROP DOMAIN IF EXISTS shop.hid_row"
KEPT = (
    "SELECT id, (was).ssn FROM shop.hid_kept", "SELECT * FROM shop.hid_kept", "SELECT (was).* FROM shop.hid_kept", "SELECT (all_were[1]).email FROM shop.hid_kept", "SELECT u.email FROM shop.hid_kept k, unnest(k.all_were) u",
    "SELECT to_jsonb(k) FROM shop.hid_kept k", "SELECT was::text FROM shop.hid_kept", "COPY shop.hid_kept TO STDOUT", "SELECT part FROM shop.hid_kept_seen", "SELECT (was).ssn::text::date FROM shop.hid_kept",
)
DEEP = ("SELECT (d).ssn FROM shop.hid_deep", "SELECT ((p).inner_row).card_number FROM shop.hid_deep", "SELECT (q).ssn FROM shop.hid_deep_copy", "SELECT h FROM shop.hid_deep h")


# ---------------------------------------------------------------- columns that are computed when they are read

FAILS = f"""CREATE TABLE shop.hid_late (part integer GENERATED ALWAYS AS (ssn::text::integer) VIRTUAL) INHERITS ({C}); INSERT INTO shop.hid_late SELECT * FROM ONLY {C} WHERE id = {WHO};
    CREATE TABLE shop.hid_plain (word text, part integer GENERATED ALWAYS AS (word::integer) VIRTUAL); INSERT INTO shop.hid_plain VALUES ('seven')"""
NO_FAILS = "DROP TABLE IF EXISTS shop.hid_late, shop.hid_plain"
LATE = ("SELECT part FROM shop.hid_late", "SELECT * FROM shop.hid_late", "SELECT h FROM shop.hid_late h", "COPY (SELECT part FROM shop.hid_late) TO STDOUT", "BEGIN; DECLARE k CURSOR FOR SELECT part FROM shop.hid_late; FETCH k", "ROLLBACK")


# ---------------------------------------------------------------- somewhere else now

MOVES = {
    "column": ("ALTER TABLE shop.secrets RENAME api_key TO hid_word", "ALTER TABLE shop.secrets RENAME hid_word TO api_key", "TABLE shop.secrets", "SELECT hid_word FROM shop.secrets"),
    "table": ("ALTER TABLE shop.secrets RENAME TO hid_secrets", "ALTER TABLE shop.hid_secrets RENAME TO secrets", "SELECT api_key FROM shop.hid_secrets"),
    "schema": ("CREATE SCHEMA hid_other; ALTER TABLE shop.secrets SET SCHEMA hid_other", "ALTER TABLE hid_other.secrets SET SCHEMA shop; DROP SCHEMA hid_other", "SELECT api_key FROM hid_other.secrets"),
    "whole-schema": ("ALTER SCHEMA shop RENAME TO hid_other", "ALTER SCHEMA hid_other RENAME TO shop", "SELECT api_key FROM hid_other.secrets"),
    "swapped": ("ALTER TABLE shop.secrets RENAME TO hid_secrets; CREATE TABLE shop.secrets (LIKE shop.hid_secrets)", "DROP TABLE shop.secrets; ALTER TABLE shop.hid_secrets RENAME TO secrets", "SELECT api_key FROM shop.hid_secrets"),
    "crossed": ("ALTER TABLE shop.secrets RENAME api_key TO hid_word; ALTER TABLE shop.secrets RENAME service TO api_key", "ALTER TABLE shop.secrets RENAME api_key TO service; ALTER TABLE shop.secrets RENAME hid_word TO api_key",
                "SELECT hid_word FROM shop.secrets"),
}


# ---------------------------------------------------------------- views that compute something of which rows there are

RANKS = f"""CREATE VIEW shop.hid_ranks AS SELECT id, rank() OVER (ORDER BY salary) AS r FROM shop.staff; CREATE VIEW shop.hid_named AS SELECT id, rank() OVER w AS r FROM shop.staff WINDOW w AS (ORDER BY salary);
    CREATE VIEW shop.hid_counts AS SELECT s.id, (SELECT 1 + count(*) FROM shop.staff o WHERE o.salary < s.salary) AS r FROM shop.staff s;
    CREATE VIEW shop.hid_lateral AS SELECT s.id, l.r FROM shop.staff s, LATERAL (SELECT 1 + count(*) AS r FROM shop.staff o WHERE o.salary < s.salary) l;
    CREATE VIEW shop.hid_above AS SELECT s.id, EXISTS (SELECT 1 FROM shop.staff o WHERE o.id = 7 AND o.salary <= s.salary) AS r FROM shop.staff s;
    CREATE VIEW shop.hid_band AS SELECT id, CASE WHEN salary >= (SELECT salary FROM shop.staff WHERE id = 7) THEN 'high' END AS r FROM shop.staff;
    CREATE MATERIALIZED VIEW shop.hid_kept AS TABLE shop.hid_ranks; CREATE VIEW shop.hid_clear AS SELECT s.id, rank() OVER (ORDER BY hired_on, id) AS r, (SELECT count(*) FROM shop.staff o WHERE o.manager_id = s.id) AS n FROM shop.staff s"""
NO_RANKS = "DROP VIEW IF EXISTS shop.hid_ranks, shop.hid_named, shop.hid_counts, shop.hid_lateral, shop.hid_above, shop.hid_band, shop.hid_clear CASCADE"
RANKED = ("ranks", "named", "counts", "lateral", "kept")


def told(view: str):
    """What a view computes is there, or tells its two kinds of rows apart."""
    def judge(ctx: Ctx, answers) -> str | None:
        want = [r[0] for r in ctx.admin.rows(f"SELECT r::text FROM shop.hid_{view} ORDER BY id")]
        got = [shown.decode() if shown is not None else None for answer in answers for _, shown in answer.rows]
        alike = {a: b for a, b in zip(want, got)}
        return "the view's own answers" if got and len(set(got)) > 1 and [alike[a] for a in want] == got else None
    return judge


CASES: list[Case] = [  # few, since each waits until the gateway has seen its ground
    amid(leak("more.definition.far", *FAR.values()), far, NEAR),
    changing("more.definition.far", far, NEAR, *REACHED.values()),
    amid(same("more.definition.far.only-here", "SELECT * FROM ONLY shop.hid_top", "SELECT relname FROM pg_class WHERE relname LIKE 'hid_%' ORDER BY 1"), far, NEAR),
    *(amid(leak(f"more.definition.rows.{n}", *asks, how=how), ROWS, NO_ROWS) for n, how, asks in (("kept", "simple", KEPT), ("kept-binary", "binary", KEPT), ("deep", "extended", DEEP))),
    amid(same("more.definition.rows.others", "SELECT id FROM shop.hid_kept ORDER BY id", "SELECT (o).name, (o).price FROM shop.hid_deep ORDER BY 1", "SELECT count(*) FROM shop.hid_kept"), ROWS, NO_ROWS),
    amid(leak("more.definition.late", *LATE), FAILS, NO_FAILS, since=18),
    amid(same("more.definition.late.of-clear", "SELECT part FROM shop.hid_plain", "SELECT id FROM shop.hid_late"), FAILS, NO_FAILS, since=18),
    *(amid(found(f"more.definition.computed.{n}", told(n), f"SELECT id, r FROM shop.hid_{n} ORDER BY id"), RANKS, NO_RANKS) for n in (*RANKED, "above", "band")),
    amid(same("more.definition.computed.of-clear", "SELECT * FROM shop.hid_clear ORDER BY id", "SELECT count(*) FROM shop.hid_ranks"), RANKS, NO_RANKS),
    *(amid(leak(f"more.definition.moved.{n}", *asks), make, unmake) for n, (make, unmake, *asks) in MOVES.items()),
]
