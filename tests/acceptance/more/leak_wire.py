"""Secrets by the shape of the conversation: what a name means when, formats, cursors, COPY, pipelines."""

from __future__ import annotations

import struct
from typing import Callable

from suite.model import Case, Ctx, leak
from suite.wire import COPY_DONE, FLUSH, SYNC, Bind, Close, CopyData, Describe, Execute, Parse, Query, extended

from .leak_values import C, K, S, WHO

VAULT = "SELECT id, name FROM products"
SECRET, CLEAR = f"SELECT id, ssn AS v FROM {C} ORDER BY id", "SELECT id, name AS v FROM shop.customers ORDER BY id"


def talk(id: str, work: Callable[[Ctx], object], **more) -> Case:
    return leak("more.wire." + id, driver=work, **more)


def rounds(*parts, params=()) -> Callable[[Ctx], None]:
    """Each part is a Query (text) or frames (bytes, with as many Syncs as answers are waited for)."""
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


def execute(name: str = "", binary: bool = False, params=(), rows: int = 0, portal: str = "") -> bytes:
    return Bind(params, name, portal, results=(int(binary),)) + Execute(portal, rows)


# ---------------------------------------------------------------- the path under which a name is understood
# `products` is shop's or vault's; what the gateway believes must be what the server does.

