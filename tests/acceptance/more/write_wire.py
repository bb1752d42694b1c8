"""Changes smuggled by the protocol: orders, names, portals, formats, start-up, spelling."""

from __future__ import annotations

import struct

from suite.model import Case, Ctx, write
from suite.wire import COPY_DONE, FLUSH, GSSENC_REQUEST, SSL_REQUEST, SYNC, Bind, Close, CopyData, Describe, Execute, Parse, Query, extended, frame, startup

from .write_sql import DEL, INS, UPD

OK = "SELECT 1"


def rounds(*parts, params=()):
    def work(ctx: Ctx) -> None:
        w = ctx.wire(params)
        for part in parts:
            if isinstance(part, str):
                w.query(part)
            else:
                frames, ready = part if isinstance(part, tuple) else (part, 1)
                w.send(frames)
                w.until_ready(ready)
    return work


def blind(*frames: bytes):
    """Sends and looks at what comes for a moment."""
    def work(ctx: Ctx) -> None:
        w = ctx.wire()
        w.send(*frames)
        w.drain(0.4)
    return work


def session_settings(**settings: str):
    def work(ctx: Ctx) -> None:
        w = ctx.wire(list(settings.items()))
        w.query(UPD)
        w.extended(DEL)
    return work


PE = lambda sql, name="", portal="": Parse(sql, name) + Bind((), name, portal) + Execute(portal)
TALKS = {
    "extended": rounds(PE(UPD) + SYNC), "described": rounds(extended(UPD)), "named": rounds(Parse(UPD, "s") + SYNC, Bind((), "s") + Execute() + SYNC), "no-sync": blind(PE(UPD)), "flush-only": blind(PE(UPD) + FLUSH), "terminate": blind(PE(UPD) + SYNC + frame(b"X", b"")), "query-terminate": blind(Query(UPD) + frame(b"X", b"")), "behind-select": rounds(PE(OK) + PE(UPD) + SYNC), "before-select": rounds(PE(UPD) + PE(OK) + SYNC), "behind-denied": rounds((PE(DEL) + SYNC + PE(UPD) + SYNC, 2)), "behind-denied-same-sync": rounds(PE(DEL) + PE(UPD) + SYNC), "execute-after-denied-parse": rounds(Parse(UPD, "s") + Bind((), "s") + Execute() + SYNC, Bind((), "s") + Execute() + SYNC, "EXECUTE s"),
    "bind-many": rounds(Parse("UPDATE shop.products SET price = $1 WHERE id = $2", "s", (1700, 23)) + SYNC, Bind(["1", "2"], "s") + Execute() + Bind(["1", "3"], "s") + Execute() + SYNC), "portal-many": rounds("BEGIN", Parse(UPD) + Bind((), "", "p") + SYNC, Execute("p") + SYNC, "COMMIT"), "portal-sql-fetch": rounds("BEGIN", Parse(f"{UPD} RETURNING id") + Bind((), "", "p") + SYNC, "FETCH ALL FROM p", "COMMIT"), "max-rows": rounds(Parse(f"{UPD} RETURNING id") + Bind() + Execute(rows=1) + SYNC), "binary": rounds(extended(f"{UPD} RETURNING price", binary=True)), "close-then-execute": rounds(Parse(UPD, "s") + Close("S", "s") + Bind((), "s") + Execute() + SYNC),
    "sql-prepare-wire": rounds(f"PREPARE s AS {UPD}", Bind((), "s") + Execute() + SYNC), "wire-sql-execute": rounds(Parse(UPD, "s") + SYNC, "EXECUTE s"), "wire-execute-execute": rounds(f"PREPARE a AS {OK}", Parse("EXECUTE a", "x") + SYNC, "DEALLOCATE a", f"PREPARE a AS {UPD}", Bind((), "x") + Execute() + SYNC), "redefined-unnamed": rounds(Parse(OK) + SYNC, Parse(UPD) + SYNC, Bind() + Execute() + SYNC), "two-statements-parse": rounds(Parse(f"{OK}; {UPD}") + Bind() + Execute() + SYNC), "parse-nul": rounds(frame(b"P", b"\0" + OK.encode() + b"\0" + UPD.encode() + b"\0\0\0") + Bind() + Execute() + SYNC), "query-nul": rounds(frame(b"Q", OK.encode() + b"\0" + UPD.encode() + b"\0")), "query-no-nul": blind(frame(b"Q", UPD.encode())), "query-two-in-frame": blind(frame(b"Q", OK.encode() + b"\0Q\0\0\0\xff" + UPD.encode() + b"\0")),
    "query-in-pipeline": rounds((PE(OK) + Query(UPD) + SYNC, 2)), "query-flood": rounds((b"".join(Query(OK) for _ in range(100)) + Query(UPD), 101)), "begin-pipelined": rounds((Query("BEGIN") + Query(UPD) + Query("COMMIT"), 3)), "begin-extended": rounds(PE("BEGIN") + PE(UPD) + PE("COMMIT") + SYNC), "begin-write-extended": rounds(PE("BEGIN READ WRITE") + PE(UPD) + PE("COMMIT") + SYNC), "set-extended": rounds(PE("SET transaction_read_only = off") + PE(UPD) + SYNC), "set-parameter": rounds(extended("SELECT set_config($1, $2, false)", ["default_transaction_read_only", "off"]), UPD), "set-parameter-cursor": rounds("BEGIN", "DECLARE k CURSOR FOR SELECT set_config('transaction_read_only', 'off', true)", "FETCH k", UPD, "COMMIT"), "snapshot-first": rounds("BEGIN", OK, "SET TRANSACTION READ WRITE", UPD, "COMMIT"), "savepoint-write": rounds("BEGIN READ ONLY", "SAVEPOINT a", "SET transaction_read_only = off", UPD, "COMMIT"),
    "copy-in": rounds(Query("COPY shop.page_views FROM STDIN") + CopyData(b"99999999\t1\tx\t1\t2024-01-01\n") + COPY_DONE), "copy-in-csv": rounds(Query("COPY shop.page_views FROM STDIN CSV") + CopyData(b"99999999,1,x,1,2024-01-01\n") + COPY_DONE), "copy-in-extended": rounds(PE("COPY shop.page_views FROM STDIN") + CopyData(b"99999999\t1\tx\t1\t2024-01-01\n") + COPY_DONE + SYNC), "copy-in-batch": rounds(Query("SELECT 1; COPY shop.page_views FROM STDIN") + CopyData(b"99999999\t1\tx\t1\t2024-01-01\n") + COPY_DONE), "copy-data-hides-query": blind(Query("COPY shop.page_views FROM STDIN") + CopyData(Query(UPD)) + COPY_DONE), "copy-out-hides": rounds((Query("COPY (SELECT 1) TO STDOUT") + CopyData(b"x") + Query(UPD), 2)), "stray-copy-then": rounds(CopyData(b"x") + COPY_DONE + Query(UPD)),
    "length-short": blind(b"Q" + struct.pack(">I", 8) + UPD.encode() + b"\0" + Query(UPD)), "length-long": blind(b"Q" + struct.pack(">I", 5000) + UPD.encode() + b"\0"), "length-negative": blind(b"Q" + struct.pack(">i", -5) + UPD.encode() + b"\0"), "length-zero": blind(b"Q" + struct.pack(">I", 0) + UPD.encode() + b"\0"), "unknown-kind": blind(frame(b"z", b"") + Query(UPD)), "startup-again": blind(startup([("user", "x")]) + Query(UPD)), "password-again": blind(frame(b"p", b"x\0") + Query(UPD)), "bind-bad-count": blind(Parse(OK) + frame(b"B", b"\0\0\xff\xff") + PE(UPD) + SYNC), "describe-bad": blind(frame(b"D", b"Xs\0") + PE(UPD) + SYNC), "execute-bad": blind(frame(b"E", b"p") + PE(UPD) + SYNC), "function-call-bad": blind(frame(b"F", b"\0\0\0") + Query(UPD)), "sync-body": blind(frame(b"S", b"xxxx") + Query(UPD)), "ssl-after-login": blind(SSL_REQUEST + Query(UPD)), "gss-after-login": blind(GSSENC_REQUEST + Query(UPD)),
    "trickle": lambda ctx: (lambda w: (w.trickle(Query(UPD), 1), w.until_ready()))(ctx.wire()), "trickle-extended": lambda ctx: (lambda w: (w.trickle(extended(UPD), 3), w.until_ready()))(ctx.wire()), "split-frames": lambda ctx: (lambda w: (w.send(Query(UPD)[:9]), w.drain(0.1), w.send(Query(UPD)[9:]), w.until_ready()))(ctx.wire()), "declare-write": rounds("BEGIN", f"DECLARE k CURSOR FOR WITH d AS ({UPD} RETURNING 1) SELECT * FROM d", "FETCH k", "COMMIT"), "declare-hold-function": rounds("DECLARE k CURSOR WITH HOLD FOR SELECT shop.touch_product(3)", "CLOSE k"), "where-current-of": rounds("BEGIN", "DECLARE k CURSOR FOR SELECT * FROM shop.products", "FETCH k", "UPDATE shop.products SET price = 0 WHERE CURRENT OF k", "DELETE FROM shop.products WHERE CURRENT OF k", "COMMIT"), "path-shadow-later": rounds(Parse("SELECT lower('X')", "s") + SYNC, "SET search_path = shop, pg_catalog", Bind((), "s") + Execute() + SYNC), "path-shadow-sql": rounds("PREPARE s AS SELECT lower('X')", "SET search_path = shop, pg_catalog", "EXECUTE s"), "path-shadow-batch": rounds("PREPARE s AS SELECT lower('X')", "SET search_path = shop, pg_catalog; EXECUTE s"), "path-shadow-bound": rounds("BEGIN", Parse("SELECT lower(name) FROM shop.products LIMIT 1") + Bind((), "", "p") + SYNC, "SET search_path = shop, pg_catalog", Execute("p") + SYNC, "COMMIT"), "path-operator-startup": rounds("SELECT 1 <=+=> 2", "SELECT lower('X')", params=[("options", "-c search_path=shop,pg_catalog")]), "path-rollback": rounds("SET search_path = shop, pg_catalog", "BEGIN", "SET search_path = pg_catalog", "SELECT 1/0", (Query("ROLLBACK") + Query("SELECT lower('X')"), 2)), "parameter-domain": rounds(Parse("SELECT $1", "", (0,)) + Bind(["x"]) + Execute() + SYNC), "typed-domain": lambda ctx: rounds(Parse("SELECT $1", "", (ctx.admin.value("SELECT 'shop.touching_text'::regtype::oid::int"),)) + Bind(["x"]) + Execute() + SYNC)(ctx), "typed-domain-array": lambda ctx: rounds(Parse("SELECT $1", "", (ctx.admin.value("SELECT 'shop.touching_text[]'::regtype::oid::int"),)) + Bind(["{x}"]) + Execute() + SYNC)(ctx), "typed-domain-unused": lambda ctx: rounds(Parse("SELECT 1 WHERE $1 IS NOT NULL", "", (ctx.admin.value("SELECT 'shop.touching_text'::regtype::oid::int"),)) + Bind(["x"]) + Execute() + SYNC)(ctx),
}
TALKS |= {f"startup-{n}": session_settings(**s) for n, s in {"read-write": {"default_transaction_read_only": "off"}, "options": {"options": "-c default_transaction_read_only=off"}, "options-long": {"options": "--default-transaction-read-only=off"}, "options-escaped": {"options": "-c\\ default_transaction_read_only=off"}, "options-upper": {"options": "-c DEFAULT_TRANSACTION_READ_ONLY=off"}, "replica": {"options": "-csession_replication_role=replica"}, "role": {"role": "postgres"}, "transaction": {"transaction_read_only": "off"}, "isolation": {"default_transaction_isolation": "serializable"}, "strings": {"standard_conforming_strings": "off"}, "encoding": {"client_encoding": "SJIS"}, "superuser": {"user": "postgres"}, "database": {"database": "acceptance_shop"}, "replication": {"replication": "database"}}.items()}

