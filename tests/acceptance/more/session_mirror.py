"""A refused statement behaves as one that the server itself refuses: the same messages in the same places, the same states after it."""

from __future__ import annotations

import socket
import struct
import time

from suite.model import Case, Ctx, session
from suite.wire import COPY_DONE, FLUSH, SYNC, Bind, Close, CopyData, CopyFail, Describe, Execute, Parse, Query, Wire, extended

from .session import DEL, cancel, denied, works

# What the server refuses when it is parsed, and what the gateway refuses then.
WRONG = "SELECT nosuch FROM shop.order_items"
DENIED = {"delete": DEL, "probe": "SELECT id FROM shop.customers WHERE ssn = 'x'", "touch": "SELECT shop.touch_product(3)", "lock": "SELECT id FROM shop.products FOR UPDATE"}
P1, P2 = "SELECT id FROM shop.products ORDER BY id", "SELECT name FROM shop.products ORDER BY id"
PE = lambda sql, name="", portal="": Parse(sql, name) + Bind((), name, portal) + Execute(portal)

# Rounds of frames, each with the number of ReadyForQuery that end it; {x} is what is refused.
TALKS = {
    "first-of-pipeline": lambda x: [(PE(x) + PE(P1) + SYNC, 1)], "last-of-pipeline": lambda x: [(PE(P1) + PE(x) + SYNC, 1)], "between-syncs": lambda x: [(PE(P1) + SYNC + PE(x) + SYNC + PE(P2) + SYNC, 3)], "twice-in-a-row": lambda x: [(PE(x) + SYNC + PE(x) + SYNC, 2), (Query(x) + Query(x), 2)], "named": lambda x: [(Parse(P1, "a") + SYNC, 1), (Parse(x, "b") + Bind((), "b") + Execute() + SYNC, 1), (Bind((), "a") + Execute() + SYNC, 1), (Bind((), "b") + SYNC, 1)], "unnamed-is-gone": lambda x: [(Parse(P1) + SYNC, 1), (Parse(x) + SYNC, 1), (Bind() + Execute() + SYNC, 1)], "describe-after": lambda x: [(Parse(x, "s") + Describe("S", "s") + SYNC, 1), (Describe("S", "s") + SYNC, 1)], "close-after": lambda x: [(Parse(x, "s") + SYNC, 1), (Close("S", "s") + Parse("SELECT 1", "s") + Bind((), "s") + Execute() + SYNC, 1)], "name-again": lambda x: [(Parse(x, "s") + SYNC, 1), (Parse("SELECT 2", "s") + Bind((), "s") + Execute() + SYNC, 1)], "portal-lives-on": lambda x: [(Query("BEGIN"), 1), (Parse(P1) + Bind((), "", "p") + Execute("p", 2) + SYNC, 1), (PE(x) + SYNC, 1), (Execute("p", 2) + SYNC, 1), (Query("ROLLBACK"), 1), (Execute("p", 2) + SYNC, 1)],
    "block": lambda x: [(Query("BEGIN"), 1), (Query(x), 1), (Query("SELECT 1"), 1), (Query("COMMIT"), 1), (Query("SELECT 2"), 1)], "block-extended": lambda x: [(PE("BEGIN") + PE(x) + PE("SELECT 1") + SYNC, 1), (PE("SELECT 1") + SYNC, 1), (PE("COMMIT") + PE("SELECT 2") + SYNC, 1)], "block-rollback-in-pipeline": lambda x: [(Query("BEGIN"), 1), (PE(x) + SYNC + PE("ROLLBACK") + SYNC + PE("SELECT 3") + SYNC, 3)], "savepoints": lambda x: [(Query("BEGIN; SAVEPOINT a"), 1), (Query(x), 1), (Query("ROLLBACK TO a"), 1), (Query("SAVEPOINT b"), 1), (PE(x) + SYNC, 1), (Query("ROLLBACK TO SAVEPOINT b"), 1), (Query("RELEASE b"), 1), (Query("COMMIT"), 1)], "savepoint-twice": lambda x: [(Query("BEGIN; SAVEPOINT a; SAVEPOINT a"), 1), (Query(x), 1), (Query("ROLLBACK TO a"), 1), (Query("RELEASE a"), 1), (Query("ROLLBACK TO a"), 1), (Query("COMMIT"), 1)], "savepoint-released": lambda x: [(Query("BEGIN; SAVEPOINT a"), 1), (Query(x), 1), (Query("RELEASE a"), 1), (Query("ROLLBACK TO nosuch"), 1), (Query("END"), 1)], "chain": lambda x: [(Query("BEGIN ISOLATION LEVEL REPEATABLE READ"), 1), (Query(x), 1), (Query("ROLLBACK AND CHAIN"), 1), (Query("SHOW transaction_isolation"), 1), (Query("COMMIT"), 1)], "abort": lambda x: [(Query("BEGIN"), 1), (Query(x), 1), (Query("ABORT"), 1)], "failed-already": lambda x: [(Query("BEGIN"), 1), (Query("SELECT 1/0"), 1), (Query("ROLLBACK; SELECT 4"), 1)], "setting-rolled-back": lambda x: [(Query("BEGIN"), 1), (Query("SET LOCAL application_name = 'inner'"), 1), (Query(x), 1), (Query("ROLLBACK"), 1), (Query("SET application_name = 'outer'"), 1), (Query("SHOW application_name"), 1)], "path-rolled-back": lambda x: [(Query("BEGIN; SET search_path = shop"), 1), (Query(x), 1), (Query("ROLLBACK"), 1), (Query("SELECT count(*) FROM products"), 1)], "path-kept": lambda x: [(Query("SET search_path = shop"), 1), (Query(x), 1), (Query("SELECT count(*) FROM products"), 1)], "cursor-lost": lambda x: [(Query("BEGIN; DECLARE k CURSOR FOR SELECT 1"), 1), (Query(x), 1), (Query("ROLLBACK"), 1), (Query("FETCH k"), 1)], "cursor-held": lambda x: [(Query(f"DECLARE k CURSOR WITH HOLD FOR {P1}"), 1), (Query(x), 1), (Query("FETCH 2 FROM k"), 1), (PE(x) + SYNC, 1), (PE("FETCH 2 FROM k") + SYNC, 1), (Query("CLOSE k"), 1)], "cursor-savepoint": lambda x: [(Query(f"BEGIN; DECLARE k CURSOR FOR {P1}; SAVEPOINT a"), 1), (Query("FETCH 1 FROM k"), 1), (Query(x), 1), (Query("ROLLBACK TO a"), 1), (Query("FETCH 1 FROM k"), 1), (Query("COMMIT"), 1)], "prepared-survives": lambda x: [(Query(f"PREPARE q AS {P1} LIMIT 2"), 1), (Query("BEGIN"), 1), (Query(x), 1), (Query("ROLLBACK"), 1), (Query("EXECUTE q"), 1), (Query("DEALLOCATE q"), 1), (Query("EXECUTE q"), 1)], "prepared-in-failed": lambda x: [(Query("BEGIN; PREPARE q AS SELECT 1"), 1), (Query(x), 1), (Query("ROLLBACK"), 1), (Query("EXECUTE q"), 1)], "flush-then-sync": lambda x: [(PE(x) + FLUSH + SYNC, 1), (PE("SELECT 1") + FLUSH + PE("SELECT 2") + SYNC, 1)], "many-syncs": lambda x: [(SYNC + PE(x) + SYNC + SYNC + PE("SELECT 1") + SYNC, 4)], "empty-around": lambda x: [(Query(""), 1), (Query(x), 1), (Query("-- nothing"), 1), (Parse("") + Bind() + Execute() + SYNC, 1)], "batch-first": lambda x: [(Query(f"{x}; SELECT 1"), 1), (Query("SELECT 2; SELECT 3"), 1)], "copy-out-before": lambda x: [(Query("COPY (SELECT 1) TO STDOUT") + Query(x) + Query("COPY (SELECT 2) TO STDOUT"), 3)], "copy-out-pipeline": lambda x: [(PE("COPY (SELECT 1) TO STDOUT") + PE(x) + SYNC, 1), (PE("COPY (SELECT 2) TO STDOUT") + SYNC, 1)], "stray-copy": lambda x: [(Query(x) + CopyData(b"1\n") + COPY_DONE + Query("SELECT 1"), 2)], "stray-fail": lambda x: [(PE(x) + CopyData(b"1\n") + CopyFail() + SYNC, 1), (Query("SELECT 1"), 1)], "bad-bind-after": lambda x: [(Parse("SELECT $1::int", "s", (23,)) + SYNC, 1), (Bind([], "s") + SYNC, 1), (Query(x), 1), (Bind(["5"], "s") + Execute() + SYNC, 1), (Bind(["x"], "s") + Execute() + SYNC, 1)], "mode": lambda x: [(Query("BEGIN READ ONLY"), 1), (Query(x), 1), (Query("ROLLBACK"), 1), (Query("SELECT 5"), 1)], "discard": lambda x: [(Parse(P1, "a") + SYNC, 1), (Query(x), 1), (Query("DISCARD ALL"), 1), (Bind((), "a") + SYNC, 1), (Query("SELECT 1"), 1)], "explain": lambda x: [(Query(f"EXPLAIN {x}"), 1)] if x == WRONG else [(Query(f"EXPLAIN ANALYZE {x}"), 1)], "prepare": lambda x: [(Query(f"PREPARE q AS {x}"), 1), (Query("SELECT 1"), 1)],
}
# Where the gateway may refuse a PREPARE when it is run: what a name stands for then is not the server's.
LATER = {"prepare"}


