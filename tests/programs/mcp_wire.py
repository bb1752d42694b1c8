"""A server of PostgreSQL's protocol that sends each statement by MCP's tool `query` and answers with what came: so that whoever
judges a gateway by the wire judges its door for agents by the same statements. What the tool says in words comes along as a notice,
so that nothing of it is left unjudged. Each statement goes by the gateway's wire as well, in a session of its own: where verdict,
columns, rows or tag are others there, that is written to DIFFERENCES, a line of JSON each, behind a line for each statement that
was compared, which is empty.

    mcp_wire.py PORT DOOR_PORT TARGET TOKEN WIRE_PORT DIFFERENCES
"""

import json
import socketserver
import struct
import sys
import time
import urllib.request

from mcp_mirror import Mirror

PORT, DOOR, TARGET, TOKEN = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
MIRROR = Mirror(int(sys.argv[5]), TARGET, TOKEN, sys.argv[6])
VERSION = "2026-07-28"
# The judge waits for answers; what takes longer than so many seconds is not asked for twice.
PATIENCE = 1.0


def call(sql, values):
    arguments = {"target": TARGET, "sql": sql, "rows": 1000}
    if values:
        arguments["params"] = values
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "query", "arguments": arguments, "_meta": meta}}
    headers = {
        "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Accept": "application/json",
        "MCP-Protocol-Version": VERSION, "Mcp-Method": "tools/call", "Mcp-Name": "query",
    }
    request = urllib.request.Request(f"http://127.0.0.1:{DOOR}/mcp", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def fields(severity, code, words):
    parts = [b"S" + severity, b"V" + severity, b"C" + code.encode(), b"M" + words.encode("utf-8", "replace")]
    return b"".join(part.replace(b"\0", b"?") + b"\0" for part in parts) + b"\0"


def shown(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    return json.dumps(value)


def answered(result):
    """What a client of PostgreSQL's protocol sees of it, and whether it failed."""
    data, words = result["structuredContent"], result["content"][0]["text"]
    out = message(b"N", fields(b"NOTICE", "01000", words))
    if result.get("isError"):
        said = " ".join(str(data[name]) for name in ("reason", "hint", "detail") if name in data)
        return out + message(b"E", fields(b"ERROR", data["code"], said)), True
    columns = data.get("columns", [])
    if columns:
        body = struct.pack("!h", len(columns))
        for column in columns:
            body += column["name"].encode() + b"\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
        out += message(b"T", body)
        for row in data["rows"]:
            body = struct.pack("!h", len(row))
            for value in map(shown, row):
                if value is None:
                    body += struct.pack("!i", -1)
                else:
                    value = value.encode("utf-8", "surrogatepass")
                    body += struct.pack("!i", len(value)) + value
            out += message(b"D", body)
    return out + message(b"C", (data.get("tag") or "SELECT 0").encode() + b"\0"), False


class Session(socketserver.StreamRequestHandler):
    def exactly(self, length):
        data = self.rfile.read(length)
        if len(data) < length:
            raise EOFError
        return data

    def handle(self):
        try:
            self.enter()
            self.serve()
        except (EOFError, ConnectionError):
            pass

    def enter(self):
        while True:
            (length,) = struct.unpack("!i", self.exactly(4))
            body = self.exactly(length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code in (80877103, 80877104):  # TLS, GSS
                self.wfile.write(b"N")
            elif code == 80877102:  # cancel
                raise EOFError
            else:
                break
        settings = {"server_version": "15.0", "client_encoding": "UTF8", "server_encoding": "UTF8", "standard_conforming_strings": "on",
                    "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "TimeZone": "UTC", "integer_datetimes": "on"}
        out = message(b"R", struct.pack("!i", 0))
        for name, value in settings.items():
            out += message(b"S", name.encode() + b"\0" + value.encode() + b"\0")
        self.wfile.write(out + message(b"K", struct.pack("!ii", 1, 1)) + message(b"Z", b"I"))

    def run_one(self, sql, values=()):
        begun = time.monotonic()
        try:
            answer = call(sql, list(values))
        except Exception as error:  # the door says no to the message itself
            return message(b"E", fields(b"ERROR", "08000", f"the door: {error}")), True
        if "error" in answer:
            return message(b"E", fields(b"ERROR", "08000", json.dumps(answer["error"]))), True
        if time.monotonic() - begun < PATIENCE:
            MIRROR.compare(sql, list(values), answer["result"])
        return answered(answer["result"])

    def serve(self):
        statements, portals, failed = {}, {}, False
        while True:
            kind = self.exactly(1)
            (length,) = struct.unpack("!i", self.exactly(4))
            body = self.exactly(length - 4)
            if kind == b"X":
                return
            if kind == b"Q":
                out, _ = self.run_one(body[:-1].decode("utf-8", "replace"))
                self.wfile.write(out + message(b"Z", b"I"))
            elif kind == b"S":
                failed = False
                self.wfile.write(message(b"Z", b"I"))
            elif failed or kind == b"H":
                continue
            elif kind == b"P":
                name, sql, _ = body.split(b"\0", 2)
                statements[name] = sql.decode("utf-8", "replace")
                self.wfile.write(message(b"1"))
            elif kind == b"B":
                portals, ok = self.bind(body, statements, portals)
                failed = not ok
            elif kind == b"D":
                self.wfile.write(message(b"n"))
            elif kind == b"E":
                sql, values = portals.get(body.split(b"\0", 1)[0], ("", ()))
                out, failed = self.run_one(sql, values)
                self.wfile.write(out)
            elif kind == b"C":
                self.wfile.write(message(b"3"))
            else:
                failed = True
                self.wfile.write(message(b"E", fields(b"ERROR", "0A000", "this is not carried by MCP")))

    def bind(self, body, statements, portals):
        portal, name, rest = body.split(b"\0", 2)
        (formats,) = struct.unpack("!h", rest[:2])
        binary = any(struct.unpack(f"!{formats}h", rest[2:2 + 2 * formats]))
        rest = rest[2 + 2 * formats:]
        (count,), rest, values = struct.unpack("!h", rest[:2]), rest[2:], []
        for _ in range(count):
            (length,) = struct.unpack("!i", rest[:4])
            rest = rest[4:]
            if length < 0:
                values.append(None)
            else:
                values.append(rest[:length].decode("utf-8", "replace"))
                rest = rest[length:]
        if binary or name not in statements:
            self.wfile.write(message(b"E", fields(b"ERROR", "0A000", "this is not carried by MCP")))
            return portals, False
        self.wfile.write(message(b"2"))
        return {**portals, portal: (statements[name], values)}, True


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Server(("127.0.0.1", PORT), Session).serve_forever()
