"""Secrets and changes by what the server does otherwise than a reader expects: names that it cuts, defaults of the database's
own, columns that it computes, values that it keeps beside a table."""

from __future__ import annotations

import time
import zlib
from contextlib import contextmanager
from typing import Callable

from suite.model import Case, Ctx, leak, quoted, same, write
from suite.state import MARK
from suite.wire import SYNC, Bind, Close, Describe, Execute, Parse, Query

from .leak_values import C, WHO
from .leak_wire import rounds

SETTLES = 4  # the catalogue is looked at each second
LONG = "n" * 63  # the server knows names of statements and portals by so many bytes
SECRET, CLEAR = f"SELECT ssn FROM {C} ORDER BY id", f"SELECT name FROM {C} ORDER BY id"


# ---------------------------------------------------------------- names of the wire that differ behind their 63rd byte

def same_statement(clear: str, secret: str = SECRET, binary: bool = False, described: bool = False) -> Callable[[Ctx], None]:
    """A statement is closed under another name, and what is made under that name is run under the first."""
    run = Bind((), LONG + "1", results=(int(binary),)) + (Describe() if described else b"") + Execute()
    return rounds(Parse(clear, LONG + "1") + SYNC, Close("S", LONG + "2") + SYNC, Parse(secret, LONG + "2") + SYNC, run + SYNC)


NAMES = {
    "statement": same_statement(CLEAR), "statement-constant": same_statement("SELECT 'x'::varchar(11)"), "statement-binary": same_statement(CLEAR, binary=True),
    "statement-described": same_statement(CLEAR, described=True), "statement-hundred": rounds(Parse(CLEAR, LONG + "1" * 100) + Close("S", LONG + "2" * 100) + Parse(SECRET, LONG + "2" * 100) + Bind((), LONG + "1" * 100) + Execute() + SYNC),
    "statement-whole-row": same_statement("SELECT ROW(1)", f"SELECT c FROM {C} c"),
    "statement-short-close": rounds(Parse(CLEAR, LONG + "1") + SYNC, Close("S", LONG) + Parse(SECRET, LONG) + SYNC, Bind((), LONG + "1") + Execute() + SYNC),
    "statement-deallocate": rounds(Parse(CLEAR, LONG + "1") + SYNC, f'DEALLOCATE "{LONG}"', Parse(SECRET, LONG) + SYNC, Bind((), LONG + "1") + Execute() + SYNC),
    "statement-prepare": rounds(Parse(CLEAR, LONG + "1") + SYNC, f'DEALLOCATE "{LONG}"', f'PREPARE "{LONG}" AS {SECRET}', Bind((), LONG + "1") + Execute() + SYNC),
    "portal": rounds(Parse(CLEAR, "a") + Parse(SECRET, "b") + Bind((), "a", LONG + "1") + Close("P", LONG + "2") + Bind((), "b", LONG + "2") + Execute(LONG + "1") + SYNC),
    "portal-cursor": rounds("BEGIN", Parse(CLEAR, "a") + Bind((), "a", LONG + "1") + SYNC, f'CLOSE "{LONG}"', f'DECLARE "{LONG}" CURSOR FOR {SECRET}', Execute(LONG + "1") + SYNC),
    "portal-fetch": rounds("BEGIN", Parse(SECRET, "a") + Bind((), "a", LONG + "1") + SYNC, f'FETCH ALL FROM "{LONG}"'),
}


# ---------------------------------------------------------------- the database reads strings otherwise than the standard says

@contextmanager
def backslashes(ctx: Ctx):
    """Old applications want this; no client sets it."""
    database = ctx.admin.db.info.dbname
    ctx.admin.db.execute(f"ALTER DATABASE {database} SET standard_conforming_strings = off")
    try:
        yield
    finally:
        ctx.admin.db.execute(f"ALTER DATABASE {database} RESET standard_conforming_strings")


# To who reads by the standard, one long string each.
STRINGS = {
    "column": f"SELECT 'a\\'' || ssn FROM {C} --'", "vault": "SELECT 'a\\'' || key FROM vault.keys --'", "function": f"SELECT 'a\\'' || shop.get_contact({WHO}) --'",
    "file": "SELECT 'a\\'' || pg_read_file($$acceptance_note.txt$$) --'",
}
CHANGES = {
    "sequence": "SELECT 'a\\'' || nextval($$shop.invoice_no$$) --'", "function": "SELECT 'a\\'' || shop.touch_product(3) --'", "second": "SELECT 'a\\'' ; UPDATE shop.products SET price = 1; --'",
    "large-object": "SELECT 'a\\'' || lo_create(0) --'",
    "begin": "SELECT 'a\\'' ; COMMIT; BEGIN READ WRITE; UPDATE shop.products SET price = 1; COMMIT; --'", "program": f"SELECT 'a\\'' ; COPY (SELECT 1) TO PROGRAM $$cat > {MARK}_edge$$; --'",
}


def spoken(sql: str, extended: bool) -> Callable[[Ctx], None]:
    def work(ctx: Ctx) -> None:
        with backslashes(ctx):
            w = ctx.wire()
            (w.extended if extended else w.query)(sql)
    return work


# ---------------------------------------------------------------- values that follow from a tagged column

