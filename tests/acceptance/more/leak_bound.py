"""Values that become what they are when they are bound, orders of indexes, memory of sorts, FETCH described without its cursor."""

from __future__ import annotations

import time

import psycopg
from suite.model import Case, Ctx, found, leak, write
from suite.wire import SYNC, Bind, Close, Describe, Execute, Parse


def oid(ctx: Ctx, name: str) -> int:
    return int(ctx.admin.value(f"SELECT '{name}'::regtype::oid::text"))


def empty(text: str, of: str, value: str, *before: str, behind: bytes = b""):
    def work(ctx: Ctx):
        w = ctx.wire()
        for sql in before:
            w.query(sql)
        w.send(Parse(text, types=(oid(ctx, of),)) + Bind([value]) + behind + SYNC)
        w.until_ready()
        if before:
            w.query("COMMIT")
        return None
    return work


def bystander(*steps):
    """Another session, which has nothing to do with the agent's, is ended."""
    def work(ctx: Ctx):
        d = ctx.admin_dsn
        other = psycopg.connect(host=d.host, port=d.port, dbname=d.dbname, user=d.user, password=d.password or None, autocommit=True)
        other.execute("SELECT 1")
        try:
            w = ctx.wire()
            for step in steps:
                if isinstance(step, str):
                    w.query(step)
                else:
                    w.send(step + SYNC)
                    w.until_ready()
        except Exception:
            pass
        time.sleep(0.3)
        try:
            other.execute("SELECT 1")
            return None
        except psycopg.Error as error:
            time.sleep(2)
            return f"another session ended: {str(error)[:60]}"
    return work


F = Parse("FETCH 1 FROM k", "s")
D = "DECLARE k CURSOR FOR SELECT 1"
PATH = "SELECT count(*) FROM shop.customers WHERE {c} IS NOT NULL AND set_config('search_path', current_setting('search_path') || ',x' || id, false) IS NOT NULL"
OFF = ("SET enable_seqscan = off", "SET enable_bitmapscan = off")


def path_order(by: str):
    def judge(ctx: Ctx, answers):
        want = [str(r[0]) for r in ctx.admin.rows(f"SELECT id FROM ONLY shop.customers ORDER BY {by}, id")]
        said = (answers[-1].one() or "").replace("x", "").split(",") if answers else []
        got = [word for word in said if word][: len(want)]
        return f"ids in the order of {by}" if len(got) > 5 and got == want else None
    return judge


def first_of(by: str):
    def judge(ctx: Ctx, answers):
        name = ctx.admin.value(f"SELECT name FROM ONLY shop.customers ORDER BY {by} LIMIT 1")
        other = ctx.admin.value("SELECT name FROM ONLY shop.customers ORDER BY ctid LIMIT 1")
        words = answers[-1].errors[0].get("M", "") if answers and answers[-1].errors else ""
        return f"who has the first {by}" if name != other and name in words else None
    return judge


def weighed(sql: str):
    """How much memory a sort takes tells how long one value is."""
    def work(ctx: Ctx):
        import re
        w, seen = ctx.wire(), []
        for n in (1, 2, 3, 4):
            plan = " ".join(row[0] or "" for row in w.query(sql.replace("{n}", str(n))).texts())
            seen.append(max((int(kb) for kb in re.findall(r"Memory: (\d+)kB", plan)), default=0))
        longs = [ctx.admin.value(f"SELECT octet_length(notes) FROM shop.customers WHERE id = {n}") for n in (1, 2, 3, 4)]
        alike = sorted(range(4), key=lambda n: seen[n]) == sorted(range(4), key=lambda n: longs[n])
        return f"lengths {longs} as {seen} kB" if alike and len(set(seen)) > 2 else None
    return work


SORTED = "(SELECT notes, g FROM shop.customers, generate_series(1, 1000) g WHERE id = {n} ORDER BY g OFFSET 0) s"
RUN = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "
def memory(ctx: Ctx):
    w = ctx.wire()
    def of(id: int) -> str | None:
        w.query("BEGIN")
        w.query(f"DECLARE k CURSOR FOR SELECT notes, g FROM shop.customers, generate_series(1, 1000) g WHERE id = {id} ORDER BY g DESC")
        w.query("FETCH 1 FROM k")
        seen = w.query("SELECT used_bytes::text FROM pg_backend_memory_contexts WHERE name = 'Caller tuples'").one()
        w.query("ROLLBACK")
        return seen
    seen = [of(n) for n in (1, 2, 3, 4)]
    longs = [ctx.admin.value(f"SELECT octet_length(notes) FROM shop.customers WHERE id = {n}") for n in (1, 2, 3, 4)]
    if None not in seen and sorted(range(4), key=lambda n: int(seen[n])) == sorted(range(4), key=lambda n: longs[n]) and len(set(seen)) > 2:
        return f"lengths {longs} as {seen}"
    return None


