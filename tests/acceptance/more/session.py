"""A refusal is exactly one error in its place, and everything around it goes on as PostgreSQL would."""

from __future__ import annotations

import socket
import struct
import time

from suite.model import Case, Ctx, session
from suite.wire import COPY_DONE, FLUSH, SYNC, Answer, Bind, Close, CopyData, CopyFail, Describe, Execute, FunctionCall, Parse, Query, Wire, extended

DEL = "DELETE FROM shop.order_items WHERE order_id = 1"
LEAK = "SELECT id FROM shop.customers WHERE ssn = 'x'"


def denied(a: Answer, states: tuple[str, ...] = ("42501",)) -> None:
    assert len(a.errors) == 1, f"{len(a.errors)} errors (tags {a.tags}, kinds {a.kinds}) instead of one denial"
    e = a.errors[0]
    assert e.get("C") in states, f"SQLSTATE {e.get('C')} instead of {states[0]}: {e.get('M', '')}"
    assert e.get("M", "").strip(), "empty message"
    assert e.get("V", e.get("S")) == "ERROR", f"severity {e.get('V', e.get('S'))}"


def works(w: Wire, status: str = "I") -> None:
    a = w.query("SELECT count(*) FROM shop.products")
    assert a.one() == "80" and a.status == status, f"afterwards: {a.state or a.texts()} status {a.status!r}"
    a = w.extended("SELECT id FROM shop.products WHERE id = $1", ["5"])
    assert a.one() == "5" and a.kinds.count("Z") == 1, f"afterwards, extended: {a.state or a.texts()}"


DENIALS = {
    "probe": LEAK, "expression": "SELECT upper(email) FROM shop.customers", "error-cast": "SELECT ssn::text::int FROM shop.customers", "order": "SELECT id FROM shop.customers ORDER BY ssn", "update-tagged": "UPDATE shop.customers SET email = 'x' WHERE id = 1", "vault-view": "SELECT * FROM vault.products", "stats": "SELECT most_common_vals::text FROM pg_stats", "activity": "SELECT query || '' FROM pg_stat_activity", "authid": "SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'x'", "file": "SELECT pg_ls_dir('.')",
    "large-object": "SELECT lo_create(0)", "sequence": "SELECT nextval('shop.invoice_no')", "setting": "SET session_replication_role = replica", "role": "SET ROLE acceptance_app", "lock": "LOCK TABLE shop.products", "for-update": "SELECT id FROM shop.products FOR UPDATE", "notify": "NOTIFY x", "vacuum": "VACUUM shop.products", "analyze": "ANALYZE shop.products", "checkpoint": "CHECKPOINT", "reindex": "REINDEX TABLE shop.products", "do": "DO $$ BEGIN NULL; END $$", "call": "CALL shop.archive_orders(now())", "create-function": "CREATE FUNCTION public.hid_f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "create-temp": "CREATE TEMP TABLE hid_t (a int)", "alter": "ALTER TABLE shop.products ADD COLUMN x int", "comment": "COMMENT ON TABLE shop.products IS 'x'", "set-config": "SELECT set_config('session_replication_role', 'replica', false)", "terminate": "SELECT pg_terminate_backend(1)", "cancel": "SELECT pg_cancel_backend(1)", "load": "LOAD 'auto_explain'", "dblink": "SELECT * FROM dblink('dbname=x', 'select 1') AS t(a int)", "query-to-xml": "SELECT query_to_xml('delete from shop.staff returning 1', true, false, '')", "explain-analyze": f"EXPLAIN (ANALYZE) {DEL}", "prepare-write": f"PREPARE hid_p AS {DEL}", "copy-in": "COPY shop.products FROM STDIN", "prepare-transaction": "PREPARE TRANSACTION 'x'",
}