def shape(w: Wire, rounds, refused: str) -> list:
    """What came: kinds of messages, tags, rows and states; of parameters only that they came."""
    out = []
    for frames, ready in rounds:
        w.send(frames)
        a = w.until_ready(ready)
        kinds = "".join(k for k in a.kinds if k not in "SN")
        states = [e.get("C") for e in a.errors]
        out.append((kinds, [m.body for m in a.messages if m.kind == "Z"], a.tags, a.texts(), ["refused" if s in ("42501", "42703") else s for s in states]))
    return out


def mirrored(name: str, sql: str):
    def work(ctx: Ctx) -> None:
        mine = shape(ctx.direct(), TALKS[name](WRONG), WRONG)
        w = ctx.wire()
        theirs = shape(w, TALKS[name](sql), sql)
        for n, (a, b) in enumerate(zip(mine, theirs)):
            if name in LATER and b[0] == "CZ" and a[0] == "EZ":
                continue
            assert a == b, f"round {n + 1}: {b} instead of {a}"[:190]
        if name not in ("path-kept",):
            works(w, "I")
    return work


# ---------------------------------------------------------------- protocol 3.2, cancel, timeouts, parameters

def newer_protocol(ctx: Ctx) -> None:
    """3.2, or what is negotiated down; the key that it gives cancels."""
    w = ctx.wire(login=False)
    w.login(version=196610)
    works(w)
    denied(w.query(DEL))
    w.send(Query("SELECT pg_sleep(4)"))
    time.sleep(0.3)
    cancel(w)
    assert w.until_ready().state == "57014"
    works(w)