CASES: list[Case] = [
    leak("bound.empty.notice", driver=empty("", "shop.checked_text", "x")),
    leak("bound.empty.comment", driver=empty("/* */ -- x", "shop.checked_text", "x", behind=Execute())),
    leak("bound.empty.semicolons", driver=empty(";;", "shop.checked_text", "x")),
    leak("bound.empty.array", driver=empty("", "shop.checked_text[]", "{x,y}")),
    leak("bound.empty.described", driver=empty("", "shop.checked_text", "x", behind=Describe("P", "") + Execute())),
    write("bound.empty.block", driver=empty("", "shop.touching_text", "x", "BEGIN READ WRITE")),
    write("bound.empty.block-array", driver=empty("-- x", "shop.touching_text[]", "{x}", "START TRANSACTION READ WRITE")),
    found("bound.order.ssn", path_order("ssn"), *OFF, "SET search_path = x", PATH.format(c="ssn"), "SHOW search_path"),
    found("bound.order.email", path_order("email"), *OFF, "SET search_path = x", PATH.format(c="email"), "SHOW search_path"),
    found("bound.order.salary", lambda ctx, answers: (lambda want, got: "staff in the order of salary" if got[:len(want)] == want else None)([str(r[0]) for r in ctx.admin.rows("SELECT id FROM shop.staff ORDER BY salary, ctid")], [x for x in (answers[-1].one() or "").replace("x", "").replace(" ", "").split(",") if x]), *OFF, "SET search_path = x", PATH.format(c="salary").replace("shop.customers", "shop.staff"), "SHOW search_path"),
    found("bound.order.words-ssn", first_of("ssn"), *OFF, "SELECT 1 FROM shop.customers WHERE ssn IS NOT NULL AND name::int > 0"),
    found("bound.order.with-words", first_of("email"), *OFF, "WITH x AS (SELECT name::int AS n, email FROM shop.customers) SELECT count(n) FROM x WHERE email IS NOT NULL"),
    found("bound.order.words-email", first_of("email"), *OFF, "SELECT count(*) FROM shop.customers WHERE email IS NOT NULL AND name::int > 0"),
    Case("leak.bound.memory.lengths", "leak", memory),
    Case("leak.bound.memory.explain-scalar", "leak", weighed(RUN + f"SELECT (SELECT s.notes FROM {SORTED} OFFSET 999)")),
    Case("leak.bound.memory.explain-where", "leak", weighed(RUN + f"SELECT id FROM shop.products WHERE (SELECT s.notes FROM {SORTED} OFFSET 999) IS NULL AND false OR EXISTS (SELECT s.notes FROM {SORTED} OFFSET 999)")),
    Case("leak.bound.memory.explain-array", "leak", weighed(RUN + "SELECT ARRAY(SELECT 1 WHERE EXISTS (WITH s AS MATERIALIZED (SELECT notes, g FROM shop.customers, generate_series(1, 1000) g WHERE id = {n} ORDER BY g) SELECT notes FROM s OFFSET 999))")),
    Case("write.bound.fetch.described-after-close", "write", bystander("BEGIN", D, F, "CLOSE k", Describe("S", "s"))),
    Case("write.bound.fetch.described-after-commit", "write", bystander("BEGIN", D, F, "COMMIT", Describe("S", "s"))),
    Case("write.bound.fetch.described-after-rollback-to", "write", bystander("BEGIN", "SAVEPOINT a", D, F, "ROLLBACK TO a", Describe("S", "s"))),
    Case("write.bound.fetch.pipelined", "write", bystander(Parse("SELECT 1", "q") + Bind([], "q", "k") + F + Close("P", "k") + Describe("S", "s"))),
    Case("write.bound.fetch.portal-described", "write", bystander("BEGIN", D, F + Bind([], "s", "p"), "CLOSE k", Describe("P", "p"))),
    Case("write.bound.fetch.portal-pipelined", "write", bystander("BEGIN", D, F + Bind([], "s", "p") + Close("P", "k") + Describe("P", "p"))),
    Case("write.bound.fetch.run-after-close", "write", bystander("BEGIN", D, F, "CLOSE k", Bind([], "s", "p") + Execute("p"))),
    Case("write.bound.fetch.bound-run-after-close", "write", bystander("BEGIN", D, F + Bind([], "s", "p"), "CLOSE k", Execute("p"))),
    Case("write.bound.fetch.pipelined-run", "write", bystander(Parse("SELECT 1", "q") + Bind([], "q", "k") + F + Bind([], "s", "p") + Close("P", "k") + Execute("p"))),
    Case("write.bound.fetch.run-after-rollback-to", "write", bystander("BEGIN", "SAVEPOINT a", D, F + Bind([], "s", "p"), "ROLLBACK TO a", Execute("p"), Describe("P", "p"))),
    Case("write.bound.fetch.declared-again", "write", bystander("BEGIN", D, "SAVEPOINT a", "CLOSE k", D, F, "ROLLBACK TO a", Describe("S", "s"))),
    Case("write.bound.fetch.executed", "write", bystander("BEGIN", D, F, Parse("EXECUTE s", "t"), "CLOSE k", Describe("S", "t"))),
    Case("write.bound.fetch.many-savepoints", "write", bystander("BEGIN", *[";".join(f"SAVEPOINT s{n + m}" for m in range(500)) for n in range(0, 10500, 500)], D, F, "ROLLBACK TO s10400", Describe("S", "s"))),
]
