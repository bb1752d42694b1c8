#!/usr/bin/env python3
"""Random pipelines of PostgreSQL's protocol, sent through a gateway and to the server itself.

A gateway that masks columns must know what each name of a session stands for: prepared statements (the wire's and SQL's share
their names), portals and cursors, the search path, what a transaction undoes. Where its mirror of that differs from the server's,
masks are lost. This makes sessions of messages at random, from few names, so that they collide, one or two at a time: then one
defines what the other reads. Messages are cancelled in the middle, and simple Queries follow what no Sync ended. It looks at four
things:

  leak      nothing that the client gets holds a canary: a value of a tagged column, or of a schema that is forbidden
  write     where policy permits only reads, the database is what it was
  equality  the same session, sent to an equal database directly, is answered alike until the gateway refuses something
  liveness  each answer that is owed comes in time, and no session ends by itself

Each case comes from one number (--seed and its place), and a case that fails is made smaller and printed so that --replay runs it.

    sessions.py --port 7432 --target mirror_a --token-file T --direct 127.0.0.1:5432/mirror_db --twin 127.0.0.1:5432/mirror_twin --setup
    sessions.py … --policy read --seed 1 --count 500

`--setup` makes the schemas in both databases and ends. The target must tag m_dark.t.v, m_dark.u.v and m_dark.t.n and policy must
forbid the schema m_vault, `reveal`, `probe` and `unknown`. --policy says what else it permits: `read` (reads alone), `play` (anything
in the schemas m_play and pg_temp) or `all`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import random
import re
import select
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

PATIENCE = 30.0

# ---------------------------------------------------------------- the databases

SCHEMAS = {"m_open": "open", "m_two": "two", "m_dark": "ZQXJd", "m_vault": "ZQXJv", "mirror_r": "role"}
NUMBERS = {"m_dark": 7770010, "m_vault": 7770020}


def setup_sql() -> str:
    out = ["SET client_min_messages = error", "SET check_function_bodies = off"]
    for schema in (*SCHEMAS, "m_play", "m_new"):
        out.append(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    out += ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "CREATE SCHEMA m_play"]
    for schema, word in SCHEMAS.items():
        number = NUMBERS.get(schema, 10)
        rows = ", ".join(f"({i}, '{word}t{i}', {number + i}, 'plain{i}')" for i in (1, 2, 3))
        others = ", ".join(f"({i}, '{word}u{i}')" for i in (1, 2))
        out += [
            f"CREATE SCHEMA {schema}",
            f"CREATE TABLE {schema}.t (id int PRIMARY KEY, v text UNIQUE, n int, w text)",
            f"INSERT INTO {schema}.t VALUES {rows}",
            f"CREATE TABLE {schema}.u (id int, v text)",
            f"INSERT INTO {schema}.u VALUES {others}",
            f"CREATE VIEW {schema}.vw AS SELECT id, v FROM {schema}.t",
            f"CREATE SEQUENCE {schema}.sq",
            # Its names are found when it runs.
            f"CREATE FUNCTION {schema}.f(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT v FROM t WHERE id = $1'",
            f"CREATE FUNCTION {schema}.q(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT v FROM {schema}.t WHERE id = $1'",
            f"CREATE FUNCTION {schema}.tf() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT v FROM t ORDER BY id'",
            f"CREATE FUNCTION {schema}.p(int) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT v FROM t WHERE id = $1); END'",
            f"CREATE FUNCTION {schema}.g() RETURNS text LANGUAGE sql STABLE SET search_path = {schema} AS 'SELECT v FROM t WHERE id = 2'",
            f"CREATE FUNCTION {schema}.wf() RETURNS int LANGUAGE sql AS 'INSERT INTO {schema}.u VALUES (9, ''written''); SELECT 1'",
            f"GRANT USAGE ON SCHEMA {schema} TO mirror_n",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO mirror_n",
        ]
    return "; ".join(out)


STATE = """SELECT md5(string_agg(x, '|' ORDER BY x)) FROM (
 SELECT n.nspname || c.relname || c.relkind::text || c.relowner::regrole || coalesce(c.relacl::text, '') || coalesce((SELECT string_agg(attname || atttypid::regtype::text, ',' ORDER BY attnum)
     FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped), '') || CASE WHEN c.relkind = 'v' THEN
     pg_get_viewdef(c.oid) WHEN c.relkind IN ('r', 'S', 'm') THEN query_to_xml(format('TABLE %I.%I', n.nspname, c.relname), true, true, '')::text ELSE '' END
   FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE n.nspname ~ '^(m_|mirror_|public)'
 UNION ALL SELECT n.nspname || proname || prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE n.nspname ~ '^(m_|mirror_|public)'
 UNION ALL SELECT nspname || nspowner::regrole || coalesce(nspacl::text, '') FROM pg_namespace WHERE nspname !~ '^pg_' UNION ALL SELECT lomowner::text FROM pg_largeobject_metadata
 UNION ALL SELECT tgname FROM pg_trigger UNION ALL SELECT rulename FROM pg_rewrite UNION ALL SELECT coalesce(setconfig::text, '') FROM pg_db_role_setting) s(x)"""


# The same of what a policy that permits writes in m_play alone keeps as it is.
HELD = STATE.replace("^(m_|mirror_|public)'", "^(m_[^p]|mirror_|public)'").replace("'^pg_'", "'^(pg_|m_play)'").partition(" UNION ALL SELECT tgname")[0] + ") s(x)"


def needles() -> list[bytes]:
    """How a canary may look. Masks hold none of these."""
    found = [b"ZQXJ", b"zqxj", b"JXQZ", b"777001", b"777002", b"5a51584a", base64.b64encode(b"ZQXJ")[:5]]
    for schema, word in SCHEMAS.items():
        if schema in NUMBERS:
            values = [f"{word}{table}{i}" for table in "tu" for i in (1, 2, 3)]
            found += [hashlib.md5(value.encode()).hexdigest().encode() for value in values]
            found += [struct.pack("!i", NUMBERS[schema] + i) for i in (1, 2, 3)]
    return found


NEEDLES = re.compile(b"|".join(re.escape(needle) for needle in needles()))


def canary(data: bytes | None) -> bool:
    return data is not None and NEEDLES.search(data) is not None


# ---------------------------------------------------------------- the wire

class Gone(Exception):
    """The other side ended the session."""


class Late(Exception):
    """An answer that is owed did not come."""


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def frame(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def encoded(message: list, functions: dict[str, int]) -> bytes:
    """A message of a case: its kind as on the wire, then what it says."""
    kind, *rest = message
    if kind == "Q":
        return frame("Q", text(rest[0]))
    if kind == "P":
        name, sql = rest
        return frame("P", text(name) + text(sql) + struct.pack("!H", 0))
    if kind == "B":
        portal, statement, values, formats = rest
        body = text(portal) + text(statement) + struct.pack("!HH", 0, len(values))
        for value in values:
            body += struct.pack("!I", len(value.encode())) + value.encode()
        return frame("B", body + struct.pack("!H", len(formats)) + b"".join(struct.pack("!H", f) for f in formats))
    if kind in "DC":
        return frame(kind, rest[0].encode() + text(rest[1]))
    if kind == "E":
        return frame("E", text(rest[0]) + struct.pack("!I", rest[1]))
    if kind == "F":
        name, value = rest
        body = struct.pack("!IHHHI", functions.get(name, 1), 1, 0, 1, len(value)) + value.encode() + struct.pack("!H", 0)
        return frame("F", body)
    if kind == "d":
        return frame("d", rest[0].encode())
    if kind == "f":
        return frame("f", text("given up"))
    return frame(kind)


@dataclass
class Peer:
    """One session: at the gateway, or at the server."""

    address: tuple[str, int]
    user: str
    database: str
    password: str = ""
    options: str = ""
    heard: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.buffer, self.key = b"", b""
        # What failed in the extended protocol is skipped up to a Sync, which may come in another round.
        self.skipping = False
        self.socket = socket.create_connection(self.address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = {"user": self.user, "database": self.database, "application_name": "sessions"}
        if self.options:
            said["options"] = self.options
        body = b"".join(text(name) + text(value) for name, value in said.items()) + b"\0"
        self.socket.sendall(struct.pack("!II", len(body) + 8, 196608) + body)
        while True:
            kind, data = self.frame()
            if kind == "R" and struct.unpack("!I", data[:4])[0] == 3:
                self.socket.sendall(frame("p", text(self.password)))
            elif kind == "E":
                raise Gone(said_of(data))
            elif kind == "K":
                self.key = data
            elif kind == "Z":
                return

    def cancel(self) -> None:
        """Asks, on a connection of its own, that whatever runs now is stopped."""
        with socket.create_connection(self.address, timeout=PATIENCE) as other:
            other.sendall(struct.pack("!II", len(self.key) + 8, 80877102) + self.key)
            other.recv(1)

    def frame(self) -> tuple[str, bytes]:
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack("!I", self.buffer[1:5])[0]:
            if not select.select([self.socket], [], [], PATIENCE)[0]:
                raise Late
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError as error:
                raise Gone(str(error)) from error
            if not more:
                raise Gone("the connection was closed")
            self.buffer += more
        length = 1 + struct.unpack("!I", self.buffer[1:5])[0]
        found, self.buffer = self.buffer[:length], self.buffer[length:]
        self.heard += found
        return chr(found[0]), found[5:]

    def close(self) -> None:
        try:
            self.socket.sendall(frame("X"))
            self.socket.close()
        except OSError:
            pass

    def rows(self, sql: str) -> list[list[bytes | None]]:
        """Asks something plainly, outside of a case."""
        self.socket.sendall(frame("Q", text(sql)))
        rows, failed = [], ""
        while True:
            kind, data = self.frame()
            if kind == "D":
                rows.append(cells(data))
            elif kind == "E":
                failed = said_of(data)
            elif kind == "Z":
                if failed:
                    raise RuntimeError(failed)
                return rows

    def send(self, messages: list, pace: str, functions: dict[str, int], cancel: int | None = None) -> None:
        """Sends all of them. `cancel` is before which of them what runs is cancelled."""
        parts = [encoded(message, functions) for message in messages]
        if pace == "whole" and cancel is None:
            self.socket.sendall(b"".join(parts))
            return
        for place, part in enumerate(parts):
            if place == cancel:
                self.cancel()
            self.socket.sendall(part)
            if pace == "slow":
                time.sleep(0.002)
        if cancel is not None and cancel >= len(parts):
            self.cancel()

    def answers(self, messages: list) -> list[list[tuple]]:
        """What came for each message. Which of them are owed an answer is known from those that came before."""
        answered: list[list[tuple]] = []
        for kind, *_ in messages:
            got: list[tuple] = []
            answered.append(got)
            if kind == "S":
                self.skipping = False
            if self.skipping or kind in "Hdcf":
                continue
            done = {"P": "1", "B": "2", "C": "3", "D": "Tn", "E": "CsI", "S": "Z", "Q": "Z", "F": "Z"}[kind]
            while True:
                came, data = self.frame()
                if came in "NSA":
                    continue
                got.append(understood(came, data))
                if came in done:
                    break
                if came == "E" and kind in "PBCDE":
                    self.skipping = True
                    break
        return answered


def said_of(data: bytes) -> str:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in data.split(b"\0") if part}
    words = " / ".join(fields[key] for key in (b"M", b"D", b"H") if key in fields)
    return f"{fields.get(b'C', '?')} {words}"


def cells(data: bytes) -> list[bytes | None]:
    count, at, found = struct.unpack("!H", data[:2])[0], 2, []
    for _ in range(count):
        length = struct.unpack("!i", data[at:at + 4])[0]
        at += 4
        found.append(None if length < 0 else data[at:at + length])
        at += max(length, 0)
    return found


def understood(kind: str, data: bytes) -> tuple:
    if kind == "E":
        return (kind, said_of(data))
    if kind == "D":
        return (kind, cells(data))
    if kind == "T":
        columns, at = [], 2
        for _ in range(struct.unpack("!H", data[:2])[0]):
            end = data.index(b"\0", at)
            _, _, oid, _, _, form = struct.unpack("!IHIHIH", data[end + 1:end + 19])
            columns.append((data[at:end], min(oid, 16384), form))
            at = end + 19
        return (kind, columns)
    if kind == "t":
        return (kind, [min(oid, 16384) for oid in struct.unpack(f"!{(len(data) - 2) // 4}I", data[2:])])
    return (kind, data)


# A column is masked as a whole, also where what a statement writes itself is among its values.
MASKS = (b"***", b"0", b"\0\0\0\0")


def alike(ours: tuple, theirs: tuple) -> bool:
    """Whether the gateway's answer is the server's, but for masks."""
    if ours[0] != theirs[0]:
        return False
    if ours[0] == "E":
        return ours[1][:5] == theirs[1][:5]
    if ours[0] == "D":
        return len(ours[1]) == len(theirs[1]) and all(a == b or canary(b) or a in MASKS for a, b in zip(ours[1], theirs[1]))
    if ours[0] == "d":
        return ours[1] == theirs[1] or canary(theirs[1]) or b"***" in ours[1]
    return ours == theirs


# ---------------------------------------------------------------- cases

LONG = "l" * 63
STATEMENTS = ["s", "s", "p", "S", LONG, LONG + "x", "k"]
PORTALS = ["k", "k", "c", "K", "s", LONG, LONG + "y"]


class Maker:
    """Makes one case. Each uses only some of what can be said, so that the same things meet often."""

    def __init__(self, random_: random.Random, policy: str, honest: bool) -> None:
        self.r, self.policy, self.honest = random_, policy, honest
        self.schemas = ["m_open", "m_two"] if honest else ["m_open", "m_dark", "m_dark", *(["m_vault"] if self.chance(0.2) else [])]
        if self.policy != "read" and not honest:
            self.schemas.append("m_play")
        self.names = self.r.sample(STATEMENTS, 2)
        self.portals = self.r.sample(PORTALS, 2)
        self.kinds = self.some(self.utilities(), 0.35)
        self.queries = self.some(self.selects(), 0.35)

    def chance(self, of: float) -> bool:
        return self.r.random() < of

    def some(self, all_: list, part: float) -> list:
        return self.r.sample(all_, max(3, int(len(all_) * part * self.r.random() * 1.5)))

    # -------- names

    def statement(self) -> str:
        return self.r.choice(self.names)

    def sql_name(self, name: str) -> str:
        """As SQL writes it: in quotes where letters are large, else any way that folds to the same."""
        if name != name.lower():
            return f'"{name}"'
        return self.r.choice([name, name, f'"{name}"', name.upper() if len(name) < 9 else name])

    def s(self) -> str:
        return self.sql_name(self.statement())

    def k(self) -> str:
        return self.sql_name(self.r.choice(self.portals))

    def relation(self) -> str:
        name = self.r.choice(["t", "t", "t", "u", "vw"])
        return name if self.chance(0.7) else f"{self.r.choice(self.schemas)}.{name}"

    def function(self, name: str) -> str:
        return name if self.chance(0.6) else f"{self.r.choice(self.schemas)}.{name}"

    def path(self) -> str:
        two = ", ".join(self.r.sample(self.schemas, 2))
        some = [self.r.choice(self.schemas)] * 5 + [two, two, '"$user", ' + self.r.choice(self.schemas), "m_nowhere, " + two]
        if self.policy != "read" and self.chance(0.4):
            # What is made there is found before what a plan was made of.
            return "m_play, " + self.r.choice(self.schemas)
        return self.r.choice(some + ["pg_temp, " + self.r.choice(self.schemas), "pg_catalog, " + two, f"'{two}'"])

    # -------- texts

    def selects(self) -> list:
        t, f = self.relation, self.function
        return [
            lambda: f"SELECT id, v FROM {t()} ORDER BY id",
            lambda: f"SELECT id, v FROM {t()} ORDER BY id",
            lambda: f"SELECT v FROM {t()} WHERE id = 1",
            lambda: f"TABLE {t()}",
            lambda: f"SELECT * FROM {t()} LIMIT 2",
            lambda: f"SELECT v AS name, id FROM {t()}",
            lambda: f"SELECT id, w FROM {self.sch()}t",
            lambda: f"SELECT n, w FROM {self.sch()}t ORDER BY id",
            lambda: f"SELECT reverse(v) FROM {t()}",
            lambda: f"SELECT v || 'x' FROM {t()}",
            lambda: f"SELECT a.v, b.v FROM {t()} a JOIN {t()} b USING (id)",
            lambda: f"SELECT {f('f')}(1)",
            lambda: f"SELECT {f('q')}(2)",
            lambda: f"SELECT {f('p')}(1)",
            lambda: f"SELECT {f('g')}()",
            lambda: f"SELECT * FROM {f('tf')}()",
            lambda: f"SELECT id, v FROM {t()} UNION ALL SELECT 9, 'x'",
            lambda: f"SELECT 9 AS id, 'x' AS v UNION ALL SELECT id, v FROM {t()}",
            lambda: f"WITH x AS (SELECT v FROM {t()}) SELECT * FROM x",
            lambda: f"SELECT (SELECT v FROM {t()} WHERE id = 2) AS v",
            lambda: f"SELECT string_agg(v, ',') FROM {t()}",
            lambda: f"SELECT x FROM {t()} AS x",
            lambda: f"SELECT row_to_json(x) FROM {t()} AS x",
            lambda: f"SELECT count(*) FROM {t()}",
            lambda: f"SELECT v FROM {t()} WHERE id = 1 AND 1/(id-1) > 0",
            lambda: "SELECT query_to_xml('select v from t', true, false, '')",
            lambda: f"SELECT v FROM {t()} FOR UPDATE",
            lambda: "SELECT 1/0",
            lambda: "SELECT nosuch",
            lambda: "SELECT 'x' AS v, 1 AS id",
            lambda: "SELECT 1 AS id, 'x' AS v UNION ALL SELECT 2, 'y' ORDER BY 1",
            lambda: "SELECT current_schemas(false)",
            lambda: "SELECT name, from_sql FROM pg_prepared_statements ORDER BY 1",
            lambda: "SELECT name, is_holdable FROM pg_cursors ORDER BY 1",
        ]

    def sch(self) -> str:
        return "" if self.chance(0.6) else self.r.choice(self.schemas) + "."

    def query(self) -> str:
        return self.r.choice(self.queries)()

    def prepared(self) -> str:
        """What can stand behind PREPARE."""
        if self.chance(0.1):
            return self.write()
        return "SELECT v FROM " + self.relation() + " WHERE id = $1" if self.chance(0.1) else self.query()

    def write(self) -> str:
        t = self.relation()
        return self.r.choice([
            f"INSERT INTO {t} (id, v) VALUES (1, 'new')",
            f"INSERT INTO {t} (id, v) SELECT 50, 'new50' RETURNING v",
            f"UPDATE {t} SET w = 'changed' WHERE id = 1",
            f"UPDATE {t} SET v = 'changed' WHERE id = 2 RETURNING id, v",
            f"DELETE FROM {t} WHERE id = 3",
            f"WITH d AS (DELETE FROM {t} RETURNING v) SELECT v FROM d",
            f"SELECT {self.function('wf')}()",
            f"SELECT nextval('{self.r.choice(self.schemas)}.sq')",
            f"SELECT v INTO {self.r.choice(['m_play.', 'pg_temp.', ''])}x FROM {t}",
        ])

    def utilities(self) -> list:
        s, k, q, chance = self.s, self.k, self.query, self.chance
        sp = lambda: self.r.choice(["a", '"A"', "A", "b"])  # noqa: E731
        path = self.path
        schema = lambda: self.r.choice(self.schemas)  # noqa: E731
        all_ = [
            lambda: f"SET search_path = {path()}",
            lambda: f"SET search_path = {path()}",
            lambda: f"SET LOCAL search_path = {path()}",
            lambda: f"SET SESSION search_path TO {path()}",
            lambda: f"SET SCHEMA '{schema()}'",
            lambda: f"SELECT set_config('search_path', '{schema()}', {self.r.choice(['true', 'false'])})",
            lambda: f"SELECT set_config('Search_Path', '{schema()}, {schema()}', false) FROM {self.relation()}",
            lambda: f"SELECT CASE WHEN 1 = {self.r.choice('12')} THEN set_config('search_path', '{schema()}', false) END",
            lambda: "RESET search_path",
            lambda: "RESET ALL",
            lambda: "SET search_path TO DEFAULT",
            lambda: "DISCARD ALL",
            lambda: self.r.choice(["DISCARD PLANS", "DISCARD TEMP", "DISCARD SEQUENCES"]),
            lambda: f"PREPARE {s()} AS {self.prepared()}",
            lambda: f"PREPARE {s()} AS {self.prepared()}",
            lambda: f"PREPARE {s()} (int) AS SELECT id, v FROM {self.relation()} WHERE id = $1",
            lambda: f"EXECUTE {s()}",
            lambda: f"EXECUTE {s()}",
            lambda: f"EXECUTE {s()}(1)",
            lambda: f"EXPLAIN (COSTS OFF) EXECUTE {s()}",
            lambda: f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE {s()}",
            lambda: f"DEALLOCATE {s()}",
            lambda: f"DEALLOCATE PREPARE {s()}",
            lambda: "DEALLOCATE ALL",
            lambda: f"DECLARE {k()} {self.r.choice(['', 'SCROLL', 'NO SCROLL', 'BINARY'])} CURSOR FOR {q()}",
            lambda: f"DECLARE {k()} {self.r.choice(['', 'SCROLL'])} CURSOR WITH HOLD FOR {q()}",
            lambda: f"DECLARE {k()} CURSOR WITH HOLD FOR {q()}",
            lambda: f"FETCH {self.r.choice(['', '1', '2', 'ALL', 'NEXT', 'FIRST', 'BACKWARD 1', 'ABSOLUTE 1'])} FROM {k()}",
            lambda: f"FETCH ALL FROM {k()}",
            lambda: f"FETCH ALL {k()}",
            lambda: f"MOVE {self.r.choice(['1', 'ALL', 'ABSOLUTE 0'])} IN {k()}",
            lambda: f"CLOSE {k()}",
            lambda: "CLOSE ALL",
            lambda: self.r.choice(["BEGIN", "BEGIN", "START TRANSACTION", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE"]),
            lambda: "BEGIN",
            lambda: self.r.choice(["COMMIT", "END", "COMMIT AND CHAIN", "COMMIT AND NO CHAIN"]),
            lambda: self.r.choice(["ROLLBACK", "ABORT", "ROLLBACK AND CHAIN"]),
            lambda: f"SAVEPOINT {sp()}",
            lambda: f"RELEASE {sp()}",
            lambda: f"ROLLBACK TO {sp()}",
            lambda: f"ROLLBACK TO SAVEPOINT {sp()}",
            lambda: f"COPY {self.relation()} TO STDOUT",
            lambda: f"COPY ({q()}) TO STDOUT",
            lambda: f"EXPLAIN (COSTS OFF) {q()}",
            lambda: f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {q()}",
            lambda: f"EXPLAIN (COSTS OFF) DECLARE {k()} CURSOR FOR {q()}",
            lambda: self.r.choice(["SELEC 1", "", ";", "SELECT 1;;", "-- nothing", "SELECT 'x"]),
            lambda: "SHOW search_path",
            lambda: self.r.choice(["SET work_mem = '4MB'", "SET DateStyle = 'German'", "SET TIME ZONE 'UTC'", "RESET TimeZone", "SET xyz.abc = '1'"]),
            lambda: self.r.choice(["SET plan_cache_mode = force_generic_plan", "SET plan_cache_mode = force_custom_plan"]),
            lambda: self.r.choice(["SET TRANSACTION READ ONLY", "SET TRANSACTION READ WRITE", "SET transaction_read_only = off", "SET CONSTRAINTS ALL IMMEDIATE"]),
            lambda: self.r.choice(["SET default_transaction_read_only = on", "SET default_transaction_read_only = off"]),
            lambda: "PREPARE TRANSACTION 'x'",
            lambda: self.r.choice(["SET ROLE mirror_r", "SET ROLE mirror_n", "RESET ROLE", "SET ROLE none", "SET SESSION AUTHORIZATION mirror_r", "RESET SESSION AUTHORIZATION"]),
            lambda: self.r.choice(["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "VACUUM m_open.t", "CHECKPOINT"]),
            lambda: self.write(),
            lambda: self.write(),
            lambda: "DO $$ BEGIN PERFORM set_config('search_path', 'm_dark', false); END $$",
            lambda: f"LOCK TABLE {self.relation()} IN SHARE MODE",
            lambda: self.r.choice(["LISTEN x", "NOTIFY x, 'hello'", "UNLISTEN *"]),
        ]
        if self.policy != "read" or chance(0.15):
            all_ += self.definitions() * (2 if self.policy != "read" else 1)
        return all_

    def definitions(self) -> list:
        schema = lambda: self.r.choice(self.schemas)  # noqa: E731
        play = lambda: self.r.choice(["m_play", "m_play", schema()])  # noqa: E731
        name = lambda: self.r.choice(["t", "t", "u", "vw", "x"])  # noqa: E731
        q, r = self.query, self.relation
        f = lambda: self.r.choice(["f", "q", "g", "h"])  # noqa: E731
        body = lambda: self.r.choice(["SELECT v FROM t WHERE id = $1", "SELECT v FROM u WHERE id = $1", "SELECT v FROM vw WHERE id = $1", f"SELECT v FROM {schema()}.t WHERE id = $1"])  # noqa: E731
        end = lambda: self.r.choice(["", "", "ON COMMIT DROP", "ON COMMIT DELETE ROWS"])  # noqa: E731
        return [
            lambda: f"CREATE TEMP TABLE {name()} (id int, v text) {end()}",
            lambda: f"CREATE TEMP TABLE {name()} {end()} AS SELECT 5 AS id, 'temp' AS v",
            lambda: f"CREATE TEMP TABLE {name()} AS {q()}",
            lambda: f"CREATE TEMP VIEW {name()} AS {q()}",
            lambda: f"CREATE OR REPLACE TEMP VIEW {name()} AS SELECT id, v FROM {schema()}.t",
            lambda: f"CREATE TEMP VIEW {name()} AS SELECT id, v FROM {schema()}.t",
            lambda: f"CREATE TEMP TABLE {name()} (LIKE {r()})",
            lambda: f"CREATE TEMP TABLE {name()} () INHERITS ({schema()}.t)",
            lambda: f"CREATE TEMP TABLE x AS EXECUTE {self.s()}",
            lambda: f"CREATE TABLE m_play.x AS EXECUTE {self.s()}",
            lambda: f"CREATE OR REPLACE FUNCTION pg_temp.{f()}(int) RETURNS text LANGUAGE sql STABLE AS '{body()}'",
            lambda: f"SELECT pg_temp.{f()}(1)",
            lambda: f"SELECT * FROM pg_temp.{name()}",
            lambda: f"DROP {self.r.choice(['TABLE', 'VIEW'])} {self.r.choice(['pg_temp.', '', 'm_play.'])}{name()}",
            lambda: f"ALTER TABLE pg_temp.{name()} RENAME TO {name()}",
            lambda: f"ALTER TABLE pg_temp.x RENAME COLUMN v TO {self.r.choice(['w', 'n', 'z'])}",
            lambda: f"INSERT INTO pg_temp.{name()} SELECT 7, 'seven'",
            lambda: f"CREATE TABLE {play()}.{name()} (id int, v text)",
            lambda: f"CREATE TABLE {play()}.{name()} AS {q()}",
            lambda: f"CREATE TABLE {name()} AS SELECT 5 AS id, 'made' AS v",
            lambda: f"CREATE TABLE {play()}.x () INHERITS ({r()})",
            lambda: f"CREATE VIEW {play()}.{name()} AS {q()}",
            lambda: f"CREATE OR REPLACE VIEW {play()}.{name()} AS SELECT id, v FROM {r()}",
            lambda: f"CREATE OR REPLACE VIEW {play()}.{name()} AS SELECT id, v FROM {schema()}.t",
            lambda: f"CREATE MATERIALIZED VIEW {play()}.{name()} AS SELECT id, v FROM {r()}",
            lambda: f"CREATE OR REPLACE FUNCTION {play()}.{f()}(int) RETURNS text LANGUAGE sql STABLE AS '{body()}'",
            lambda: f"CREATE OR REPLACE FUNCTION {play()}.{f()}(int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ({body()}); END'",
            lambda: f"CREATE OR REPLACE FUNCTION {play()}.g() RETURNS text LANGUAGE sql SET search_path = {schema()} AS 'SELECT v FROM t WHERE id = 2'",
            lambda: f"ALTER FUNCTION {play()}.g() SET search_path = {schema()}",
            lambda: f"DROP FUNCTION {play()}.{f()}(int)",
            lambda: f"ALTER TABLE {play()}.{name()} SET SCHEMA {play()}",
            lambda: f"ALTER TABLE {play()}.{name()} RENAME TO {name()}",
            lambda: f"ALTER TABLE {play()}.{name()} RENAME COLUMN v TO {self.r.choice(['w2', 'z'])}",
            lambda: f"ALTER TABLE {schema()}.t RENAME COLUMN w TO v2",
            lambda: f"ALTER TABLE {schema()}.t RENAME COLUMN v TO z",
            lambda: f"ALTER TABLE {schema()}.t RENAME COLUMN {self.r.choice(['w', 'v2', 'n'])} TO v",
            lambda: f"ALTER TABLE {play()}.t DROP COLUMN {self.r.choice('vw')} CASCADE",
            lambda: f"ALTER TABLE {play()}.t ADD COLUMN {self.r.choice(['v', 'w', 'z'])} text",
            lambda: f"ALTER VIEW {play()}.vw RENAME TO {name()}",
            lambda: f"ALTER VIEW {play()}.vw RENAME COLUMN v TO z",
            lambda: f"ALTER SCHEMA {schema()} RENAME TO {self.r.choice(['m_new', 'm_play', schema()])}",
            lambda: "ALTER SCHEMA m_new RENAME TO " + schema(),
            lambda: f"CREATE SCHEMA {self.r.choice(['m_new', 'm_nowhere'])}",
            lambda: f"DROP SCHEMA {self.r.choice(['m_new', 'm_play', schema()])} CASCADE",
            lambda: f"DROP TABLE {play()}.{name()} CASCADE",
            lambda: f"CREATE RULE r AS ON INSERT TO {play()}.{name()} DO INSTEAD SELECT * FROM {r()}",
            lambda: f"ALTER FUNCTION {play()}.{f()}(int) RENAME TO {f()}",
            lambda: f"ALTER FUNCTION {play()}.{f()}(int) SET SCHEMA {play()}",
            lambda: f"DO $$ BEGIN CREATE TEMP VIEW {name()} AS SELECT id, v FROM {schema()}.t; END $$",
            lambda: f"DO $$ BEGIN SET search_path = {schema()}; END $$",
            lambda: f"ALTER TABLE {schema()}.t RENAME TO t_old",
            lambda: f"ALTER TABLE {schema()}.u RENAME TO t",
            lambda: f"CREATE VIEW {schema()}.t AS SELECT id, v FROM {self.r.choice(self.schemas)}.u",
            lambda: f"ALTER TABLE {schema()}.t_old RENAME TO {self.r.choice(['t', 'u', 'x'])}",
            lambda: f"ALTER TABLE {play()}.{name()} OWNER TO {self.r.choice(['mirror_r', 'mirror_n', 'CURRENT_USER'])}",
            lambda: f"ALTER SCHEMA {schema()} OWNER TO {self.r.choice(['mirror_n', 'CURRENT_USER'])}",
            lambda: f"{self.r.choice(['GRANT USAGE ON SCHEMA %s TO', 'REVOKE USAGE ON SCHEMA %s FROM']) % schema()} mirror_n",
            lambda: f"{self.r.choice(['GRANT SELECT ON %s TO', 'REVOKE SELECT ON %s FROM']) % r()} mirror_n",
            lambda: f"ALTER TABLE {play()}.{name()} ALTER COLUMN v TYPE {self.r.choice(['varchar', 'text'])}",
            lambda: f"ALTER TABLE {schema()}.u ADD COLUMN v2 text DEFAULT 'added'",
            lambda: f"DO $$ BEGIN CREATE VIEW m_play.{name()} AS SELECT id, v FROM {schema()}.t; END $$",
            lambda: f"TABLE {self.sch()}x",
            lambda: f"SELECT z FROM {self.sch()}t",
            lambda: f"SELECT v2 FROM {self.sch()}t",
            lambda: f"TABLE {self.sch()}t_old",
            lambda: f"SELECT * FROM {self.r.choice(['m_new', 'm_play'])}.{name()}",
            lambda: f"SELECT {self.r.choice(['m_new', 'm_play', 'pg_temp'])}.{f()}(1)",
        ]

    def text(self) -> str:
        return self.r.choice(self.kinds)() if self.chance(0.65) else self.query()

    def batch(self) -> str:
        texts = [self.text() for _ in range(self.r.choice([1, 1, 1, 1, 2, 2, 3, 4]))]
        return self.r.choice(["; ", ";", " ;\n"]).join(texts)

    # -------- messages

    def flight(self) -> list:
        name = self.r.choice(["", "", self.statement()])
        portal = self.r.choice(["", "", "", self.r.choice(self.portals)])
        messages = [["P", name, self.text()]]
        if self.chance(0.15):
            messages.append(["D", "S", name])
        messages.append(self.bind(portal, name))
        if self.chance(0.2):
            messages.append(["D", "P", portal])
        messages.append(["E", portal, self.r.choice([0, 0, 0, 1])])
        return messages

    def bind(self, portal: str, name: str) -> list:
        values = self.r.choice([[], [], [], [], [], ["1"]])
        return ["B", portal, name, values, self.r.choice([[], [], [0], [1]])]

    def message(self) -> list:
        portal = self.r.choice(["", *self.portals])
        name = self.r.choice(["", *self.names])
        kind = self.r.choices(["flight", "Q", "P", "B", "E", "BE", "D", "C", "H", "S", "F", "COPY"], [20, 30, 10, 8, 8, 12, 4, 6, 2, 8, 1, 1])[0]
        if kind == "flight":
            return self.flight()
        if kind == "Q":
            return [["Q", self.batch()]]
        if kind == "P":
            return [["P", name, self.text()]]
        if kind == "B":
            return [self.bind(portal, name)]
        if kind == "E":
            return [["E", portal, self.r.choice([0, 0, 1, 2])]]
        if kind == "BE":
            return [self.bind(portal, name), ["E", portal, self.r.choice([0, 0, 1])]]
        if kind == "D":
            return [["D", *self.r.choice([("S", name), ("P", portal)])]]
        if kind == "C":
            return [["C", *self.r.choice([("S", name), ("P", portal)])]]
        if kind == "F":
            return [["F", self.r.choice(self.schemas) + "." + self.r.choice(["f", "q"]), "1"]]
        if kind == "COPY":
            end = self.r.choice([["c"], ["f"]])
            copy = f"COPY {self.relation()} (id, v) FROM STDIN"
            data = [["d", "77\tcopied\n"], end]
            return [["Q", copy], *data] if self.chance(0.5) else [["P", "", copy], ["B", "", "", [], []], ["E", "", 0], *data]
        return [[kind]]

    def round(self, who: int = 0) -> dict:
        messages: list = []
        for _ in range(self.r.choice([1, 1, 2, 3, 4, 6, 8])):
            messages += self.message()
        messages = messages[:30]
        if self.chance(0.15):
            messages.insert(self.r.randint(0, len(messages)), ["H"])
        # What is answered at once is heard without a Sync, too.
        if messages[-1][0] not in "QF" or self.chance(0.5):
            messages.append(["S"])
        one = {"pace": self.r.choice(["whole", "whole", "whole", "each", "slow"]), "messages": messages}
        if self.chance(0.1):
            # Something lasts long enough to be cancelled.
            place = self.r.randint(0, len(messages) - 1)
            slow = "SELECT pg_sleep(0.1)"
            messages[place:place] = [["Q", slow]] if self.chance(0.3) else [["P", "", slow], ["B", "", "", [], []], ["E", "", 0], ["H"]]
            one["cancel"] = self.r.randint(place + 1, min(place + 6, len(messages)))
        return {**one, "who": who} if who else one

    def rounds(self, others: bool) -> list[dict]:
        who = lambda: self.r.randint(0, 1) if others else 0  # noqa: E731
        if self.chance(0.15):
            return [*self.unended(), *(self.round(who()) for _ in range(self.r.randint(0, 2)))]
        if self.policy != "read" and self.chance(0.15):
            return self.late(others)
        if self.chance(0.5):
            return self.story(others) + [self.round(who()) for _ in range(self.r.randint(0, 2))]
        return [self.round(who()) for _ in range(self.r.randint(2, 8))]

    def unended(self) -> list[dict]:
        """Simple Queries behind messages that no Sync has ended: newer servers go on with their transaction."""
        rounds = [[*self.flight(), *(self.flight() if self.chance(0.5) else []), ["Q", self.batch()]]]
        rounds += [[["Q", self.batch()]] for _ in range(self.r.randint(1, 4))]
        if self.chance(0.5):
            rounds[-1] += self.flight()
        if self.chance(0.3):
            rounds = [[message for one in rounds for message in one]]
        rounds[-1].append(["S"])
        return [{"pace": self.r.choice(["whole", "each", "slow"]), "messages": one} for one in rounds]

    def late(self, others: bool) -> list[dict]:
        """Code of what is open is made anew, by another session where there is one, and then runs."""
        portal, name = self.r.choice(self.portals), self.r.choice(["f", "h"])
        k = self.sql_name(portal)

        def made(from_: str) -> str:
            read = f"SELECT v FROM {from_} WHERE id = $1"
            body = self.r.choice([
                f"LANGUAGE plpgsql AS 'BEGIN RETURN ({read}); END'", f"LANGUAGE sql AS 'SELECT 1; {read}'",
                f"LANGUAGE sql BEGIN ATOMIC; SELECT 1; {read}; END", f"LANGUAGE sql STABLE AS '{read}'",
            ])
            return f"CREATE OR REPLACE FUNCTION m_play.{name}(int) RETURNS text {body}"

        query = f"SELECT m_play.{name}(id) FROM m_open.t"
        opened = self.r.choice([
            [["Q", "BEGIN"], ["Q", f"DECLARE {k} CURSOR FOR {query}"]],
            [["Q", f"BEGIN; DECLARE {k} CURSOR WITH HOLD FOR {query}"]],
            [["Q", "BEGIN"], ["P", "", query], ["B", portal, "", [], []], ["E", portal, self.r.choice([0, 1])]],
            [["Q", "BEGIN"], ["P", "", f"DECLARE {k} CURSOR FOR {query}"], ["B", "", "", [], []], ["E", "", 0]],
        ])
        uses = [[["Q", f"FETCH 1 FROM {k}"]], [["Q", f"FETCH ALL FROM {k}"]], [["E", portal, 0]], [["Q", "SELECT v FROM m_open.u"]], [["Q", "COMMIT"]]]
        rounds = [[["Q", made("m_open.t")]], opened, [["Q", made(self.r.choice(self.schemas) + ".t")]], *self.r.sample(uses, 3), [["Q", f"FETCH ALL FROM {k}"]]]
        made_ = [{"pace": "whole", "messages": [*one, ["S"]]} for one in rounds]
        if others:
            made_[2]["who"] = 1
        return made_

    def story(self, others: bool) -> list[dict]:
        """What a name means is fixed, the names in it are moved, by another session where there is one, and it is used."""
        q = [
            "SELECT id, v FROM t",
            "SELECT id, v FROM t UNION ALL SELECT NULL, NULL",
            "WITH x AS (SELECT id, v FROM t) SELECT * FROM x UNION ALL SELECT 9, 'x'",
            "SELECT id, (SELECT v FROM t WHERE id = 2) AS v FROM t",
            "SELECT id, v FROM vw UNION ALL SELECT NULL, NULL",
            "SELECT v FROM u UNION ALL SELECT v FROM t",
            "SELECT id, upper(v) AS v FROM t",
            "UPDATE t SET w = v WHERE id = 1 RETURNING v",
            "DELETE FROM u WHERE id = 2 RETURNING v",
        ]
        name, portal, query = self.statement(), self.r.choice(self.portals), self.r.choice(q)
        s, k = self.sql_name(name), self.sql_name(portal)
        fixed = self.r.choice([
            [["Q", f"PREPARE {s} AS {query}"]],
            [["P", name, query]],
            [["P", "", f"PREPARE {s} AS {query}"], ["B", "", "", [], []], ["E", "", 0]],
            [["P", name, query], ["B", "", name, [], []], ["E", "", 1]],
            [["Q", f"BEGIN; DECLARE {k} CURSOR FOR {query}"]],
            [["Q", f"DECLARE {k} CURSOR WITH HOLD FOR {query}"]],
            [["Q", "BEGIN"], ["P", "", query], ["B", portal, "", [], []]],
        ])
        moves = self.utilities()[:13] + self.utilities()[33:44] + (self.definitions()[:12] * 3 + self.definitions() * 2 if self.policy != "read" else [])
        uses = [
            [["Q", f"EXECUTE {s}"]], [["B", "", name, [], []], ["E", "", 0]], [["P", "", f"EXECUTE {s}"], ["B", "", "", [], []], ["E", "", 0]],
            [["Q", f"FETCH ALL FROM {k}"]], [["E", portal, 0]], [["Q", f"CREATE TABLE m_play.x AS EXECUTE {s}; SELECT 1"]],
            [["Q", f"CREATE TEMP TABLE x AS EXECUTE {s}"]], [["Q", "SELECT v AS made FROM m_play.x"]], [["Q", "SELECT v || '' FROM x"]],
            [["Q", query]], [["P", "", query], ["B", "", "", [], []], ["E", "", 0]],
        ]
        rounds = [[["Q", f"SET {self.r.choice(['', '', 'LOCAL '])}search_path = {self.path()}"]], fixed]
        if self.chance(0.2):
            # What this one may use can be taken away.
            rounds.insert(0, [["Q", "SET ROLE mirror_n"]])
        moving: list[int] = []
        for _ in range(self.r.randint(1, 3)):
            if others and self.chance(0.8):
                moving.append(len(rounds))
            text_ = self.r.choice(moves)()
            if self.policy != "read" and self.chance(0.4):
                # Another is found before it, and what the server has planned stays as it is.
                what = self.r.choice(["TABLE m_play.t", "TEMP TABLE t", "TABLE m_play.u", "TEMP TABLE u"])
                text_ = f"CREATE {what} (id int, v text, n int, w text)"
            rounds.append([["Q", text_]] if self.chance(0.6) else [["P", "", text_], ["B", "", "", [], []], ["E", "", 0]])
        rounds += [self.r.choice(uses[:6]), *self.r.sample(uses, 2)]
        if self.chance(0.3) and not moving:
            # All at once.
            rounds = [[message for one in rounds for message in one]]
        made = [{"pace": self.r.choice(["whole", "each", "slow"]), "messages": [*one, ["S"]]} for one in rounds]
        return [{**one, "who": 1} if place in moving else one for place, one in enumerate(made)]

    def case(self) -> dict:
        options = ""
        if self.policy != "read" and not self.honest and self.chance(0.3):
            options = "-c search_path=m_play\\,m_dark"
        elif self.chance(0.6):
            options = "-c search_path=" + self.r.choice(self.schemas) + ("" if self.chance(0.7) else "\\," + self.r.choice(self.schemas))
        others = self.chance(0.5)
        if others:
            # Neither waits for the other's locks for long.
            options += " -c lock_timeout=300"
        return {"options": options.strip(), "honest": self.honest, "others": others, "rounds": self.rounds(others)}


# ---------------------------------------------------------------- what comes of a case

@dataclass
class Finding:
    kind: str
    what: str
    where: str = ""


class Runner:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.token = open(args.token_file).read().strip() if args.token_file else args.token
        self.direct, self.twin = self.plain(args.direct), self.plain(args.twin)
        self.messages = 0
        self.functions: dict[str, dict[str, int]] = {}
        self.state, self.held = self.state_of(self.direct), b""
        self.twin_state = self.state_of(self.twin)
        if args.reset or self.state != self.twin_state and not args.alone or self.state is None:
            self.reset()
        self.held = self.direct.rows(HELD)[0][0]

    def plain(self, where: str, options: str = "") -> Peer:
        address, database = where.split("/")
        host, port = address.split(":")
        return Peer((host, int(port)), self.args.superuser, database, options=options)

    def gateway(self, options: str = "") -> Peer:
        return Peer((self.args.host, self.args.port), "agent", self.args.target, self.token, options)

    def state_of(self, peer: Peer) -> bytes | None:
        return peer.rows(STATE)[0][0]

    def reset(self) -> None:
        """Both databases as they are at the start, and the gateway has seen it."""
        for peer in (self.direct,) if self.args.alone else (self.direct, self.twin):
            self.make(peer)
        self.state, self.twin_state = self.state_of(self.direct), self.state_of(self.twin)
        self.functions = {}
        for peer in (self.direct, self.twin):
            found = peer.rows("SELECT n.nspname || '.' || proname, p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE n.nspname ~ '^(m_|mirror_)'")
            self.functions[peer.database] = {row[0].decode(): int(row[1]) for row in found}
        self.settle()

    @staticmethod
    def make(peer: Peer) -> None:
        for _ in range(5):
            try:
                peer.rows(setup_sql())
                return
            except RuntimeError:
                # A session that has just ended still holds locks.
                time.sleep(0.3)
        peer.rows(setup_sql())

    def settle(self) -> None:
        """Waits until the gateway judges by what is there: it finds definitions of others when it next looks."""
        if self.args.policy != "read":
            peer = self.gateway()
            peer.rows(f"COMMENT ON SCHEMA m_play IS '{time.time()}'")
            peer.close()
        else:
            time.sleep(2.5)

    def clean(self) -> str | None:
        """Looks at the databases behind a case, and puts back what it changed. Says whether the one behind the gateway was."""
        changed, self.broken = None, False
        if self.state_of(self.direct) != self.state:
            changed = "the database behind the gateway is not what it was"
            self.broken = self.args.policy == "read" or self.args.policy == "play" and self.direct.rows(HELD)[0][0] != self.held
        if changed or not self.args.alone and self.state_of(self.twin) != self.twin_state:
            if changed:
                self.reset()
            else:
                self.make(self.twin)
                self.twin_state = self.state_of(self.twin)
                found = self.twin.rows("SELECT n.nspname || '.' || proname, p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE n.nspname ~ '^(m_|mirror_)'")
                self.functions[self.twin.database] = {row[0].decode(): int(row[1]) for row in found}
        return changed

    def run(self, case: dict) -> list[Finding]:
        found: list[Finding] = []
        compare, unnamed = not self.args.alone, set()
        trace: list[str] = []
        through: list[Peer] = []
        beside: list[Peer] = []
        try:
            for _ in range(2 if case.get("others") else 1):
                through.append(self.gateway(case["options"]))
                if compare:
                    beside.append(self.plain(self.args.twin, case["options"]))
            for number, one in enumerate(case["rounds"]):
                who, cancel = one.get("who", 0), one.get("cancel")
                ours, theirs = through[who], beside[who] if beside else None
                self.messages += len(one["messages"])
                before = len(ours.heard)
                try:
                    ours.send(one["messages"], one["pace"], self.functions.get(self.direct.database, {}), cancel)
                    got = ours.answers(one["messages"])
                except Late:
                    found.append(Finding("hang", "an answer that is owed did not come", f"round {number}"))
                    break
                except (Gone, OSError) as error:
                    if theirs and compare and self.drops(theirs, one):
                        break
                    found.append(Finding("dropped", f"{error} {last_error(ours.heard[before:])}", f"round {number}"))
                    break
                finally:
                    leaked = NEEDLES.search(bytes(ours.heard[before:]))
                    if leaked:
                        around = bytes(ours.heard[before:])[max(0, leaked.start() - 60):leaked.end() + 40]
                        found.append(Finding("leak", repr(around), f"round {number}"))
                trace += [f"{who} {message} -> {answers}" for message, answers in zip(one["messages"], got)]
                if compare:
                    told = [failing(message) if refused(message, answers) else message for message, answers in zip(one["messages"], got)]
                    if any(message[0] == "Q" and answers[:1] and answers[0][0] == "E" for message, answers in zip(one["messages"], got)):
                        unnamed.add(who)
                    for message, answers in zip(one["messages"], got):
                        if refused(message, answers):
                            kind = "refused" if case["honest"] else "refused-dark"
                            found.append(Finding(kind, words(answers[0][1]), f"round {number}: {message} {answers[0][1]}"))
                    theirs.send(told, one["pace"], self.functions.get(self.twin.database, {}), cancel)
                    wanted = theirs.answers(told)
                    # What is cancelled where it runs is not the same twice.
                    if cancel is not None and any(a[0] == "E" and a[1].startswith("57014") for some in got + wanted for a in some):
                        compare = False
                        continue
                    difference = self.compare(told, got, wanted, case["honest"], who in unnamed)
                    if difference:
                        compare = False
                        difference.where = f"round {number}: {difference.where}"
                        found.append(difference)
        except (Late, Gone) as error:
            found.append(Finding("rig", f"{type(error).__name__} {error}"))
        finally:
            for peer in through + beside:
                peer.close()
        changed = self.clean()
        if changed and self.broken:
            found.append(Finding("write", changed))
        self.trace = trace
        return found

    def drops(self, theirs: Peer, one: dict) -> bool:
        """Whether the server ends a session for this, too."""
        try:
            theirs.send(one["messages"], one["pace"], self.functions.get(self.twin.database, {}))
            theirs.answers(one["messages"])
        except (Gone, OSError):
            return True
        return False

    @staticmethod
    def compare(messages: list, got: list, wanted: list, honest: bool, unnamed: bool) -> Finding | None:
        for message, ours, theirs in zip(messages, got, wanted):
            if message[-1] == REFUSED and ours[:1] and ours[0][0] == theirs[0][0] == "E" and ours[1:] == theirs[1:]:
                continue
            if len(ours) == len(theirs) and all(alike(a, b) for a, b in zip(ours, theirs)):
                continue
            # It is refused before it has begun to answer.
            if ours[0][0] == "E" and theirs[-2:-1] and theirs[-2][0] == "E" and alike(ours[0], theirs[-2]):
                continue
            if unnamed and "".join(str(b[1]) for b in theirs if b[0] == "E").startswith(("26000 unnamed", '34000 portal "" ')):
                return Finding("unnamed", "a refused Query keeps the unnamed statement")
            # What came of two statements that ran at the same time as time runs out.
            if any(a[0] == "E" and a[1].startswith(("57014", "55P03")) for a in ours + theirs):
                return Finding("timing", "")
            pair = next(((a, b) for a, b in zip(ours, theirs) if not alike(a, b)), None)
            error = next((a[1] for a in ours if a[0] == "E"), None)
            theirs_error = next((b[1] for b in theirs if b[0] == "E"), None)
            where = f"{message} ours {short(ours)} theirs {short(theirs)}"
            if error and error != theirs_error:
                code = f" instead of {theirs_error[:5]}" if theirs_error else ""
                return Finding("refused" if honest else "refused-dark", words(error) + code, where)
            return Finding("different", f"{message[0]}: {short(pair)}" if pair else f"{message[0]}: another number of answers", where)
        return None


# Where the gateway stands in for a message that it refuses, the server gets one that certainly fails.
REFUSED = "/* refused */ refused"
OURS = re.compile(
    r"Decision s|code that may change settings|a transaction that (began|reads)|names that open cursors|reserved for the gateway"
    r"|Bind it again; of a cursor|not valid UTF-8 where the server cuts|is not supported"
)


def refused(message: list, answers: list) -> bool:
    """Whether the gateway answered by itself. What it cannot find it says in the server's words, before anything of its message ran."""
    if not answers or answers[0][0] != "E":
        return False
    return OURS.search(answers[0][1]) is not None or message[0] == "Q" and ";" in message[1]