def future_protocol(ctx: Ctx) -> None:
    w = ctx.wire(login=False)
    w.login([("_pq_.hid_option", "1")], version=196608 + 99)
    works(w)


def cancel_keeps_block(ctx: Ctx) -> None:
    w = ctx.wire()
    w.query("BEGIN; SAVEPOINT a")
    w.send(Query("SELECT count(*) FROM generate_series(1, 300000000)"))
    time.sleep(0.3)
    cancel(w)
    a = w.until_ready()
    assert a.state == "57014" and a.status == "E", f"{a.state} {a.status!r}"
    assert w.query("ROLLBACK TO a").status == "T"
    assert w.query("COMMIT").tags == ["COMMIT"]
    works(w)


def cancel_of_the_other(ctx: Ctx) -> None:
    """A key is one session's: the other goes on."""
    a, b = ctx.wire(), ctx.wire()
    a.send(Query("SELECT pg_sleep(1)"))
    b.send(Query("SELECT pg_sleep(4)"))
    time.sleep(0.3)
    cancel(b)
    assert b.until_ready().state == "57014"
    assert a.until_ready().tags == ["SELECT 1"]
    works(a)
    works(b)


def timeout_in_pipeline(ctx: Ctx) -> None:
    w = ctx.wire()
    w.query("SET statement_timeout = 300")
    w.send(PE("SELECT 1") + PE("SELECT pg_sleep(3)") + PE("SELECT 2") + SYNC + PE("SELECT 3") + SYNC)
    a, b = w.until_ready(), w.until_ready()
    assert a.state == "57014" and a.kinds == "12DC12EZ", f"{a.state} {a.kinds}"
    assert b.one() == "3", b.state
    w.query("RESET statement_timeout")
    works(w)