def simple(sql: str):
    def work(ctx: Ctx) -> None:
        w = ctx.wire()
        a = w.query(sql)
        if sql.startswith("PREPARE hid_p") and not a.state:  # may be refused when it is prepared or when it runs
            a = w.query("EXECUTE hid_p")
        denied(a)
        assert a.status == "I" and a.kinds in ("EZ", "NEZ"), f"messages {a.kinds} status {a.status!r}"
        works(w)
    return work


def in_block(sql: str, how: str):
    def work(ctx: Ctx) -> None:
        w = ctx.wire()
        assert w.query("BEGIN").status == "T"
        a = w.query(sql) if how == "simple" else w.extended(sql)
        if sql.startswith("PREPARE hid_p") and not a.state:
            a = w.query("EXECUTE hid_p")
        denied(a)
        assert a.status in ("T", "E"), f"status {a.status!r}"
        b = w.query("SELECT 1")
        if a.status == "E":
            assert b.state == "25P02" and b.status == "E", f"announced E, but SELECT gives {b.state or 'rows'}"
        else:
            assert b.one() == "1"
        c = w.query("COMMIT")
        assert c.tags == (["ROLLBACK"] if a.status == "E" else ["COMMIT"]) and c.status == "I", f"COMMIT gives {c.tags} {c.status!r}"
        works(w)
    return work


def by_extended(sql: str):
    def work(ctx: Ctx) -> None:
        w = ctx.wire()
        a = w.extended(sql)
        if sql.startswith("PREPARE hid_p") and not a.state:
            a = w.extended("EXECUTE hid_p")
        denied(a)
        assert a.kinds.endswith("EZ") and a.status == "I", f"messages {a.kinds}"
        works(w)
    return work


# ---------------------------------------------------------------- conversations

def talk(*parts):
    """Each part: frames, how many ReadyForQuery, the kinds of messages that come."""
    def work(ctx: Ctx) -> None:
        w = ctx.wire()
        for n, (frames, ready, kinds) in enumerate(parts):
            w.send(frames)
            a = w.until_ready(ready)
            assert a.kinds in (kinds if isinstance(kinds, tuple) else (kinds,)), f"part {n + 1}: messages {a.kinds} ({a.state}) instead of {kinds}"
        works(w)
    return work