SHOP, VLT = "SET search_path = shop", "SET search_path = vault"
PATHS: list[Case] = [
    talk("path.after-set", rounds(VLT, VAULT)),
    talk("path.after-set-extended", rounds(extended(VLT), extended(VAULT))),
    talk("path.pipelined-set", rounds((extended(VLT) + extended(VAULT), 2))),
    talk("path.pipelined-one-sync", rounds(Parse(VLT) + Bind() + Execute() + Parse(VAULT) + Bind() + Execute() + SYNC)),
    talk("path.parse-before-set", rounds(SHOP, Parse(VAULT, "s") + SYNC, VLT, execute("s") + SYNC)),
    talk("path.parse-before-set-pipelined", rounds(SHOP, Parse(VAULT, "s") + Parse(VLT, "t") + execute("t") + execute("s") + SYNC)),
    talk("path.bound-before-set", rounds(SHOP, "BEGIN", Parse(VAULT, "s") + Bind((), "s", "p") + SYNC, VLT, Execute("p") + SYNC)),
    talk("path.sql-prepare", rounds(SHOP, f"PREPARE s AS {VAULT}", VLT, "EXECUTE s")),
    talk("path.sql-prepare-batch", rounds(SHOP, f"PREPARE s AS {VAULT}", f"{VLT}; EXECUTE s")),
    talk("path.sql-prepare-wire-bind", rounds(SHOP, f"PREPARE s AS {VAULT}", VLT, execute("s") + SYNC)),
    talk("path.wire-parse-sql-execute", rounds(SHOP, Parse(VAULT, "s") + SYNC, VLT, "EXECUTE s")),
    talk("path.explain-execute", rounds(SHOP, f"PREPARE s AS {VAULT}", VLT, "EXPLAIN ANALYZE EXECUTE s", "EXECUTE s")),
    talk("path.rollback-to-vault", rounds(VLT, "BEGIN", SHOP, "ROLLBACK", VAULT)),
    talk("path.error-reverts", rounds(VLT, f"BEGIN; {SHOP}; SELECT 1/0", "ROLLBACK", VAULT)),
    talk("path.implicit-error-reverts", rounds(VLT, f"{SHOP}; SELECT 1/0", VAULT)),
    talk("path.pipeline-error-reverts", rounds(VLT, Parse(SHOP) + Bind() + Execute() + Parse("SELECT 1/0") + Bind() + Execute() + SYNC, VAULT)),
    talk("path.denied-reverts", rounds(VLT, f"{SHOP}; DELETE FROM shop.orders", VAULT)),
    talk("path.denied-in-pipeline-reverts", rounds(VLT, Parse(SHOP) + Bind() + Execute() + Parse("DELETE FROM shop.orders") + Bind() + Execute() + SYNC, VAULT)),
    talk("path.local-ends", rounds(VLT, "BEGIN", "SET LOCAL search_path = shop", "COMMIT", VAULT)),
    talk("path.local-ends-batch", rounds(VLT, "BEGIN; SET LOCAL search_path = shop; COMMIT", VAULT)),
    talk("path.local-ends-same-batch", rounds(VLT, f"BEGIN; SET LOCAL search_path = shop; COMMIT; {VAULT}")),
    talk("path.local-chain", rounds(VLT, "BEGIN", "SET LOCAL search_path = shop", "COMMIT AND CHAIN", VAULT)),
    talk("path.local-outside", rounds(VLT, "SET LOCAL search_path = shop", VAULT)),
    talk("path.local-outside-batch", rounds(VLT, f"SET LOCAL search_path = shop; SELECT 1", VAULT)),
    talk("path.savepoint", rounds(VLT, "BEGIN", "SAVEPOINT a", SHOP, "ROLLBACK TO a", VAULT)),
    talk("path.savepoint-twice", rounds(VLT, "BEGIN", "SAVEPOINT a", SHOP, "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a", "ROLLBACK TO a", VAULT)),
    talk("path.savepoint-release", rounds(SHOP, "BEGIN", "SAVEPOINT a", VLT, "RELEASE a", VAULT)),
    talk("path.savepoint-batch", rounds(VLT, f"BEGIN; SAVEPOINT a; {SHOP}; ROLLBACK TO a; {VAULT}; COMMIT")),
    talk("path.savepoint-quoted", rounds(VLT, "BEGIN", 'SAVEPOINT "A"', SHOP, 'SAVEPOINT a', 'ROLLBACK TO "A"', VAULT)),
    talk("path.reset", rounds(SHOP, "RESET search_path", VAULT, "SELECT name FROM products"), ) if False else talk("path.reset-startup", rounds(SHOP, "RESET search_path", VAULT, params=[("options", "-c search_path=vault")])),
    talk("path.reset-all-startup", rounds(SHOP, "RESET ALL", VAULT, params=[("search_path", "vault")])),
    talk("path.discard-all-startup", rounds(SHOP, "DISCARD ALL", VAULT, params=[("options", "-csearch_path=vault")])),
    talk("path.default-startup", rounds(SHOP, "SET search_path TO DEFAULT", VAULT, params=[("options", "--search_path=vault")])),
    talk("path.default-startup-escape", rounds(VAULT, params=[("options", "-c search_path=shop\\,vault -c search_path=vault")])),
    talk("path.default-startup-dash", rounds(VAULT, params=[("options", "--search-path=vault")])),
    talk("path.startup-two", rounds(VAULT, params=[("search_path", "shop"), ("options", "-c search_path=vault")])),
    talk("path.startup-case", rounds(VAULT, params=[("SEARCH_PATH", "vault")])),
    talk("path.set-config", rounds(SHOP, "SELECT set_config('search_path', 'vault', false)", VAULT)),
    talk("path.set-config-extended", rounds(SHOP, extended("SELECT set_config('search_path', $1, false)", ["vault"]), VAULT)),
    talk("path.set-config-case", rounds(SHOP, "SELECT set_config('Search_Path', 'vault', false)", VAULT)),
    talk("path.set-config-concat", rounds(SHOP, "SELECT set_config('search' || '_path', 'vault', false)", VAULT)),
    talk("path.set-config-where", rounds(SHOP, "SELECT 1 FROM shop.products WHERE set_config('search_path', 'vault', false) = 'vault' LIMIT 1", VAULT)),
    talk("path.set-config-rows", rounds(SHOP, "SELECT set_config('search_path', v, false) FROM (VALUES ('shop'), ('vault')) t(v)", VAULT)),
    talk("path.set-config-not-run", rounds(VLT, "SELECT set_config('search_path', 'shop', false) WHERE false", VAULT)),
    talk("path.set-config-not-run-case", rounds(VLT, "SELECT CASE WHEN false THEN set_config('search_path', 'shop', false) END", VAULT)),
    talk("path.set-config-explain", rounds(VLT, "EXPLAIN SELECT set_config('search_path', 'shop', false)", VAULT)),
    talk("path.set-config-prepare-only", rounds(VLT, "PREPARE s AS SELECT set_config('search_path', 'shop', false)", VAULT)),
    talk("path.set-config-parse-only", rounds(VLT, Parse("SELECT set_config('search_path', 'shop', false)") + SYNC, VAULT)),
    talk("path.set-config-bind-only", rounds(VLT, Parse("SELECT set_config('search_path', 'shop', false)") + Bind() + SYNC, VAULT)),
    talk("path.set-parse-only", rounds(VLT, Parse(SHOP, "s") + Describe("S", "s") + SYNC, VAULT)),
    talk("path.set-bind-only", rounds(VLT, Parse(SHOP, "s") + Bind((), "s", "p") + SYNC, VAULT)),
    talk("path.set-config-cursor", rounds(VLT, "BEGIN", "DECLARE k CURSOR FOR SELECT set_config('search_path', 'shop', false)", VAULT)),
    talk("path.set-config-cursor-fetch", rounds(SHOP, "BEGIN", "DECLARE k CURSOR FOR SELECT set_config('search_path', 'vault', false)", "FETCH k", VAULT)),
    talk("path.set-config-limit-zero", rounds(VLT, Parse("SELECT set_config('search_path', v, false) FROM (VALUES ('vault'), ('shop')) t(v)") + Bind() + Execute(rows=1) + SYNC, VAULT)),
    talk("path.set-error-value", rounds(VLT, "SET search_path = shop, 'a''; b'", "SET search_path = ''", VLT, VAULT)),
    talk("path.execute-set", rounds(VLT, "PREPARE s AS SELECT set_config('search_path', 'shop', true)", "EXECUTE s", VAULT)),
    talk("path.commit-and-chain", rounds(VLT, "BEGIN", SHOP, "ROLLBACK AND CHAIN", VAULT, "COMMIT")),
    talk("path.commit-failed", rounds(VLT, "BEGIN", SHOP, "SELECT 1/0", "COMMIT", VAULT)),
    talk("path.deferred-free", rounds(VLT, "BEGIN ISOLATION LEVEL SERIALIZABLE", SHOP, "ABORT WORK", VAULT)),
    talk("path.cancelled", rounds("SET statement_timeout = 50", VLT, f"{SHOP}; SELECT pg_sleep(0.3)", "SET statement_timeout = 0", VAULT)),
    talk("path.two-phase-free", rounds(VLT, "BEGIN", SHOP, "PREPARE TRANSACTION 'x'", VAULT, "ROLLBACK")),
    talk("path.transaction-pipelined", rounds(VLT, (Query("BEGIN") + Query(SHOP) + Query("ROLLBACK") + Query(VAULT), 4))),
    talk("path.transaction-pipelined-error", rounds(VLT, (Query("BEGIN") + Query(SHOP) + Query("SELECT 1/0") + Query("COMMIT") + Query(VAULT), 5))),
    talk("path.failed-extended-rollback", rounds(VLT, "BEGIN", SHOP, "SELECT 1/0", Parse("ROLLBACK") + Bind() + Execute() + Parse(VAULT) + Bind() + Execute() + SYNC)),
    talk("path.failed-extended-rollback-syncs", rounds(VLT, "BEGIN", SHOP, "SELECT 1/0", (extended("ROLLBACK") + extended(VAULT), 2))),
    talk("path.failed-rollback-batch", rounds(VLT, "BEGIN", SHOP, "SELECT 1/0", f"ROLLBACK; {VAULT}")),
    talk("path.failed-rollback-pipelined", rounds(VLT, "BEGIN", SHOP, "SELECT 1/0", (Query("ROLLBACK") + Query(VAULT), 2))),
    talk("path.failed-rollback-to-pipelined", rounds(VLT, "BEGIN", "SAVEPOINT a", SHOP, "SELECT 1/0", (Query("ROLLBACK TO a") + Query(VAULT), 2))),
    talk("path.failed-rollback-to-extended", rounds(VLT, "BEGIN", "SAVEPOINT a", SHOP, "SELECT 1/0", Parse("ROLLBACK TO a") + Bind() + Execute() + Parse(VAULT) + Bind() + Execute() + SYNC)),
    talk("path.failed-commit-pipelined", rounds(VLT, "BEGIN", SHOP, "SELECT 1/0", (Query("COMMIT") + Query(VAULT), 2))),
    talk("path.pipelined-all", rounds((Query(VLT) + Query("BEGIN") + Query(SHOP) + Query("SELECT 1/0") + Query("ROLLBACK") + Query(VAULT), 6))),
    talk("path.pipelined-all-extended", rounds((extended(VLT) + extended("BEGIN") + extended(SHOP) + extended("SELECT 1/0") + extended("ROLLBACK") + extended(VAULT), 6))),
    talk("path.execute-under-other-path", rounds(SHOP, f"PREPARE s AS {VAULT}", "BEGIN", Parse("EXECUTE s") + Bind((), "", "p") + SYNC, VLT, Execute("p") + SYNC)),
    talk("path.execute-of-wire-execute", rounds(f"PREPARE a AS {CLEAR}", Parse("EXECUTE a", "x") + SYNC, "DEALLOCATE a", f"PREPARE a AS {SECRET}", "EXECUTE x")),
    talk("path.batch-prepare-moves", rounds(SHOP, f"PREPARE s AS {VAULT}; {VLT}; EXECUTE s")),
    talk("path.batch-explain-execute", rounds(SHOP, f"PREPARE s AS {VAULT}", f"{VLT}; EXPLAIN ANALYZE VERBOSE EXECUTE s; EXECUTE s")),
    talk("path.batch-local-rollback", rounds(VLT, f"BEGIN; SET LOCAL search_path = shop; ROLLBACK; {VAULT}")),
    talk("path.batch-local-chain", rounds(VLT, f"BEGIN; SET LOCAL search_path = shop; COMMIT AND CHAIN; {VAULT}; COMMIT")),
    talk("path.batch-local-before-begin", rounds(VLT, f"SET LOCAL search_path = shop; BEGIN; COMMIT; {VAULT}")),
    talk("path.batch-local-implicit-then-commit", rounds(VLT, f"SET LOCAL search_path = shop; COMMIT; {VAULT}")),
    talk("path.batch-savepoint-local", rounds(VLT, f"BEGIN; SAVEPOINT a; SET LOCAL search_path = shop; RELEASE a; COMMIT; {VAULT}")),
    talk("path.extended-rollback", rounds(VLT, (extended("BEGIN") + extended(SHOP) + extended("ROLLBACK") + extended(VAULT), 4))),
    talk("path.begin-in-pipeline-error", rounds(VLT, Parse("BEGIN") + Bind() + Execute() + Parse(SHOP) + Bind() + Execute() + Parse("SELECT 1/0") + Bind() + Execute() + SYNC, "ROLLBACK", VAULT)),
    talk("path.error-before-set", rounds(SHOP, Parse("SELECT 1/0") + Bind() + Execute() + Parse(SHOP) + Bind() + Execute() + SYNC, VLT, VAULT)),
    talk("path.skipped-set", rounds(VLT, Parse("SELEC") + Parse(SHOP) + Bind() + Execute() + SYNC, VAULT)),
    talk("path.skipped-set-then-same-send", rounds(VLT, (Parse("SELECT nosuch") + Parse(SHOP) + Bind() + Execute() + SYNC + Query(VAULT), 2))),
    talk("path.skipped-after-denied", rounds(VLT, (Parse("DELETE FROM shop.orders") + Parse(SHOP) + Bind() + Execute() + SYNC + Query(VAULT), 2))),
    talk("path.aborted-block-set", rounds(VLT, "BEGIN", "SELECT 1/0", SHOP, "ROLLBACK", VAULT)),
    talk("path.denied-block-set", rounds(VLT, "BEGIN", "DELETE FROM shop.orders", SHOP, "ROLLBACK", VAULT)),
    talk("path.portal-suspended", rounds(SHOP, "BEGIN", Parse(VAULT) + Bind(portal="p") + Execute("p", 2) + SYNC, VLT, Execute("p", 2) + SYNC)),
    talk("path.with-hold", rounds(SHOP, f"DECLARE k CURSOR WITH HOLD FOR {VAULT}", VLT, "FETCH ALL FROM k", "CLOSE k", f"DECLARE k CURSOR WITH HOLD FOR {VAULT}", "FETCH ALL FROM k")),
]