LEXER = {
    "upper": UPD.upper().replace("SHOP.PRODUCTS", "SHOP.PRODUCTS"), "comment-between": "UP/**/DATE shop.products SET price = 1; UPDATE/**/shop.products/**/SET/**/price=1", "comment-line": f"--\n{UPD}", "comment-cr": f"SELECT 1 --\r; {UPD}", "comment-nested": f"/* /* */ */ {UPD}", "comment-unclosed-string": f"SELECT '--'; {UPD}", "semicolon-first": f";{UPD}", "parens": f"SELECT (((1))); {UPD}", "with-name": f"WITH \"update\" AS (SELECT 1) {UPD}", "quoted-table": 'UPDATE "shop"."products" SET "price" = 1', "unicode-table": 'UPDATE U&"sh\\006Fp".U&"\\0070roducts" SET price = 1', "unicode-uescape": "UPDATE shop.U&\"!0070roducts\" UESCAPE '!' SET price = 1", "star": "UPDATE shop.products * SET price = 1", "only": "DELETE FROM ONLY shop.order_items", "alias": "UPDATE shop.products AS \"select\" SET price = 1", "dollar": f"SELECT $q$;$q$; {UPD}", "dollar-after-name": f"SELECT 1 AS a$b$; {UPD}; --$b$", "escape": f"SELECT E'\\'; {DEL}; --'; {UPD}", "double-quote": f"SELECT 1 AS \"'\"; {UPD}; --\"'", "bit-string": f"SELECT B'0'; {UPD}", "national": f"SELECT N'\\'; {UPD}; --'", "newline-string": f"SELECT 'a'\n'; {DEL}; '; {UPD}", "tabs": UPD.replace(" ", "\t"), "newlines": UPD.replace(" ", "\n"), "form-feed": UPD.replace(" ", "\f"), "vertical-tab": (UPD.replace(" ", "\v"), False), "no-break": (UPD.replace(" ", "\u00a0"), False), "bom": ("\ufeff" + UPD, False), "padding": " " * 3_000_000 + UPD, "padding-comment": f"/*{'x' * 3_000_000}*/{UPD}", "many-selects": "SELECT 1;" * 3000 + UPD, "trailing-dash": UPD + " --", "trailing-slash": UPD + " /* x */", "trailing-nul": (UPD.encode() + b"\0\0\0", True), "backslash-comment": f"SELECT '\\' /*'*/; {UPD} --*/", "number-join": f"SELECT 1;{UPD}", "emoji": f"SELECT '😀'; {UPD}", "invalid-utf8": (b"SELECT '\xff'; " + UPD.encode(), False), "case-function": "SELECT ShOp.ToUcH_pRoDuCt(3)", "space-function": "SELECT shop . touch_product ( 3 )", "comment-function": "SELECT shop/**/./**/touch_product/**/(3)", "keyword-function": 'SELECT "shop".touch_product(ALL 3)' if False else 'SELECT shop."touch_product"(VARIADIC 3)' if False else "SELECT shop.touch_product(3) AS \"delete\"",
}

CASES: list[Case] = [write(f"more.wire.{n}", driver=(lambda work: lambda ctx: (work(ctx), None)[1])(w), real=not n.startswith(("length", "unknown", "bind-bad", "describe-bad", "execute-bad", "function-call-bad"))) for n, w in TALKS.items()] \
    + [write(f"more.lexer.{n}", t[0] if isinstance(t, tuple) else t, real=t[1] if isinstance(t, tuple) else True) for n, t in LEXER.items()]