S1, S2 = "SELECT 1", "SELECT 2"
PE = lambda sql, name="", portal="": Parse(sql, name) + Bind((), name, portal) + Execute(portal)
TALKS = {
    "refused-first": talk((PE(DEL) + PE(S1) + SYNC, 1, "EZ")), "refused-last": talk((PE(S1) + PE(DEL) + SYNC, 1, "12DC" + "EZ"), ), "refused-middle": talk((PE(S1) + PE(DEL) + PE(S2) + SYNC, 1, "12DCEZ")), "refused-bind": talk((Parse(DEL, "s") + SYNC, 1, ("EZ", "1Z")), (Bind((), "s") + Execute() + SYNC, 1, ("EZ", "2EZ"))), "two-refused": talk((PE(DEL) + SYNC + PE(DEL) + SYNC, 2, "EZEZ")), "refused-then-query": talk((PE(DEL) + SYNC + Query(S1), 2, "EZTDCZ")), "query-then-refused": talk((Query(S1) + Query(DEL) + Query(S2), 3, "TDCZEZTDCZ")),
    "close-refused": talk((Parse(DEL, "n") + SYNC, 1, ("EZ", "1Z")), (Close("S", "n") + SYNC, 1, "3Z")), "describe-refused": talk((Parse(DEL) + Describe("S", "") + SYNC, 1, ("EZ", "1tnZ"))), "describe-refused-rows": talk((Parse(LEAK) + Describe("S", "") + SYNC, 1, ("EZ", "1tTZ"))), "flush-after-refused": talk((PE(DEL) + FLUSH + FLUSH + SYNC, 1, "EZ")), "sync-after-refused": talk((PE(DEL) + SYNC + SYNC + SYNC, 3, "EZZZ")), "empty-after-refused": talk((PE(DEL) + SYNC + Parse("") + Bind() + Execute() + SYNC, 2, "EZ12IZ")), "batch-refused": talk((Query(f"{S1}; {DEL}; {S2}"), 1, "EZ")), "batch-refused-begin": talk((Query(f"BEGIN; {DEL}; COMMIT"), 1, "EZ")),
    "copy-refused": talk((Query("COPY shop.products FROM STDIN") + CopyData(b"1\n") + COPY_DONE + Query(S1), 2, "EZTDCZ")), "copy-refused-fail": talk((Query("COPY shop.products FROM STDIN") + CopyData(b"1\n") + CopyFail() + Query(S1), 2, "EZTDCZ")), "copy-refused-extended": talk((PE("COPY shop.products FROM STDIN") + CopyData(b"1\n") + COPY_DONE + SYNC + PE(S1) + SYNC, 2, "EZ12DCZ")), "copy-out-then-refused": talk((Query("COPY (SELECT 1) TO STDOUT") + Query(DEL), 2, "HdcCZEZ")), "function-call": lambda ctx: talk((FunctionCall(ctx.admin.value("SELECT 'shop.touch_product(int)'::regprocedure::oid"), [b"3"]) + Query(S1), 2, "EZTDCZ"))(ctx), "stray-copy": talk((CopyData(b"x") + COPY_DONE + CopyFail() + Query(S1), 1, "TDCZ")),
    "syntax": talk((Query("SELEC 1"), 1, "EZ"), (PE("SELEC 1") + PE(S1) + SYNC, 1, "EZ"), (Query(f"{S1}; SELEC 2"), 1, "EZ")), "portal-limit": talk((Parse("SELECT id FROM shop.products ORDER BY id") + Bind() + Execute(rows=2) + Execute(rows=1) + SYNC, 1, "12DDsDsZ")), "missing-statement": talk((Bind((), "nosuch") + Execute() + SYNC, 1, "EZ")), "missing-portal": talk((Execute("nosuch") + SYNC, 1, "EZ")), "close-missing": talk((Close("S", "nosuch") + Close("P", "nosuch") + SYNC, 1, "33Z")), "describe-missing": talk((Describe("S", "nosuch") + SYNC, 1, "EZ")), "parse-twice": talk((Parse(S1, "a") + SYNC, 1, "1Z"), (Parse(S2, "a") + SYNC, 1, "EZ"), (Bind((), "a") + Execute() + SYNC, 1, "2DCZ")),
    "fetch-extended": talk((Query("BEGIN; DECLARE k CURSOR FOR SELECT id FROM shop.products ORDER BY id"), 1, "CCZ"), (PE("FETCH 2 FROM k") + SYNC, 1, "12DDCZ"), (PE("FETCH 2 FROM k", "f") + SYNC, 1, "12DDCZ"), (Bind((), "f") + Execute() + SYNC, 1, "2DDCZ"), (PE("MOVE 1 FROM k") + PE("CLOSE k") + SYNC, 1, "12C12CZ"), (Query("COMMIT"), 1, "CZ")), "fetch-one-pipeline": talk((PE("BEGIN") + PE("DECLARE k CURSOR FOR SELECT id FROM shop.products") + PE("FETCH 1 FROM k") + PE("COMMIT") + SYNC, 1, "12C12C12DC12CZ")), "execute-extended": talk((Query("PREPARE a AS SELECT 5"), 1, "CZ"), (PE("EXECUTE a") + PE("EXECUTE a") + SYNC, 1, "12DC12DCZ"), (PE("EXECUTE a", "x") + SYNC, 1, "12DCZ"), (Bind((), "x") + Execute() + SYNC, 1, "2DCZ")),
    "execute-redefined": talk((Query("PREPARE a AS SELECT 5"), 1, "CZ"), (PE("EXECUTE a", "x") + SYNC, 1, "12DCZ"), (Query("DEALLOCATE a; PREPARE a AS SELECT 6"), 1, "CCZ"), (Bind((), "x") + Execute() + SYNC, 1, "2DCZ")), "prepare-pipeline": talk((PE("PREPARE a AS SELECT 5") + PE("EXECUTE a") + PE("DEALLOCATE a") + SYNC, 1, "12C12DC12CZ")), "mixed-names": talk((Parse("SELECT 5", "w") + SYNC, 1, "1Z"), (Query("EXECUTE w"), 1, "TDCZ"), (Query("DEALLOCATE w"), 1, "CZ"), (Bind((), "w") + SYNC, 1, "EZ")), "set-pipeline": talk((PE("SET search_path = shop") + PE("SELECT count(*) FROM products") + SYNC, 1, ("12C12DCZ", "12CS12DCZ", "12C12DCSZ"))), "begin-pipeline": talk((PE("BEGIN") + PE(S1) + PE("COMMIT") + PE(S2) + SYNC, 1, "12C12DC12C12DCZ")), "begin-refused-pipeline": talk((PE("BEGIN") + PE(DEL) + PE("COMMIT") + SYNC, 1, "12CEZ"), (Query("ROLLBACK"), 1, "CZ")),
    "failed-block": talk((Query("BEGIN"), 1, "CZ"), (Query("SELECT 1/0"), 1, "EZ"), (PE(S1) + SYNC, 1, "EZ"), (PE("ROLLBACK") + PE(S1) + SYNC, 1, "12C12DCZ")), "failed-block-denied": talk((Query("BEGIN"), 1, "CZ"), (Query(DEL), 1, "EZ"), (Query(DEL), 1, "EZ"), (PE("ROLLBACK") + PE(S1) + SYNC, 1, "12C12DCZ")), "failed-block-path": talk((Query("BEGIN"), 1, "CZ"), (Query("SET search_path = shop"), 1, ("CZ", "CSZ")), (Query("SELECT 1/0"), 1, ("EZ", "ESZ")), (PE("ROLLBACK") + PE("SELECT count(*) FROM shop.products") + SYNC, 1, ("12C12DCZ", "12CS12DCZ", "12C12DCSZ"))), "failed-savepoint": talk((Query("BEGIN; SAVEPOINT a"), 1, "CCZ"), (Query(DEL), 1, "EZ"), (PE("ROLLBACK TO a") + PE(S1) + SYNC, 1, "12C12DCZ"), (Query("COMMIT"), 1, "CZ")), "savepoint-path": talk((Query("BEGIN; SAVEPOINT a; SET search_path = shop"), 1, ("CCCZ", "CCCSZ")), (Query("SELECT nosuch()"), 1, ("EZ", "ESZ")), (PE("ROLLBACK TO a") + PE("SELECT count(*) FROM shop.products") + SYNC, 1, ("12C12DCZ", "12CS12DCZ", "12C12DCSZ")), (Query("COMMIT"), 1, "CZ")),
}