# ---------------------------------------------------------------- names of statements, portals and cursors

NAMES: list[Case] = [
    talk("name.redefined-unnamed", rounds(Parse(CLEAR) + SYNC, Parse(SECRET) + Bind() + Execute() + SYNC)),
    talk("name.redefined-after-close", rounds(Parse(CLEAR, "s") + SYNC, Close("S", "s") + Parse(SECRET, "s") + SYNC, execute("s") + SYNC)),
    talk("name.redefine-error", rounds(Parse(SECRET, "s") + SYNC, Parse(CLEAR, "s") + SYNC, execute("s") + SYNC)),
    talk("name.redefine-error-pipelined", rounds(Parse(SECRET, "s") + SYNC, (Parse(CLEAR, "s") + SYNC + execute("s") + SYNC, 2))),
    talk("name.deallocate", rounds(Parse(CLEAR, "s") + SYNC, "DEALLOCATE s", Parse(SECRET, "s") + SYNC, execute("s") + SYNC)),
    talk("name.deallocate-all", rounds(Parse(CLEAR, "s") + SYNC, "DEALLOCATE ALL", f"PREPARE s AS {SECRET}", execute("s") + SYNC)),
    talk("name.discard-all", rounds(Parse(CLEAR, "s") + SYNC, "DISCARD ALL", f"PREPARE s AS {SECRET}", "EXECUTE s")),
    talk("name.deallocate-rolled-back", rounds(f"PREPARE s AS {SECRET}", "BEGIN", "DEALLOCATE s", "ROLLBACK", f"PREPARE s AS {CLEAR}", "EXECUTE s")),
    talk("name.prepare-fails", rounds(f"PREPARE s AS {SECRET}", f"PREPARE s AS {CLEAR}", "EXECUTE s", execute("s") + SYNC)),
    talk("name.prepare-in-failed-batch", rounds(f"PREPARE s AS {SECRET}; SELECT 1/0", f"PREPARE s AS {CLEAR}", "EXECUTE s")),
    talk("name.prepare-in-rolled-back", rounds("BEGIN", f"PREPARE s AS {SECRET}", "ROLLBACK", f"PREPARE s AS {CLEAR}", "EXECUTE s")),
    talk("name.quoted", rounds(f'PREPARE "S" AS {SECRET}', f"PREPARE s AS {CLEAR}", 'EXECUTE "S"', execute("S") + SYNC)),
    talk("name.long", rounds(f"PREPARE {'n' * 70} AS {SECRET}", f"EXECUTE {'n' * 63}", execute("n" * 63) + SYNC)),
    talk("name.portal-unnamed-rebound", rounds(Parse(CLEAR, "a") + Parse(SECRET, "b") + Bind((), "a") + Bind((), "b") + Execute() + SYNC)),
    talk("name.portal-described-then-rebound", rounds(Parse(CLEAR, "a") + Parse(SECRET, "b") + Bind((), "a") + Describe() + Bind((), "b") + Execute() + SYNC)),
    talk("name.portal-same", rounds("BEGIN", Parse(CLEAR, "a") + Parse(SECRET, "b") + Bind((), "a", "p") + Execute("p", 1) + Close("P", "p") + Bind((), "b", "p") + Execute("p") + SYNC)),
    talk("name.portal-fails", rounds("BEGIN", Parse(SECRET, "b") + Bind((), "b", "p") + SYNC, Parse(CLEAR, "a") + Bind((), "a", "p") + SYNC, "ROLLBACK", "BEGIN", Parse(CLEAR, "c") + Bind((), "c", "p") + Execute("p") + SYNC)),
    talk("name.sql-cursor-wire-execute", rounds("BEGIN", f"DECLARE p CURSOR FOR {SECRET}", Execute("p", 3) + SYNC)),
    talk("name.wire-portal-sql-fetch", rounds("BEGIN", Parse(SECRET) + Bind(portal="p") + SYNC, "FETCH ALL FROM p")),
    talk("name.wire-portal-sql-fetch-quoted", rounds("BEGIN", Parse(SECRET) + Bind(portal="P p") + SYNC, 'FETCH 3 FROM "P p"')),
    talk("name.fetch-by-extended", rounds("BEGIN", f"DECLARE k CURSOR FOR {SECRET}", extended("FETCH 3 FROM k"))),
    talk("name.fetch-prepared", rounds("BEGIN", f"DECLARE k CURSOR FOR {CLEAR}", Parse("FETCH 2 FROM k", "f") + SYNC, execute("f") + SYNC, "CLOSE k", f"DECLARE k CURSOR FOR {SECRET}", execute("f") + SYNC)),
    talk("name.fetch-prepared-binary", rounds("BEGIN", f"DECLARE k CURSOR FOR {CLEAR}", Parse("FETCH 2 FROM k", "f") + SYNC, execute("f") + SYNC, "CLOSE k", f"DECLARE k CURSOR FOR {SECRET}", execute("f", True) + SYNC)),
    talk("name.fetch-bound-before", rounds("BEGIN", f"DECLARE k CURSOR FOR {CLEAR}", Parse("FETCH 2 FROM k", "f") + Bind((), "f", "x") + SYNC, "CLOSE k", f"DECLARE k CURSOR FOR {SECRET}", Execute("x") + SYNC)),
    talk("name.cursor-same-in-batch", rounds(f"BEGIN; DECLARE k CURSOR FOR {CLEAR}; CLOSE k; DECLARE k CURSOR FOR {SECRET}; FETCH 3 k; COMMIT")),
    talk("name.cursor-rolled-back", rounds("BEGIN", "SAVEPOINT a", f"DECLARE k CURSOR FOR {SECRET}", "ROLLBACK TO a", f"DECLARE k CURSOR FOR {CLEAR}", "FETCH 3 k")),
    talk("name.cursor-close-rolled-back", rounds("BEGIN", f"DECLARE k CURSOR FOR {SECRET}", "SAVEPOINT a", "CLOSE k", "ROLLBACK TO a", f"DECLARE k CURSOR FOR {CLEAR}", "FETCH 3 k")),
    talk("name.cursor-hold", rounds(f"DECLARE k CURSOR WITH HOLD FOR {SECRET}", "FETCH 3 k", extended("FETCH 3 k"), "FETCH BACKWARD ALL k")),
    talk("name.cursor-hold-failed", rounds(f"DECLARE k CURSOR WITH HOLD FOR {SECRET}", f"DECLARE k CURSOR WITH HOLD FOR {CLEAR}", "FETCH ALL k")),
    talk("name.cursor-binary", rounds("BEGIN", f"DECLARE k BINARY CURSOR FOR SELECT salary, name FROM {S}", "FETCH ALL k")),
    talk("name.cursor-binary-date", rounds("BEGIN", f"DECLARE k BINARY SCROLL CURSOR FOR SELECT date_of_birth, ssn, profile FROM {C}", "FETCH LAST k", "FETCH BACKWARD 3 k", "FETCH ALL k")),
    talk("name.cursor-execute-free", rounds(f"PREPARE s AS {SECRET}", "BEGIN", "DECLARE k CURSOR FOR EXECUTE s", "FETCH k")),
    talk("name.cursor-for-values", rounds("BEGIN", f"DECLARE k CURSOR FOR VALUES ((SELECT ssn || '' FROM {C} WHERE id = 1))", "FETCH k")),
    talk("name.cursor-quoted", rounds("BEGIN", f'DECLARE "K" CURSOR FOR {SECRET}', f"DECLARE k CURSOR FOR {CLEAR}", 'FETCH 2 FROM "K"')),
    talk("name.cursor-insensitive", rounds("BEGIN", f"DECLARE k INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR {SECRET}", "FETCH FORWARD 2 IN k", "FETCH RELATIVE 1 IN k")),
    talk("name.copy-from-cursor-free", rounds("BEGIN", f"DECLARE k CURSOR FOR {SECRET}", "COPY (SELECT 1) TO STDOUT", "FETCH k")),
    talk("name.execute-two", rounds(f"PREPARE a AS {SECRET}", f"PREPARE b AS {CLEAR}", "EXECUTE b; EXECUTE a", "EXECUTE a; EXECUTE b")),
    talk("name.execute-prepared-in-batch", rounds(f"PREPARE a AS {SECRET}; EXECUTE a; DEALLOCATE a; PREPARE a AS {CLEAR}; EXECUTE a")),
    talk("name.execute-unknown-then-known", rounds("EXECUTE a", f"PREPARE a AS {SECRET}", "EXECUTE a")),
    talk("name.wire-parse-of-execute", rounds(f"PREPARE a AS {CLEAR}", Parse("EXECUTE a", "x") + SYNC, execute("x") + SYNC, "DEALLOCATE a", f"PREPARE a AS {SECRET}", execute("x") + SYNC)),
    talk("name.bound-execute-then-redefined", rounds("BEGIN", f"PREPARE a AS {CLEAR}", Parse("EXECUTE a", "x") + Bind((), "x", "p") + SYNC, "DEALLOCATE a", f"PREPARE a AS {SECRET}", Execute("p") + SYNC)),
    talk("name.pipelined-redefine", rounds(f"PREPARE a AS {CLEAR}", (extended("DEALLOCATE a") + extended(f"PREPARE a AS {SECRET}") + extended("EXECUTE a"), 3))),
    talk("name.pipelined-redefine-one-sync", rounds(f"PREPARE a AS {CLEAR}", Parse("DEALLOCATE a") + Bind() + Execute() + Parse(f"PREPARE a AS {SECRET}") + Bind() + Execute() + Parse("EXECUTE a") + Bind() + Execute() + SYNC)),
    talk("name.pipelined-failed-deallocate", rounds(f"PREPARE a AS {SECRET}", (Query("DEALLOCATE nosuch; SELECT 1") + Query(f"PREPARE a AS {CLEAR}") + Query("EXECUTE a"), 3))),
    talk("name.failed-then-deallocate-skipped", rounds(f"PREPARE a AS {SECRET}", Parse("SELECT nosuch") + Parse("DEALLOCATE a") + Bind() + Execute() + SYNC, f"PREPARE a AS {CLEAR}", "EXECUTE a")),
    talk("name.close-skipped", rounds(Parse(SECRET, "s") + SYNC, Parse("SELECT nosuch") + Close("S", "s") + SYNC, Parse(CLEAR, "s") + SYNC, execute("s") + SYNC)),
    talk("name.parse-skipped", rounds(Parse("SELECT nosuch") + Parse(CLEAR, "s") + SYNC, Parse(SECRET, "s") + SYNC, execute("s") + SYNC)),
    talk("name.bind-skipped", rounds("BEGIN", Parse(CLEAR, "c") + Parse(SECRET, "s") + Bind((), "s", "p") + Bind((), "nosuch", "q") + Bind((), "c", "p2") + SYNC, "ROLLBACK", "BEGIN", Bind((), "s", "p") + Execute("p") + SYNC)),
]

