#!/usr/bin/env python3
"""Random queries to three databases through a gateway. Two of them differ in tagged values alone: whoever may not see those must not be
able to tell them apart, by rows, their order, errors or notices. The third is a copy of the first: what differs there, too, is not of
tagged values.

    twins.py --port 7432 --targets twin_a,twin_b,twin_c --token-file T --direct 127.0.0.1:5432 --superuser postgres --setup
    twins.py … --seed 1 --count 2000

`--setup` makes the tables in databases of the targets' names and ends. Policy must permit reads, and writes in the schema `pads`, and forbid
`reveal`, `probe` and `unknown`; the columns in TAGGED must be tagged.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import Counter

from psycopg import pq

# As the target's configuration tags them.
TAGGED = ["people.email", "people.salary", "people.born", "people.notes", "people.good", "people.score", "people.words", "people.mood",
          "teams.budget", "teams.motto"]
# Where anything may be written.
PAD = {"a": "text", "b": "int4", "c": "int8", "d": "jsonb", "e": "numeric"}

TABLES = """
CREATE TYPE mood AS ENUM ('bad', 'so so', 'good');
CREATE TABLE people (id int PRIMARY KEY, name text, email text, salary int, born date, notes jsonb, good bool, score numeric, words text[],
    mood mood, team int, city text, since timestamp, plain jsonb);