def position(ctx: Ctx) -> None:
    """A syntax error has the server's own words and place."""
    for sql in ("SELEC 1", "SELECT * FORM x", "SELECT 'é' FROM WHERE", "SELECT 1 +", "SELECT (1", "INSERT INTO", "SELECT 1;\nSELECT 2 3 4"):
        mine, theirs = ctx.direct().query(sql).errors[0], ctx.wire().query(sql).errors[0]
        for f in ("C", "M", "P"):
            assert mine.get(f) == theirs.get(f), f"{sql}: {f} {theirs.get(f)!r} instead of {mine.get(f)!r}"


def cancel(w: Wire) -> None:
    s = socket.create_connection(w.sock.getpeername(), 2)
    s.sendall(struct.pack(">III", 12 + len(w.key[1]), 80877102, w.key[0]) + w.key[1])
    s.close()


def cancel_in_block(ctx: Ctx) -> None:
    w = ctx.wire()
    w.query("BEGIN")
    w.send(Query("SELECT pg_sleep(4)"))
    time.sleep(0.3)
    cancel(w)
    a = w.until_ready()
    assert a.state == "57014" and a.status == "E", f"{a.state} {a.status!r}"
    assert w.query("ROLLBACK").status == "I"
    works(w)


def cancel_extended(ctx: Ctx) -> None:
    w = ctx.wire()
    w.send(PE("SELECT pg_sleep(4)") + PE(S1) + SYNC)
    time.sleep(0.3)
    cancel(w)
    a = w.until_ready()
    assert a.state == "57014" and a.kinds == "12EZ", f"{a.state} {a.kinds}"
    works(w)