def among(make: str, unmake: str, *asks: str) -> Callable[[Ctx], None]:
    """With something that the administrator makes, once the gateway has seen it."""
    def work(ctx: Ctx) -> None:
        ctx.admin.db.execute(make)
        try:
            time.sleep(SETTLES)
            w = ctx.wire()
            for sql in asks:
                w.query(sql)
                w.extended(sql, binary=True)
        finally:
            ctx.admin.db.execute(unmake)
    return work


def heir(expression: str, kind: str = "STORED") -> tuple[str, str]:
    """A child of shop.customers with one more column, and a copy of a row."""
    make = f"CREATE TABLE shop.hid_heir (computed text GENERATED ALWAYS AS ({expression}) {kind}) INHERITS ({C}); INSERT INTO shop.hid_heir SELECT * FROM ONLY {C} WHERE id = {WHO}"
    return make, "DROP TABLE shop.hid_heir"


def viewed(query: str, *asks: str) -> Callable[[Ctx], None]:
    """A view of a name of its own, so that nobody has looked at another one of that name."""
    name = f"shop.hid_view_{zlib.crc32(query.encode()):x}"
    return among(f"CREATE VIEW {name} AS {query}", f"DROP VIEW {name}", *(ask.replace("{v}", name) for ask in asks))


GENERATED = ("SELECT computed FROM shop.hid_heir", "SELECT * FROM shop.hid_heir", "COPY shop.hid_heir (id, computed) TO STDOUT", "SELECT h FROM shop.hid_heir h")
BESIDE = {
    "stored": among(*heir("lower(email)"), *GENERATED), "stored-concat": among(*heir("ssn || '/' || name"), *GENERATED),
    "virtual": among(*heir("lower(email)", "VIRTUAL"), *GENERATED),  # from 18 on
    "view-cast": viewed(f"SELECT id, name, ssn::text::int AS part FROM {C}", "SELECT * FROM {v}", "SELECT part FROM {v} ORDER BY id"),
    "view-date": viewed(f"SELECT id, to_date(ssn, 'YYYY-MM-DD') AS part FROM {C}", "SELECT * FROM {v}"),
    "view-json": viewed(f"SELECT id, (profile ->> 'ssn')::int AS part FROM {C}", "TABLE {v}"),
    "view-condition": viewed(f"SELECT id FROM {C} WHERE ssn::text::int > 0", "SELECT id FROM {v}", "SELECT count(*) FROM {v}"),
    "view-order": viewed(f"SELECT id FROM {C} ORDER BY ssn::text::date", "SELECT id FROM {v}"),
    "view-copy": viewed(f"SELECT id, email::numeric AS part FROM {C}", "COPY (SELECT * FROM {v}) TO STDOUT"),
    "view-cursor": viewed(f"SELECT id, email::numeric AS part FROM {C}", "BEGIN; DECLARE k CURSOR FOR SELECT * FROM {v}; FETCH k; COMMIT"),
}


def kept_beside(ctx: Ctx) -> None:
    """The value that rows have which are older than the column stands in the catalogue."""
    value = quoted(ctx.seed.customer(WHO)["email"])
    make = (f"CREATE TABLE shop.hid_heir (LIKE {C} INCLUDING CONSTRAINTS); ALTER TABLE shop.hid_heir DROP email; ALTER TABLE shop.hid_heir ADD email text NOT NULL DEFAULT {value};"
            f"ALTER TABLE shop.hid_heir ALTER email DROP DEFAULT; ALTER TABLE shop.hid_heir INHERIT {C}")
    among(make, "DROP TABLE shop.hid_heir", "SELECT attname, attmissingval FROM pg_attribute WHERE atthasmissing", "SELECT attmissingval::text FROM pg_catalog.pg_attribute",
          "SELECT a FROM pg_attribute a WHERE atthasmissing", "COPY pg_attribute TO STDOUT")(ctx)


CASES: list[Case] = (
    [leak(f"more.edge.name.{n}", driver=work) for n, work in NAMES.items()]
    + [leak(f"more.edge.string.{n}", driver=spoken(sql, False)) for n, sql in STRINGS.items()]
    + [leak(f"more.edge.string-extended.{n}", driver=spoken(sql, True)) for n, sql in STRINGS.items()]
    + [write(f"more.edge.string.{n}", driver=(lambda work: lambda ctx: (work(ctx), None)[1])(spoken(sql, False))) for n, sql in CHANGES.items()]
    + [leak(f"more.edge.beside.{n}", driver=work, timeout=20) for n, work in BESIDE.items()]
    + [leak("more.edge.beside.missing-value", driver=kept_beside, timeout=20)]
    + [same("more.edge.no-columns-copied", "COPY (SELECT FROM shop.products WHERE id < 3) TO STDOUT", "SELECT 1"),
       same("more.edge.long-names", driver=lambda w: [two_names(w, "m" * 63, "m" * 62 + "x")])]
)


def two_names(w, one: str, other: str):
    """As long as names may be, and told apart."""
    w.send(Parse("SELECT id FROM shop.products ORDER BY id LIMIT 2", one) + Parse("SELECT name FROM shop.products ORDER BY id LIMIT 2", other)
           + Bind((), one, one) + Bind((), other, other) + Execute(one) + Execute(other) + Close("S", one) + Bind((), other) + Execute() + SYNC)
    return w.until_ready()