# ---------------------------------------------------------------- formats

FORMATS: list[Case] = [
    talk("format.mixed", rounds(Parse(f"SELECT ssn, salary, date_of_birth, profile FROM {C} JOIN {S} USING (id)") + Bind(results=(1, 0, 1, 0)) + Execute() + SYNC)),
    talk("format.mixed-swapped", rounds(Parse(f"SELECT ssn, salary, date_of_birth, profile FROM {C} JOIN {S} USING (id)") + Bind(results=(0, 1, 0, 1)) + Execute() + SYNC)),
    talk("format.none", rounds(Parse(f"SELECT ssn, salary FROM {C} JOIN {S} USING (id)") + Bind(results=()) + Execute() + SYNC)),
    talk("format.changes", rounds(Parse(f"SELECT salary, ssn FROM {C} JOIN {S} USING (id)", "s") + SYNC, execute("s") + SYNC, execute("s", True) + SYNC, execute("s") + SYNC)),
    talk("format.described-statement-then-binary", rounds(Parse(f"SELECT date_of_birth FROM {C}", "s") + Describe("S", "s") + SYNC, execute("s", True) + SYNC)),
    talk("format.portal-described-text-other-binary", rounds(Parse(f"SELECT salary FROM {S}", "s") + Bind((), "s", "a") + Describe("P", "a") + Bind((), "s", "b", results=(1,)) + Execute("b") + Execute("a") + SYNC)),
    talk("format.no-describe-binary", rounds(Parse(f"SELECT salary, date_of_birth FROM {S} JOIN {C} USING (id)") + Bind(results=(1,)) + Execute() + SYNC)),
    talk("format.rows-one-by-one", rounds("BEGIN", Parse(f"SELECT ssn FROM {C}") + Bind(portal="p", results=(1,)) + b"".join(Execute("p", 1) for _ in range(20)) + SYNC)),
    talk("format.flush-between", rounds(Parse(f"SELECT ssn FROM {C}") + FLUSH + Bind() + FLUSH + Describe() + FLUSH + Execute() + FLUSH + SYNC)),
    talk("format.execute-twice", rounds(Parse(f"SELECT ssn FROM {C}") + Bind() + Execute(rows=3) + Execute() + SYNC)),
    talk("format.two-statements-interleaved", rounds("BEGIN", Parse(SECRET, "a") + Parse(CLEAR, "b") + Bind((), "a", "x") + Bind((), "b", "y") + b"".join(Execute("x", 2) + Execute("y", 2) for _ in range(5)) + SYNC)),
    talk("format.sixty-pipelined", rounds((b"".join(extended(f"SELECT {i}, {'ssn' if i % 2 else 'name'} FROM {C} WHERE id = 17") for i in range(60)), 60))),
    talk("format.simple-pipelined", rounds((b"".join(Query(f"SELECT {'ssn, name' if i % 2 else 'name, city'} FROM {C}") for i in range(40)), 40))),
    talk("format.batch-different-widths", rounds(f"SELECT 1; SELECT name, ssn FROM {C}; SELECT id, name, city FROM {C}; SELECT email FROM {C}; SELECT 2, ssn FROM {C}")),
    talk("format.batch-without-rows-between", rounds(f"SELECT name, id FROM {C} WHERE false; BEGIN; SELECT id, ssn FROM {C}; SET application_name = 'x'; SELECT ssn, id FROM {C}; COMMIT")),
    talk("format.batch-with-copy", rounds(f"SELECT id, ssn FROM {C}; COPY (SELECT ssn FROM {C}) TO STDOUT; SELECT ssn, id FROM {C}; COPY (SELECT id FROM {C}) TO STDOUT; COPY (SELECT email, id FROM {C}) TO STDOUT")),
    talk("format.error-in-the-middle", rounds(f"SELECT id, ssn FROM {C}; SELECT 1/0; SELECT ssn, id FROM {C}", f"SELECT ssn, id FROM {C}")),
    talk("format.rows-then-error", rounds(f"SELECT ssn, 1 / (30 - id) FROM {C} ORDER BY id", f"SELECT 1 / (30 - id), ssn FROM {C} ORDER BY id")),
    talk("format.empty-query", rounds(Parse("") + Bind() + Describe() + Execute() + Parse(SECRET) + Bind() + Execute() + SYNC)),
    talk("format.begin-in-extended", rounds((extended("BEGIN") + extended(SECRET) + extended("COMMIT"), 3))),
    talk("format.text-parameter-name", rounds(extended(f"SELECT id, CASE WHEN $1 = 1 THEN ssn ELSE name END FROM {C}", ["1"]))),
    talk("format.large", rounds(f"SELECT c.ssn, c.email, p.path FROM {C} c JOIN shop.page_views p ON p.product_id = c.id LIMIT 20000")),
    talk("format.protocol-32", lambda ctx: (lambda w: (w.login(version=196610), w.query(SECRET)))(ctx.wire(login=False))),
    talk("format.unknown-minor", lambda ctx: (lambda w: (w.login([("_pq_.x", "1")], version=196608 + 9), w.query(SECRET)))(ctx.wire(login=False))),
]