CREATE TABLE teams (id int PRIMARY KEY, title text, budget int8, motto text, head int);
CREATE VIEW seen AS SELECT id, lower(email) AS mail, salary + 1 AS pay, city FROM people;
CREATE VIEW sums AS SELECT team, count(*) AS n, max(salary) AS pay, bool_or(good) AS any_good FROM people GROUP BY team;
CREATE VIEW mixed AS SELECT p.*, t.title, t.motto FROM people p LEFT JOIN teams t ON t.id = p.team;
CREATE FUNCTION pay_of(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT salary FROM people WHERE id = $1';
CREATE FUNCTION mail_of(people) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.email';
CREATE FUNCTION city_of(people) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.city';
CREATE FUNCTION staff(int) RETURNS SETOF people LANGUAGE sql STABLE AS 'SELECT * FROM people WHERE team = $1';
CREATE SCHEMA pads;
CREATE TABLE pads.pad (a text, b int4, c int8, d jsonb, e numeric);
CREATE FUNCTION rich() RETURNS TABLE (who text, pay int) LANGUAGE plpgsql STABLE AS 'BEGIN RETURN QUERY SELECT name, salary FROM people; END';
"""
# What is written is taken back, and leaves dead rows.
FRESH = """TRUNCATE pads.pad;
INSERT INTO pads.pad VALUES ('a', 1, 1, '{"a": 1}', 1.5), ('b', 2, 2, NULL, 0), ('city1', 5, 3, '[1]', 9.75); ANALYZE pads.pad"""
ROWS, TEAMS = 24, 5


def rows(secrets: random.Random) -> list[str]:
    """The same but for what is tagged; the same values are NULL, and all take as many bytes: plans tell of widths."""
    out, open_ = [], random.Random("open")
    for i in range(1, ROWS + 1):
        null = [open_.random() < 0.15 for _ in range(8)]
        cells = [
            f"'{''.join(secrets.choice('abcdxyz') for _ in range(8))}@x.org'", str(secrets.choice([0, 1, 5, 20, 300, 4000, -7])),
            f"'{secrets.randint(1950, 2010)}-{secrets.randint(1, 12):02}-{secrets.randint(1, 28):02}'",
            f"""'{{"a": {secrets.randint(1, 9)}, "b": "{secrets.choice("xyz")}"}}'""", secrets.choice(["true", "false"]),
            str(secrets.choice([3.25, 1.5, 2.5, 9.75])), f"ARRAY['{secrets.choice('pqr')}', '{secrets.choice('stu')}']",
            f"'{secrets.choice(['bad', 'so so', 'good'])}'",
        ]
        tagged = ", ".join("NULL" if n else cell for n, cell in zip(null, cells))
        out.append(f"INSERT INTO people VALUES ({i}, 'name{i % 7}', {tagged}, {open_.randint(1, TEAMS)}, 'city{open_.randint(1, 4)}', "
                   f"timestamp '2024-01-01' + interval '{i} days', '{{\"k\": {i % 3}}}')")
    for i in range(1, TEAMS + 1):
        out.append(f"INSERT INTO teams VALUES ({i}, 'team{i}', {secrets.randint(0, 9)}, '{''.join(secrets.choice('ab ') for _ in range(6))}', {i})")
    return out + ["ANALYZE people, teams"]


ITEMS = {
    "people": {"id": "int4", "name": "text", "email": "text", "salary": "int4", "born": "date", "notes": "jsonb", "good": "bool",
               "score": "numeric", "words": "text[]", "mood": "mood", "team": "int4", "city": "text", "since": "timestamp", "plain": "jsonb"},
    "teams": {"id": "int4", "title": "text", "budget": "int8", "motto": "text", "head": "int4"},
    "seen": {"id": "int4", "mail": "text", "pay": "int4", "city": "text"},
    "sums": {"team": "int4", "n": "int8", "pay": "int4", "any_good": "bool"},
}
ITEMS["pads.pad"] = PAD
ITEMS["mixed"] = {**ITEMS["people"], "title": "text", "motto": "text"}
SECRET = {name.split(".")[1] for name in TAGGED} | {"mail", "pay", "any_good"}
LITERALS = {
    "int4": ["0", "1", "2", "5", "-7", "300", "NULL::int4"], "int8": ["0::int8", "3::int8"], "text": ["'a'", "''", "'%a%'", "'city2'", "'1'"],
    "bool": ["true", "false", "NULL::bool"], "numeric": ["1.5", "0.0"], "float8": ["1.0::float8"], "date": ["date '2000-01-01'"],
    "timestamp": ["timestamp '2024-01-05'"], "jsonb": ["'{\"a\": 1}'::jsonb", "'[1]'::jsonb"], "text[]": ["ARRAY['p', 's']"],
    "int4[]": ["ARRAY[1, 2]"], "interval": ["interval '1 day'"], "mood": ["'good'::mood"], "bytea": ["'\\x61'::bytea"],
}
TYPES = list(LITERALS)
# What differs by itself from one database or moment to another, takes long, or is of no type here.
LEFT_OUT = re.compile(r"now|timestamp$|timeofday|pg_|txid|current_|inet_|version|random|repeat|pad$|setseed|sleep|has_|generate_series|lo_|row_security"
                      r"|to_xml|_input|_output|in$|out$|recv$|send$|getpgusername|session_user|query_to|cursor_to|stat_|system_user|convert|ts_stat|^uuid|gen_")


class Maker:
    """One statement after the other; each uses tagged columns in few places, since most of what mixes them is refused."""

    def __init__(self, dice: random.Random, calls: dict[str, list[tuple[str, list[str]]]], aggregates: dict[str, list[tuple[str, list[str]]]]) -> None:
        self.r, self.calls, self.aggregates = dice, calls, aggregates
        self.names = self.budget = 0

    def lucky(self, chance: float) -> bool:
        return self.r.random() < chance

    def name(self) -> str:
        self.names += 1
        return f"x{self.names}"

    # A scope is a list of (alias, columns with their types and whether they are secret, whether the alias is a row).

    def item(self, depth: int) -> tuple[str, str, dict[str, tuple[str, bool]]]:
        alias = self.name()
        kind = self.r.random()
        if depth > 0 and kind < 0.25:
            query, columns = self.select(depth - 1, [])
            lateral = "LATERAL " if self.lucky(0.2) else ""
            return f"{lateral}({query}) AS {alias}", alias, columns
        if kind < 0.32:
            return f"staff({self.r.randint(1, TEAMS)}) AS {alias}", alias, {c: (t, c in SECRET) for c, t in ITEMS["people"].items()}
        if kind < 0.36:
            return f"rich() AS {alias}", alias, {"who": ("text", False), "pay": ("int4", True)}
        if kind < 0.40:
            return f"generate_series(1, 3) AS {alias}(n)", alias, {"n": ("int4", False)}
        table = self.r.choice(list(ITEMS))
        sample = f" TABLESAMPLE SYSTEM (100)" if table in ("people", "teams") and self.lucky(0.03) else ""
        return f"{table} AS {alias}{sample}", alias, {c: (t, c in SECRET) for c, t in ITEMS[table].items()}

    def columns(self, scope: list, of: str | None, secret: bool) -> list[tuple[str, str]]:
        return [(f"{alias}.{column}", type_) for alias, columns in scope for column, (type_, is_secret) in columns.items()
                if is_secret == secret and of in (None, type_)]

    def column(self, scope: list, of: str) -> str | None:
        secret = self.budget > 0 and self.lucky(0.2)
        found = self.columns(scope, of, secret) or (self.columns(scope, of, True) if self.budget > 0 and self.lucky(0.1) else [])
        if not found:
            return None
        chosen = self.r.choice(found)[0]
        self.budget -= chosen.split(".")[1] in SECRET
        return chosen

    def expression(self, of: str, scope: list, depth: int) -> str:
        kind = self.r.random()
        if depth <= 0 or kind < 0.3:
            return self.lucky(0.8) and self.column(scope, of) or self.r.choice(LITERALS[of])
        deeper = lambda type_: self.expression(type_, scope, depth - 1)
        if kind < 0.36:
            return f"CASE WHEN {deeper('bool')} THEN {deeper(of)} ELSE {deeper(of)} END"
        if kind < 0.42:
            return f"{self.r.choice(['coalesce', 'nullif', 'greatest', 'least'])}({deeper(of)}, {deeper(of)})"
        if kind < 0.46:
            query, _ = self.select(depth - 1, scope, [of])
            return f"({query} LIMIT 1)"
        if kind < 0.5:
            query, _ = self.select(depth - 1, scope, [of])
            return f"(ARRAY({query}))[{self.r.randint(1, 3)}]" if not of.endswith("[]") else self.r.choice(LITERALS[of])
        if kind < 0.56 and of in ("text", "int4", "int8", "numeric", "date", "bool", "jsonb"):
            other = self.r.choice(TYPES)
            if of == "text":
                return f"({deeper(other)})::text"
            if of == "jsonb":
                return f"to_jsonb({deeper(other)})"
            pairs = {"int4": "int8", "int8": "int4", "numeric": "int4", "date": "timestamp", "bool": "int4"}
            return f"({deeper(pairs[of])})::{of}"
        if kind < 0.6 and scope and self.budget > 0 and self.lucky(0.3):
            self.budget -= 1
            alias, columns = self.r.choice(scope)
            if of == "text":
                return self.r.choice([f"{alias}::text", f"row_to_json({alias})::text", f"format('%s', {alias})"])
            if of == "jsonb":
                return f"to_jsonb({alias})"
            if of == "int8":
                return f"(SELECT count({alias}) FROM teams)"
        if of == "bool" and kind < 0.85:
            return self.condition(scope, depth)
        if kind < 0.7 and of in self.aggregates:
            call, types = self.r.choice(self.aggregates[of])
            over = self.r.choice(["() OVER ()", f"() OVER (ORDER BY {deeper('int4')})", f"() OVER (PARTITION BY {deeper('text')})", " FILTER"])
            arguments = ", ".join(deeper(t) for t in types) or "*"
            if over == " FILTER":
                from_, alias, columns = self.item(0)
                inner = [*scope, (alias, columns)]
                arguments = ", ".join(self.expression(t, inner, depth - 1) for t in types) or "*"
                order = f" ORDER BY {self.expression('int4', inner, depth - 1)}" if self.lucky(0.2) and types else ""
                return f"(SELECT {call}({arguments}{order}) FILTER (WHERE {self.expression('bool', inner, depth - 1)}) FROM {from_})"
            return f"{call}({arguments}){over[2:]}"
        if of in self.calls:
            call, types = self.r.choice(self.calls[of])
            return call % tuple(deeper(t) for t in types)
        return self.r.choice(LITERALS[of])

    def condition(self, scope: list, depth: int) -> str:
        of = self.r.choice(TYPES[:7])
        deeper = lambda type_: self.expression(type_, scope, depth - 1)
        kind = self.r.randint(0, 11)
        if kind == 0:
            return f"{deeper(of)} IS {self.r.choice(['', 'NOT '])}NULL"
        if kind == 1:
            query, _ = self.select(depth - 1, scope, [of])
            return f"{deeper(of)} {self.r.choice(['IN', 'NOT IN', '= ANY', '= ALL'])} ({query})"
        if kind == 2:
            query, _ = self.select(depth - 1, scope)
            return f"EXISTS ({query})"
        if kind == 3:
            return f"{deeper('text')} {self.r.choice(['LIKE', '~', '^@', 'ILIKE', 'SIMILAR TO'])} {deeper('text')}"
        if kind == 4:
            return f"{deeper(of)} BETWEEN {deeper(of)} AND {deeper(of)}"
        if kind == 5:
            return f"({deeper(of)}, {deeper('int4')}) {self.r.choice(['=', '<', 'IS DISTINCT FROM'])} ({deeper(of)}, {deeper('int4')})"
        if kind == 6:
            return f"{self.r.choice(['NOT ', ''])}({deeper('bool')} {self.r.choice(['AND', 'OR'])} {deeper('bool')})"
        if kind == 7 and scope:
            return f"{self.r.choice(scope)[0]} IS {self.r.choice(['', 'NOT '])}NULL"
        if kind == 8:
            return f"{deeper('bool')} IS {self.r.choice(['TRUE', 'NOT FALSE', 'UNKNOWN'])}"
        if kind == 9:
            return f"{deeper(of)} IS {self.r.choice(['', 'NOT '])}DISTINCT FROM {deeper(of)}"
        return f"{deeper(of)} {self.r.choice(['=', '<>', '<', '>='])} {deeper(of)}"

    def select(self, depth: int, outer: list, wanted: list[str] | None = None) -> tuple[str, dict[str, tuple[str, bool]]]:
        """A query, and the columns of its result. They are secret where they may hold what is tagged."""
        from_, alias, columns = self.item(depth)
        scope, froms = [(alias, columns)], [from_]
        if self.lucky(0.3):
            more, other, theirs = self.item(max(depth - 1, 0))
            both = [(alias, columns), (other, theirs)]
            how = self.r.choice([", ", "JOIN", "LEFT JOIN", "FULL JOIN", "CROSS JOIN", "NATURAL JOIN"])
            if how == ", ":
                froms.append(more)
            elif how in ("CROSS JOIN", "NATURAL JOIN"):
                froms = [f"{from_} {how} {more}"]
            else:
                pairs = [(a, b) for a, t in self.columns([both[0]], None, False) for b, u in self.columns([both[1]], None, False) if t == u]
                on = " = ".join(self.r.choice(pairs)) if pairs and self.lucky(0.7) else self.expression("bool", both, 1)
                froms = [f"{from_} {how} {more} ON {on}"]
            scope = both
        full = [*outer, *scope]
        listed, result = [], {}
        for of in wanted or [self.r.choice(TYPES[:9]) for _ in range(self.r.randint(1, 3))]:
            name = self.name()
            before = self.budget
            plain = self.columns(scope, of if wanted else None, True) if self.budget > 0 and self.lucky(0.5) else []
            if plain:
                text, of = self.r.choice(plain)
                self.budget -= 1
            else:
                text = self.expression(of, full, depth)
            listed.append(f"{text} AS {name}")
            result[name] = (of, before != self.budget)
        star = wanted is None and not outer and depth <= 0 and self.lucky(0.3)
        if star:
            listed = [self.r.choice(["*", f"{alias}.*"])]
            result = dict(columns)
        text = f"SELECT {'DISTINCT ' if self.lucky(0.06) else ''}{', '.join(listed)} FROM {', '.join(froms)}"
        if self.lucky(0.45):
            text += f" WHERE {self.expression('bool', full, depth)}"
        if self.lucky(0.08) and not star:
            text += f" GROUP BY {', '.join(str(n + 1) for n in range(len(listed)))}"
            if self.lucky(0.4):
                text += f" HAVING count(*) > {self.r.randint(0, 2)}"
        if self.lucky(0.2):
            ordered = self.columns(scope, None, self.budget > 0 and self.lucky(0.2))
            by = self.r.choice(ordered)[0] if ordered and self.lucky(0.7) else "1"
            text += f" ORDER BY {by}{self.r.choice(['', ' DESC', ' NULLS FIRST'])}"
            if self.lucky(0.3):
                text += f" LIMIT {self.r.choice(['3', self.expression('int8', [], 0)])}"
        return text, result

    def write(self, depth: int) -> str:
        """Something that is written in the open, of what may be tagged."""
        into = self.r.sample(list(PAD), self.r.randint(1, 3))
        alias, target = self.name(), ("pad", {c: (t, False) for c, t in PAD.items()})
        from_, item, columns = self.item(depth)
        scope = [target, (item, columns)]
        returning = f" RETURNING {self.expression(self.r.choice(list(PAD.values())), [target], 1)}, pad.*" if self.lucky(0.3) else ""
        kind = self.r.randint(0, 3)
        if kind == 0:
            query, _ = self.select(depth, [], [PAD[c] for c in into])
            return f"INSERT INTO pads.pad ({', '.join(into)}) {query}{returning}"
        sets = ", ".join(f"{c} = {self.expression(PAD[c], scope, depth)}" for c in into)
        if kind == 1:
            return f"UPDATE pads.pad SET {sets} FROM {from_} WHERE {self.expression('bool', scope, depth)}{returning}"
        if kind == 2:
            return f"DELETE FROM pads.pad USING {from_} WHERE {self.expression('bool', scope, depth)}{returning}"
        query, _ = self.select(depth, [], ["int4", "text"])
        return (f"MERGE INTO pads.pad USING ({query}) AS {alias}(n, t) ON pad.b = {alias}.n WHEN MATCHED THEN UPDATE SET a = {alias}.t"
                f" WHEN NOT MATCHED THEN INSERT (a, b) VALUES ({alias}.t, {alias}.n)")

    def statements(self) -> list[str]:
        """What is sent one after the other; what writes is taken back."""
        self.names, self.budget = 0, self.r.choice([1, 1, 1, 2, 2, 3])
        depth = self.r.choice([0, 1, 1, 2, 2, 3])
        kind = self.r.random()
        if kind < 0.08:
            wanted = [self.r.choice(TYPES[:6])]
            (a, _), (b, _) = self.select(depth, [], wanted), self.select(depth, [], wanted)
            return [f"({a}) {self.r.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT ALL'])} ({b})"]
        if kind < 0.18:
            query, columns = self.select(depth, [])
            ITEMS["cte"] = {c: t for c, (t, _) in columns.items()}
            hidden = {c for c, (_, secret) in columns.items() if secret}
            SECRET.update(hidden)
            try:
                outer, _ = self.select(1, [])
            finally:
                del ITEMS["cte"]
                SECRET.difference_update(hidden)
            return [f"WITH cte AS {self.r.choice(['', 'MATERIALIZED '])}({query}) {outer}"]
        if kind < 0.33:
            return ["BEGIN", self.write(depth), "TABLE pads.pad", "ROLLBACK"]
        query, _ = self.select(depth, [])
        if kind < 0.35:
            return [f"EXPLAIN {self.r.choice(['', '(VERBOSE, COSTS OFF) '])}{query}"]
        if kind < 0.38:
            return [f"COPY ({query}) TO STDOUT"]
        if kind < 0.41:
            return ["BEGIN", f"DECLARE c CURSOR FOR {query}", "FETCH 2 FROM c", "MOVE 1 FROM c", "FETCH ALL FROM c", "ROLLBACK"]
        if kind < 0.43:
            return [f"PREPARE s AS {query}", "EXECUTE s", "DEALLOCATE ALL"]
        return [query]


# ---------------------------------------------------------------- asking

class Asked:
    """One session."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo, self.notices = conninfo, []
        self.open()

    def open(self) -> None:
        self.connection = pq.PGconn.connect(self.conninfo.encode())
        if self.connection.status != pq.ConnStatus.OK:
            raise SystemExit(self.connection.error_message.decode(errors="replace"))
        self.connection.notice_handler = lambda result: self.notices.append(said(result))

    def asks(self, statements: list[str], binary: bool) -> tuple:
        return tuple(self.ask(sql, binary) for sql in statements)

    def ask(self, sql: str, binary: bool = False) -> tuple:
        self.notices.clear()
        if binary:
            result = self.connection.exec_params(sql.encode(), None, result_format=1)
        else:
            result = self.connection.exec_(sql.encode())
        if result.status == pq.ExecStatus.COPY_OUT:
            lines = []
            while (got := self.connection.get_copy_data(0))[0] > 0:
                lines.append(bytes(got[1]))
            result = self.connection.get_result()
            while self.connection.get_result():
                pass
            return ("copied", tuple(lines), said(result) if result else "", tuple(self.notices))
        if self.connection.status != pq.ConnStatus.OK:
            words = self.connection.error_message.decode(errors="replace")
            self.connection.finish()
            self.open()
            return ("dropped", words)
        if result.status == pq.ExecStatus.FATAL_ERROR:
            return ("failed", said(result), tuple(self.notices))
        values = tuple(tuple(result.get_value(r, c) for c in range(result.nfields)) for r in range(result.ntuples))
        return ("rows", result.command_status, values, tuple(self.notices))


def said(result: pq.PGresult) -> str:
    fields = [pq.DiagnosticField.SQLSTATE, pq.DiagnosticField.MESSAGE_PRIMARY, pq.DiagnosticField.MESSAGE_DETAIL,
              pq.DiagnosticField.MESSAGE_HINT, pq.DiagnosticField.CONTEXT, pq.DiagnosticField.STATEMENT_POSITION]
    words = " / ".join((result.error_field(field) or b"").decode(errors="replace") for field in fields)
    return re.sub(r"Decision \S+|twin_[abc]|Refused \d+ times\S*", "", words)


def calls_of(direct: Asked) -> tuple[dict, dict]:
    """Functions, operators and aggregates of the server's own, by the type of what they return."""
    calls: dict[str, list] = {}
    aggregates: dict[str, list] = {}
    names = {"integer": "int4", "bigint": "int8", "boolean": "bool", "double precision": "float8", "timestamp without time zone": "timestamp",
             "integer[]": "int4[]", "anyelement": "int4", "anycompatible": "text", "anyarray": "text[]", "anycompatiblearray": "text[]"}
    known = lambda type_: names.get(type_, type_)
    _, _, found, _ = direct.ask(
        "SELECT proname, prokind, (SELECT string_agg(format_type(t, NULL), ';' ORDER BY n) FROM unnest(proargtypes) WITH ORDINALITY AS u(t, n)),"
        " format_type(prorettype, NULL) FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a', 'w')"
        " AND provolatile <> 'v' AND NOT proretset AND provariadic = 0 ORDER BY oid")
    for name, kind, arguments, returned in ((c.decode() if c else "" for c in row) for row in found):
        types, of = [known(t) for t in arguments.split(";") if t], known(returned)
        if LEFT_OUT.search(name) or of not in LITERALS or any(t not in LITERALS for t in types):
            continue
        if kind == "a":
            aggregates.setdefault(of, []).append((name, types))
        elif kind == "f" and types:
            calls.setdefault(of, []).append((f"{name}({', '.join(['%s'] * len(types))})", types))
    _, _, found, _ = direct.ask("SELECT oprname, format_type(nullif(oprleft, 0), NULL), format_type(oprright, NULL), format_type(oprresult, NULL)"
                                " FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprright <> 0 ORDER BY oid")
    for name, left, right, returned in ((c.decode() if c else "" for c in row) for row in found):
        types, of = [known(t) for t in (left, right) if t and t != "-"], known(returned)
        if of in LITERALS and all(t in LITERALS for t in types):
            written = name.replace("%", "%%")
            calls.setdefault(of, []).append((f"(%s {written} %s)" if len(types) == 2 else f"({written} %s)", types))
    for of in ("int4", "text"):
        own = {"int4": ["pay_of(%s)"], "text": []}[of]
        calls.setdefault(of, []).extend((call, ["int4"]) for call in own)
    return calls, aggregates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True, help="where the gateway serves PostgreSQL's protocol, at 127.0.0.1")
    parser.add_argument("--targets", default="twin_a,twin_b,twin_c", help="the first, its twin, and the copy of the first")
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--direct", required=True, help="HOST:PORT of the server, for a superuser without a password")
    parser.add_argument("--superuser", default="postgres")
    parser.add_argument("--setup", action="store_true", help="make the tables and end")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600, help="stop after so long")
    parser.add_argument("--ask", help="ask this alone, and print the answers")
    parser.add_argument("--refusals", action="store_true", help="print what was refused or failed, and why")
    args = parser.parse_args()
    host, port = args.direct.split(":")
    targets = args.targets.split(",")
    direct = [Asked(f"host={host} port={port} user={args.superuser} dbname={name} sslmode=disable") for name in targets]
    if args.setup:
        for one, seed in zip(direct, ["first", "second", "first"]):
            for made in [TABLES, *rows(random.Random(seed))]:
                answer = one.ask(made)
                if answer[0] != "rows":
                    raise SystemExit(f"{made}: {answer}")
        return 0
    token = open(args.token_file).read().strip()
    through = [Asked(f"host=127.0.0.1 port={args.port} user=bot password={token} dbname={name} sslmode=disable options='-c statement_timeout=5s'")
               for name in targets]
    if args.ask:
        for one in through + direct:
            print(one.ask(args.ask))
        return 0
    calls, aggregates = calls_of(direct[0])
    counts: Counter[str] = Counter()
    until = time.monotonic() + args.seconds
    for place in range(args.count):
        if time.monotonic() > until:
            break
        if place % 500 == 0:
            for one in direct:
                one.ask(FRESH)
        dice = random.Random(f"{args.seed}/{place}")
        said = Maker(dice, calls, aggregates).statements()
        binary = dice.random() < 0.2 and not said[0].startswith("COPY")
        first, twin = through[0].asks(said, binary), through[1].asks(said, binary)
        kind = "rows"
        for answer in first:
            if answer[0] == "failed":
                kind = "refused" if answer[1].startswith("42501") else "failed"
                if args.refusals:
                    print(kind, answer[1][:160], "|", "; ".join(said)[:200])
                break
            kind = "dropped" if answer[0] == "dropped" else kind
        counts[kind] += 1
        if kind == "rows" and first != direct[0].asks(said, binary):
            counts["masked"] += 1
        if first == twin:
            continue
        # Times, and what else is another in each database.
        if first == through[2].asks(said, binary) == through[0].asks(said, binary):
            counts["told apart"] += 1
            pairs = "".join(f"\n   {a}\n   {b}" for a, b in zip(first, twin) if a != b)
            print(f"== told apart at {args.seed}/{place}: {'; '.join(said)}{pairs}", flush=True)
        else:
            counts["differs by itself"] += 1
            if args.refusals:
                print("differs by itself", "; ".join(said))
    print(dict(counts))
    return int(counts["told apart"] > 0 or counts["dropped"] > 0)


if __name__ == "__main__":
    sys.exit(main())