def failing(message: list) -> list:
    if message[0] in "QF":
        return ["Q", REFUSED]
    return ["P", message[1] if message[0] == "P" else "refused", REFUSED]


def short(value) -> str:
    shown = repr(value)
    return shown if len(shown) < 400 else shown[:400] + "…"


def words(error: str) -> str:
    return re.sub(r'"[^"]*"|\b\d+\b', "…", re.sub(r" / Decision.*| Refused \d+ times.*", "", error))


def last_error(heard: bytes) -> str:
    at = heard.rfind(b"SFATAL")
    return said_of(bytes(heard[at:at + 400])) if at >= 0 else ""


FAILURES = ("leak", "write", "hang", "dropped", "different")


def smaller(runner: Runner, case: dict, kind: str) -> dict:
    """Drops rounds, then messages, as long as it fails in the same way."""
    def fails(candidate: dict) -> bool:
        return any(finding.kind == kind for finding in runner.run(candidate))

    until = time.monotonic() + runner.args.shrink
    again = True
    while again and time.monotonic() < until:
        again = False
        for number in reversed(range(len(case["rounds"]))):
            candidate = {**case, "rounds": case["rounds"][:number] + case["rounds"][number + 1:]}
            if candidate["rounds"] and fails(candidate):
                case, again = candidate, True
        for number, one in enumerate(case["rounds"]):
            for at in reversed(range(len(one["messages"]) - 1)):
                if time.monotonic() > until:
                    return case
                messages = case["rounds"][number]["messages"]
                if at >= len(messages) - 1:
                    continue
                rounds = list(case["rounds"])
                rounds[number] = {**one, "messages": messages[:at] + messages[at + 1:]}
                if at < one.get("cancel", 0):
                    rounds[number]["cancel"] = one["cancel"] - 1
                if fails({**case, "rounds": rounds}):
                    case, again = {**case, "rounds": rounds}, True
        for number, one in enumerate(case["rounds"]):
            for at, message in enumerate(case["rounds"][number]["messages"]):
                if message[0] != "Q" or ";" not in message[1]:
                    continue
                texts = [part.strip() for part in message[1].split(";")]
                for drop in reversed(range(len(texts))):
                    fewer = texts[:drop] + texts[drop + 1:]
                    messages = list(case["rounds"][number]["messages"])
                    messages[at] = ["Q", "; ".join(fewer)]
                    rounds = list(case["rounds"])
                    rounds[number] = {**rounds[number], "messages": messages}
                    if fewer and time.monotonic() < until and fails({**case, "rounds": rounds}):
                        case, again, texts = {**case, "rounds": rounds}, True, fewer
    return case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7432, help="where the gateway serves PostgreSQL's protocol")
    parser.add_argument("--target", default="mirror_a")
    parser.add_argument("--policy", choices=["read", "play", "all"], default="read")
    parser.add_argument("--token", default="")
    parser.add_argument("--token-file")
    parser.add_argument("--superuser", default="postgres")
    parser.add_argument("--direct", required=True, help="HOST:PORT/DATABASE behind the gateway, for a superuser without a password")
    parser.add_argument("--twin", required=True, help="another database of the same server")
    parser.add_argument("--setup", action="store_true", help="make the schemas and end")
    parser.add_argument("--reset", action="store_true", help="make the schemas anew first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=55, help="stop after so long")
    parser.add_argument("--honest", type=float, default=0.3, help="the share of cases that name nothing tagged")
    parser.add_argument("--alone", action="store_true", help="look for leaks and writes alone, without the twin: faster")
    parser.add_argument("--shrink", type=float, default=20, help="seconds for making a failing case smaller")
    parser.add_argument("--replay", help="a case as it was printed, in a file; with its answers")
    parser.add_argument("--out", help="append failing cases here, one JSON object a line")
    parser.add_argument("--log", help="the gateway's log: a panic in it fails")
    parser.add_argument("--refusals", action="store_true", help="list why honest cases were refused")
    args = parser.parse_args()

    if args.setup:
        for where in (args.direct, args.twin):
            address, database = where.split("/")
            host, port = address.split(":")
            Peer((host, int(port)), args.superuser, database).rows(setup_sql())
        return 0
    runner = Runner(args)
    if args.replay:
        case = json.load(open(args.replay))
        found = runner.run(case.get("case", case))
        print("\n".join(runner.trace))
        for finding in found:
            print(finding)
        return int(any(finding.kind in FAILURES for finding in found))

    counts: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    examples: dict[str, str] = {}
    until = time.monotonic() + args.seconds
    cases = failed = 0
    for place in range(args.count):
        if time.monotonic() > until:
            break
        random_ = random.Random(f"{args.seed}/{place}/{args.policy}")
        case = Maker(random_, args.policy, random_.random() < args.honest).case()
        found = runner.run(case)
        cases += 1
        for finding in found:
            counts[finding.kind] += 1
            if finding.kind in ("refused", "refused-dark"):
                reason = f"{finding.kind} {finding.what}"
                refusals[reason] += 1
                examples.setdefault(reason, f"{args.seed}/{place} {finding.where}")
            if finding.kind in FAILURES:
                failed += 1
                known = f"{finding.kind} {words(finding.what)[:60]}"
                refusals[known] += 1
                if refusals[known] > 3:
                    break
                print(f"== {finding.kind} at {args.seed}/{place}: {finding.what[:300]} {finding.where[:600]}")
                least = smaller(runner, case, finding.kind)
                print("   " + json.dumps(least), flush=True)
                if args.out:
                    with open(args.out, "a") as out:
                        out.write(json.dumps({"kind": finding.kind, "target": args.target, "seed": f"{args.seed}/{place}", "what": finding.what, "case": least}) + "\n")
                break
    if args.log and "panicked" in open(args.log, errors="replace").read():
        print("== the gateway panicked")
        failed += 1
    print(f"{cases} cases, {runner.messages} messages, {failed} failed: {dict(counts)}")
    if args.refusals:
        for reason, count in refusals.most_common(60):
            print(f"{count:5} {reason[:300]}\n        {examples.get(reason, '')[:700]}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