# ---------------------------------------------------------------- COPY

T = f"(SELECT id, ssn, email, date_of_birth, profile FROM {C})"
COPIES: list[Case] = [leak(f"more.copy.{name}", sql) for name, sql in {
    "table": f"COPY {C} TO STDOUT", "columns": f"COPY {C} (ssn, id, email) TO STDOUT", "query": f"COPY {T} TO STDOUT", "csv": f"COPY {T} TO STDOUT CSV", "csv-header": f"COPY {T} TO STDOUT (FORMAT csv, HEADER)", "header-text": f"COPY {T} TO STDOUT (HEADER true)", "binary": f"COPY {T} TO STDOUT (FORMAT binary)", "binary-old": f"COPY {T} TO STDOUT BINARY", "with-binary": f"COPY {C} TO STDOUT WITH BINARY",
    "delimiter-digit": f"COPY {T} TO STDOUT (DELIMITER '9')", "delimiter-pipe": f"COPY {T} TO STDOUT DELIMITER '|'", "delimiter-as": f"COPY {T} TO STDOUT WITH DELIMITER AS '-'", "delimiter-dot": f"COPY {T} TO STDOUT (FORMAT csv, DELIMITER '@')", "csv-quote-dash": f"COPY {T} TO STDOUT (FORMAT csv, QUOTE '-')", "csv-quote-escape": f"COPY {T} TO STDOUT (FORMAT csv, QUOTE '@', ESCAPE '9', FORCE_QUOTE *)", "csv-force": f"COPY {T} TO STDOUT (FORMAT csv, FORCE_QUOTE (ssn))", "csv-force-old": f"COPY {C} TO STDOUT CSV FORCE QUOTE ssn, email",
    "null-word": f"COPY {T} TO STDOUT (NULL '9')", "null-empty": f"COPY {T} TO STDOUT (NULL '')", "null-mask": f"COPY {T} TO STDOUT (NULL '***')", "encoding-latin1": f"COPY {T} TO STDOUT (ENCODING 'LATIN1')", "encoding-sjis": f"COPY {T} TO STDOUT (ENCODING 'SJIS')", "encoding-utf8": f"COPY {T} TO STDOUT (ENCODING 'UTF8')", "encoding-gb18030": f"COPY {T} TO STDOUT (ENCODING 'GB18030', FORMAT csv)", "encoding-euc": f"COPY (SELECT ssn FROM {C}) TO STDOUT (ENCODING 'EUC_JP')", "csv-delimiter-quote-same-as-mask": f"COPY {T} TO STDOUT (FORMAT csv, DELIMITER '*', QUOTE 'x')",
    "one-column": f"COPY (SELECT ssn FROM {C}) TO STDOUT", "expression": f"COPY (SELECT ssn || '' FROM {C}) TO STDOUT", "row": f"COPY (SELECT c FROM {C} c) TO STDOUT", "row-csv": f"COPY (SELECT c, to_json(c) FROM {C} c) TO STDOUT CSV", "values": f"COPY (VALUES ((SELECT ssn FROM {C} LIMIT 1))) TO STDOUT", "union": f"COPY (SELECT name FROM shop.products UNION ALL SELECT ssn FROM {C}) TO STDOUT", "table-keyword": f"COPY (TABLE {K}) TO STDOUT", "view": "COPY (SELECT * FROM shop.v_contact) TO STDOUT", "matview": "COPY (SELECT * FROM shop.m_directory) TO STDOUT", "matview-direct": "COPY shop.m_directory TO STDOUT",
    "child": "COPY shop.customers_vip TO STDOUT", "child-columns": "COPY shop.customers_vip (ssn, concierge) TO STDOUT CSV", "staff-binary": f"COPY {S} TO STDOUT (FORMAT binary)", "secrets-csv": f"COPY {K} (api_key) TO STDOUT (FORMAT 'csv')", "tickets": "COPY shop.tickets TO STDOUT", "unicode": f"COPY U&\"sh\\006fp\".customers TO STDOUT", "notes": f"COPY (SELECT id, notes FROM {C}) TO STDOUT", "cte-returning": f"COPY (WITH u AS (UPDATE {C} SET points = points RETURNING ssn) SELECT * FROM u) TO STDOUT", "returning": f"COPY (UPDATE {C} SET points = points RETURNING ssn) TO STDOUT", "function": f"COPY (SELECT shop.get_contact({WHO})) TO STDOUT",
    "batch": f"COPY (SELECT id FROM {C}) TO STDOUT; COPY (SELECT ssn FROM {C}) TO STDOUT", "prepare-free": f"BEGIN; COPY {C} TO STDOUT; COMMIT", "nul-delimiter": f"COPY {T} TO STDOUT (DELIMITER E'\\x01')", "where-free": f"COPY (SELECT ssn FROM {C} WHERE id < 9 ORDER BY id) TO STDOUT (FORMAT csv, HEADER 1)", "stdout-from-stdin-to-stdout": f"COPY {C} TO STDIN", "quoted-options": f"COPY {C} TO STDOUT (\"format\" 'text')", "freeze": f"COPY {C} TO STDOUT (FORMAT text, NULL E'\\\\N', DELIMITER ',')",
}.items()]
COPIES += [leak(f"more.copy-extended.{n}", sql, how="extended") for n, sql in enumerate([f"COPY {C} TO STDOUT", f"COPY {T} TO STDOUT (FORMAT binary)", f"COPY {T} TO STDOUT CSV HEADER", f"COPY (SELECT salary FROM {S}) TO STDOUT"])]
COPIES += [leak(f"more.copy-binary-how.{n}", sql, how="binary") for n, sql in enumerate([f"COPY {C} TO STDOUT", f"COPY {T} TO STDOUT (FORMAT binary)"])]

