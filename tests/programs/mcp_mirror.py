"""Whether a statement is answered by the gateway's wire as it was by MCP: the same verdict, columns, masks, rows and tag."""

import json
import re
import threading

from psycopg import pq

# What a statement would do that reads from its client or writes to it beside rows; MCP has nothing for that.
COPIES = {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}

# What says how many sessions there are, what they do and what they take: each way is another one.
OF_SESSIONS = re.compile(r"pg_stat_|pg_locks|pg_backend_", re.IGNORECASE)

# What is longer is cut by MCP, in bytes.
LONG = 16 * 1024


class Mirror:
    def __init__(self, port, target, token, path):
        # As the door calls its own sessions of a client that says no name.
        self.place = f"host=127.0.0.1 port={port} dbname={target} user=agent password={token} application_name=mcp/?".encode()
        self.lock, self.seen, self.out = threading.Lock(), set(), open(path, "w", encoding="utf-8")

    def compare(self, sql, values, result):
        """Notes a difference. The same with the same answer is compared once."""
        told = json.dumps([sql, values, result["structuredContent"]], sort_keys=True)
        with self.lock:
            if told in self.seen or "\0" in sql:
                return
            self.seen.add(told)
        difference = self.difference(sql, values, Answer.of_mcp(result))
        with self.lock:
            self.out.write((json.dumps(difference) if difference else "") + "\n")
            self.out.flush()

    def difference(self, sql, values, by_mcp):
        """None where some way to say it by the wire is answered as it was by MCP, which sends it in parts, or where its answer is
        another each time."""
        if by_mcp.is_of_several:
            return None
        by_wire = [] if values else [self.wire(sql, None)]
        for _ in range(2):
            by_wire.append(self.wire(sql, values))
            if any(by_mcp.is_like(answer) for answer in by_wire):
                return None
        first, second = by_wire[-2:]
        if OF_SESSIONS.search(sql) and by_mcp.code is None and by_mcp.shape()[:2] == first.shape()[:2]:
            return None
        if not first.is_like(second) and first.shape() == second.shape() == by_mcp.shape():
            return None
        return {"sql": sql, "values": values, "mcp": by_mcp.brief(), "wire": first.brief()}

    def wire(self, sql, values):
        """In a session of its own; with values, or as psql does."""
        session = pq.PGconn.connect(self.place)
        try:
            if session.status != pq.ConnStatus.OK:
                return Answer("no session", session.error_message.decode("utf-8", "replace"))
            sql = sql.encode("utf-8", "surrogatepass")
            if values is None:
                return Answer.of_wire(session.exec_(sql))
            values = [None if value is None else value.encode() for value in values]
            return Answer.of_wire(session.exec_params(sql, values))
        finally:
            session.finish()


class Answer:
    """A SQLSTATE and words, or columns, rows (of which there may be more) and a tag."""

    def __init__(self, code=None, words="", columns=(), rows=(), tag="", more=False):
        self.code, self.words, self.columns, self.rows, self.tag, self.more = code, words, list(columns), list(rows), tag, more
        self.is_of_several = code == "42601" and "multiple commands" in words

    @classmethod
    def of_mcp(cls, result):
        data = result["structuredContent"]
        if result.get("isError"):
            # Of what the database said the first is the message.
            return cls(data["code"], data["reason"] if "reason" in data else data["database"][0])
        more = "cursor" in data or data.get("truncated", False)
        return cls(None, "", [column["name"] for column in data.get("columns", [])], data.get("rows", []), data.get("tag", ""), more)

    @classmethod
    def of_wire(cls, result):
        if result.status in COPIES:
            return cls("0A000", "COPY is not possible here")
        if result.status == pq.ExecStatus.FATAL_ERROR:
            field = lambda kind: (result.error_field(kind) or b"").decode("utf-8", "replace")
            return cls(field(pq.DiagnosticField.SQLSTATE), field(pq.DiagnosticField.MESSAGE_PRIMARY))
        text = lambda value: None if value is None else value.decode("utf-8", "replace")
        columns = [text(result.fname(at)) for at in range(result.nfields)]
        rows = [[text(result.get_value(row, at)) for at in range(result.nfields)] for row in range(result.ntuples)]
        return cls(None, "", columns, rows, text(result.command_status) or "")

    def shape(self):
        return self.code, self.columns, len(self.rows)

    def is_like(self, other):
        if (self.code, self.columns) != (other.code, other.columns):
            return False
        if self.code is not None:
            return self.words == other.words
        rows = other.rows[: len(self.rows)] if self.more else other.rows
        if len(rows) != len(self.rows) or not self.more and self.tag != other.tag:
            return False
        return all(len(a) == len(b) and all(map(same, a, b)) for a, b in zip(self.rows, rows))

    def brief(self):
        return [self.code, self.words] if self.code else [self.columns, self.rows[:3], len(self.rows), self.tag]


def same(by_mcp, by_wire):
    """A value as JSON has it, and as the wire has it."""
    if isinstance(by_mcp, bool):
        return by_wire == ("t" if by_mcp else "f")
    if isinstance(by_mcp, str) and isinstance(by_wire, str) and by_mcp.endswith("…") and len(by_wire.encode()) > LONG:
        return by_wire.startswith(by_mcp[:-1])
    if isinstance(by_mcp, (int, float)) and isinstance(by_wire, str):
        return float(by_wire) == float(by_mcp)
    return by_mcp == by_wire