def cancel_idle(ctx: Ctx) -> None:
    w = ctx.wire()
    for _ in range(3):
        cancel(w)
    time.sleep(0.2)
    works(w)


def cancel_wrong_secret(ctx: Ctx) -> None:
    w = ctx.wire()
    w.send(Query("SELECT pg_sleep(0.7)"))
    time.sleep(0.2)
    s = socket.create_connection(w.sock.getpeername(), 2)
    s.sendall(struct.pack(">III", 16, 80877102, w.key[0]) + b"\0\0\0\1")
    s.close()
    a = w.until_ready()
    assert a.tags == ["SELECT 1"], f"cancelled by a wrong secret: {a.state}"
    works(w)


def timeout(ctx: Ctx) -> None:
    w = ctx.wire()
    w.query("SET statement_timeout = 200")
    a = w.query("SELECT pg_sleep(3)")
    assert a.state == "57014", a.state
    w.query("RESET statement_timeout")
    works(w)


def thousand(ctx: Ctx) -> None:
    """Many statements, refused and not, in one piece."""
    w = ctx.wire()
    w.send(b"".join(extended(DEL) if i % 3 == 0 else Query(DEL) if i % 3 == 1 else extended(f"SELECT {i}") for i in range(300)))
    for i in range(300):
        a = w.until_ready()
        if i % 3 < 2:
            denied(a)
        else:
            assert a.one() == str(i), f"{i}: {a.state or a.texts()}"
    works(w)


def many_statements(ctx: Ctx) -> None:
    w = ctx.wire()
    w.send(b"".join(Parse(f"SELECT {i}", f"s{i}") for i in range(500)) + SYNC)
    assert w.until_ready().kinds == "1" * 500 + "Z"
    w.send(b"".join(Bind((), f"s{i}") + Execute() for i in range(500)) + SYNC)
    assert [r[0] for r in w.until_ready().texts()] == [str(i) for i in range(500)]
    assert w.query("DEALLOCATE ALL").tags == ["DEALLOCATE ALL"]
    works(w)


def notice_goes_on(ctx: Ctx) -> None:
    """A COMMIT outside a block warns, as ever."""
    w = ctx.wire()
    a = w.query("COMMIT")
    assert a.notices and a.notices[0].get("C") == "25P01", f"{a.kinds}"
    works(w)


CASES = [session(f"more.simple.{n}", simple(s)) for n, s in DENIALS.items() if n != "prepare-transaction"] + [session(f"more.extended.{n}", by_extended(s)) for n, s in DENIALS.items() if n != "prepare-transaction"] \
    + [session(f"more.block.{n}", in_block(s, "simple" if i % 2 else "extended")) for i, (n, s) in enumerate(DENIALS.items())] + [session(f"more.talk.{n}", w) for n, w in TALKS.items()] + [
    session("more.position", position), session("more.cancel.block", cancel_in_block), session("more.cancel.extended", cancel_extended), session("more.cancel.idle", cancel_idle), session("more.cancel.wrong-secret", cancel_wrong_secret), session("more.timeout", timeout), session("more.thousand", thousand), session("more.many-statements", many_statements), session("more.notice", notice_goes_on)]