# ---------------------------------------------------------------- spelling

H = "SELECT reverse(ssn) AS v FROM shop.customers"
BYTES: list[Case] = [leak(f"more.lexer.{name}", *([text] if isinstance(text, (str, bytes)) else text), real=real) for name, (text, real) in {
    "strings-off": (["SET standard_conforming_strings = off", f"SELECT '\\'' || '; {H}; --'"], True), "strings-off-local": ([f"BEGIN", "SET LOCAL standard_conforming_strings TO off", f"SELECT '\\''; {H}; --'"], True), "strings-off-same-batch": ([f"SET standard_conforming_strings = off; SELECT '\\''; {H}; --'"], True), "backslash-quote": (["SET backslash_quote = on", f"SELECT E'\\''; {H}; --'"], True),
    "escape-string": (f"SELECT E'\\\\'; {H}; --'", True), "unicode-string": (f"SELECT U&'\\0027'; {H}; --'", True), "unicode-uescape-plus": (f"SELECT U&'d!0061t!+000061' UESCAPE '!'; {H}", True), "national": (f"SELECT N'\\'; {H}; --'", True), "bit": (f"SELECT B'1'; {H}", True), "dollar-empty": (f"SELECT $$'$$; {H}; --'", True), "dollar-after-identifier": (f"SELECT a$$ FROM (SELECT 1 AS a$$) x; {H}; --$$", True), "dollar-unicode": (f"SELECT $é$ ' $é$; {H}; --'", True), "dollar-nested": (f"SELECT $a$ $b$ $a$; {H}; -- $b$", True),
    "comment-nested": (f"SELECT 1 /* /* */ */; {H}", True), "comment-in-string": (f"SELECT '/*'; {H}; --*/", True), "comment-cr": (f"SELECT 1 --x\r; {H}", True), "comment-crlf": (f"SELECT 1 --x\r\n; {H}", True), "comment-operator": (f"SELECT 1 +--\n2; {H}", True), "comment-operator-star": (f"SELECT 1 */**/ 2; {H}", True), "minus-minus-in-operator": (f"SELECT 3 -/**/-2; {H}", True), "string-continuation": (f"SELECT 'a'\n'b; --'; {H}", True), "string-continuation-comment": (f"SELECT 'a' -- x\n'b'; {H}", True),
    "semicolon-flood": (";" * 1000 + H, True), "whitespace-flood": (" \t\n\r\f" * 5000 + H, True), "no-break-space": ("SELECT reverse(ssn)\u00a0FROM shop.customers", False), "zero-width": ("SEL\u200bECT ssn || '' FROM shop.customers", False), "bom": ("\ufeff" + H, False), "full-width": ("ＳＥＬＥＣＴ 1; " + H, False), "trailing-garbage": (H + "; )", False), "unterminated": (H + "; SELECT '", False), "nul-inside": (H.encode() + b"\0 garbage", False), "vertical-tab": ("SELECT\vreverse(ssn)\vFROM\vshop.customers", False),
    "invalid-utf8-alias": (b"SELECT reverse(ssn) AS \"\xff\" FROM shop.customers", False), "invalid-utf8-string": (b"SELECT '\xc3'; " + H.encode() + b"; --'", False), "overlong": (b"SELECT '\xc0\xa7; " + H.encode() + b"; --'", False), "latin1-session": (["SET client_encoding = 'LATIN1'", H], True), "gbk-session": (["SET client_encoding TO GBK", b"SELECT '\xbf\x5c'; " + H.encode() + b"; --'"], True), "set-names": (["SET NAMES 'SJIS'", b"SELECT '\x83\x5c'; " + H.encode() + b"; --'"], True), "uppercase-everything": (H.upper().replace("SHOP.CUSTOMERS", "SHOP.CUSTOMERS"), True),
    "parens-deep": ("SELECT " + "(" * 300 + "ssn || ''" + ")" * 300 + " FROM shop.customers", True), "concat-deep": ("SELECT ssn" + " || ''" * 500 + " FROM shop.customers", True), "case-deep": ("SELECT " + "CASE WHEN true THEN " * 120 + "ssn" + " END" * 120 + " FROM shop.customers", True), "subselect-deep": ("SELECT v FROM " + "(SELECT v FROM " * 80 + "(SELECT ssn || '' AS v FROM shop.customers) q" + ") q" * 80, True), "union-many": ("SELECT 'x' UNION ALL " * 300 + "SELECT ssn || '' FROM shop.customers", True), "in-list-long": (f"SELECT ssn || '' FROM shop.customers WHERE id IN ({', '.join(str(i) for i in range(20000))})", True),
    "joins-many": ("SELECT c1.ssn || '' FROM shop.customers c1 " + " ".join(f"JOIN shop.staff s{i} ON s{i}.id = c1.id" for i in range(2, 12)), True), "ctes-many": ("WITH a0 AS (SELECT ssn AS v FROM shop.customers)" + "".join(f", a{i} AS (SELECT v FROM a{i - 1})" for i in range(1, 60)) + " SELECT v || '' FROM a59", True), "number-identifier": ("SELECT 1ssn, ssn || '' FROM shop.customers", True), "number-dot-from": ("SELECT 1.FROM(SELECT 1)x; " + H, True), "operator-chars": ("SELECT 1 @-1; " + H, True), "param-in-simple": ("SELECT ssn || $1 FROM shop.customers", False),
    "type-cast-chain": ("SELECT ssn::text::varchar::text::bpchar::text FROM shop.customers", True), "exclamation-uescape": ("SELECT U&\"!0073sn\" UESCAPE '!' || '' FROM shop.customers", True), "uescape-plus": ("SELECT U&\"\\+000073sn\" || '' FROM shop.customers", True), "quoted-dot": ('SELECT "shop.customers".ssn || \'\' FROM shop.customers "shop.customers"', True), "alias-quoted-schema": ('SELECT "pg_catalog".ssn || \'\' FROM shop.customers "pg_catalog"', True), "keyword-as-column": ("SELECT q.select || '' FROM (SELECT ssn AS select FROM shop.customers) q", True), "implicit-row": ("SELECT (ssn, id) FROM shop.customers", True),
}.items()]