def parameters_are_told(ctx: Ctx) -> None:
    """A change is told in ParameterStatus, also when a transaction takes it back."""
    for sql in (["SET application_name = 'hid'"], ["SET TimeZone = 'Asia/Tokyo'"], ["SET DateStyle = 'SQL, DMY'"], ["SET IntervalStyle = 'iso_8601'"], ["SELECT set_config('application_name', 'hid2', false)"], ["BEGIN", "SET TimeZone = 'Asia/Tokyo'", "ROLLBACK"], ["SET application_name = 'x'", "RESET ALL"], ["SET TimeZone = 'Asia/Tokyo'", "DISCARD ALL"]):
        d, w = ctx.direct(), ctx.wire()
        for step in sql:
            mine, theirs = d.query(step), w.query(step)
            assert sorted(mine.of("S")) == sorted(theirs.of("S")), f"{step}: {theirs.of('S')} instead of {mine.of('S')}"


def startup_settings(ctx: Ctx) -> None:
    """What the start-up packet asks for holds, and comes back after RESET."""
    for params in ([("application_name", "hid")], [("options", "-c statement_timeout=4s -c search_path=shop")], [("TimeZone", "Asia/Tokyo"), ("DateStyle", "SQL")], [("options", "-c work_mem=8MB --enable-seqscan=off")], [("extra_float_digits", "2"), ("client_encoding", "UTF8")]):
        d, w = ctx.direct(params), ctx.wire(params)
        for sql in ("SHOW application_name", "SHOW statement_timeout", "SHOW search_path", "SHOW TimeZone", "SHOW DateStyle", "SHOW work_mem", "SHOW enable_seqscan", "SHOW extra_float_digits"):
            for before in ("", "RESET ALL; "):
                mine, theirs = d.query(before + sql), w.query(before + sql)
                assert mine.texts() == theirs.texts(), f"{params} {sql}: {theirs.texts() or theirs.state} instead of {mine.texts()}"
        denied(w.query(DEL))
        works(w)


def long_value(ctx: Ctx) -> None:
    """Two megabytes as a parameter, and a thousand parameters."""
    w = ctx.wire()
    a = w.extended("SELECT length($1::text)", ["x" * 2_000_000])
    assert a.one() == "2000000", a.state
    a = w.extended("SELECT ARRAY[" + ", ".join(f"${i}::int" for i in range(1, 1001)) + "]::text", ["1"] * 1000)
    assert a.one() and a.one().count("1") == 1000, a.state
    denied(w.extended("DELETE FROM shop.order_items WHERE order_id = $1", ["1"]))
    works(w)


def bad_utf8(ctx: Ctx) -> None:
    w = ctx.wire()
    a = w.query(b"SELECT '\xff'")
    assert len(a.errors) == 1 and a.state == "22021" and a.status == "I", f"{a.state} {a.status!r}"
    a = w.extended("SELECT $1::text", [b"\xff"])
    assert len(a.errors) == 1 and a.state == "22021", a.state
    works(w)


def two_hundred_blocks(ctx: Ctx) -> None:
    w = ctx.wire()
    for i in range(60):
        w.send(Query("BEGIN") + Query(f"SELECT {i}") + Query(DEL if i % 2 else "SELECT 1") + Query("COMMIT"))
        answers = [w.until_ready() for _ in range(4)]
        assert answers[1].one() == str(i)
        assert answers[3].tags == (["ROLLBACK"] if i % 2 and answers[2].status == "E" else ["COMMIT"]), f"{i}: {answers[3].tags}"
    works(w)


OTHERS = {"protocol-3.2": newer_protocol, "protocol-future": future_protocol, "cancel-keeps-block": cancel_keeps_block, "cancel-of-the-other": cancel_of_the_other, "timeout-in-pipeline": timeout_in_pipeline, "parameters-are-told": parameters_are_told, "startup-settings": startup_settings, "long-value": long_value, "bad-utf8": bad_utf8, "many-blocks": two_hundred_blocks}
CASES: list[Case] = [session(f"more.mirror.{kind}.{name}", mirrored(name, sql)) for name in TALKS for kind, sql in DENIED.items() if not (name == "explain" and kind != "delete")] + [session(f"more.mirror.{name}", work, timeout=10) for name, work in OTHERS.items()]