def typed(type_: str, sql: str, value: str = "x", twice: bool = False):
    """A parameter of a type that the Parse names by its OID."""
    def work(ctx: Ctx) -> None:
        w = ctx.wire()
        oid = ctx.admin.value("SELECT %s::regtype::oid::int", (type_,))
        w.send(Parse(sql, "s", (oid,)) + SYNC)
        w.until_ready()
        if twice:
            w.query("SET search_path = shop")
        w.send(Bind([value], "s") + Execute() + SYNC)
        w.until_ready()
        w.query(f"EXECUTE s ('{value}')")
    return work


TYPES = [talk("type.domain", typed("shop.checked_text", "SELECT $1")), talk("type.domain-array", typed("shop.checked_text[]", "SELECT $1", "{x}")), talk("type.domain-unused", typed("shop.checked_text", "SELECT 1 WHERE $1 IS NOT NULL")), talk("type.domain-after-path", typed("shop.checked_text", "SELECT $1", twice=True)),
         talk("type.domain-text", typed("shop.checked_text", "SELECT $1::text || 'x'")), leak("more.wire.type.call", "SET search_path = shop", "SELECT checked_text('x')"), leak("more.wire.type.call-qualified", "SELECT shop.checked_text('x')"), leak("more.wire.type.prepare-array", "PREPARE p (shop.checked_text[]) AS SELECT $1", "EXECUTE p ('{x}')"), leak("more.wire.type.prepare-unused", "PREPARE p (shop.checked_text) AS SELECT 1", "EXECUTE p ('x')")]

CASES = TYPES + PATHS + NAMES + FORMATS + COPIES + BYTES
