"""What a statement takes that an agent sends by MCP, and by PostgreSQL's own client library.

    mcp.py wire SECONDS CLIENTS SQL               sends it on a session that is open, in so many processes
    mcp.py call PORT TOKENS SECONDS CLIENTS SQL   calls the tool `query` with it, each process with a token of its own
    mcp.py hold PORT TOKENS SESSIONS SQL          begins sessions, calls in each once, prints `ready`, and holds them

The first two print the seconds that it took, and then the microseconds of each. Where the wire leads to, and as whom, is in
libpq's variables; TOKENS is a file with one a line. Only Python's own library is needed.
"""

import ctypes
import http.client
import json
import os
import sys
import time

VERSION = "2026-07-28"


def by_wire(sql):
    libpq = ctypes.CDLL("libpq.so.5")
    libpq.PQconnectdb.restype = ctypes.c_void_p
    libpq.PQconnectdb.argtypes = [ctypes.c_char_p]
    libpq.PQstatus.argtypes = [ctypes.c_void_p]
    libpq.PQexec.restype = ctypes.c_void_p
    libpq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    libpq.PQresultStatus.argtypes = [ctypes.c_void_p]
    libpq.PQclear.argtypes = [ctypes.c_void_p]
    connection = libpq.PQconnectdb(b"")
    if libpq.PQstatus(connection) != 0:
        sys.exit("no session")
    statement = sql.encode()

    def once():
        result = libpq.PQexec(connection, statement)
        if libpq.PQresultStatus(result) != 2:
            sys.exit("no rows")
        libpq.PQclear(result)

    return once


def headers(token):
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }


def by_mcp(port, token, sql):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    all_headers = headers(token) | {"MCP-Protocol-Version": VERSION, "Mcp-Method": "tools/call", "Mcp-Name": "query"}
    meta = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
    arguments = {"target": os.environ["PGDATABASE"], "sql": sql}
    params = {"name": "query", "arguments": arguments, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()

    def once():
        connection.request("POST", "/mcp", body, all_headers)
        answer = connection.getresponse().read()
        if b'"isError"' in answer or b'"rows"' not in answer:
            sys.exit("no rows: " + answer.decode())

    return once


def tokens(file):
    with open(file) as lines:
        return lines.read().split()


def measure(make, seconds, clients):
    readers = []
    for n in range(clients):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            once = make(n)
            once()
            until = time.perf_counter() + seconds
            taken = []
            while (before := time.perf_counter()) < until:
                once()
                taken.append(time.perf_counter() - before)
            with os.fdopen(writer, "w") as out:
                out.writelines(f"{each * 1e6:.0f}\n" for each in taken)
            os._exit(0)
        os.close(writer)
        readers.append(reader)
    said = []
    for reader in readers:
        with os.fdopen(reader) as lines:
            said.append(lines.read())
    if not all(said):
        sys.exit("some were not answered")
    # Each began to count when it was ready, and all counted for so long.
    print(float(seconds))
    print("".join(said), end="")


def hold(port, all_tokens, sessions, sql):
    kept = []
    for n in range(sessions):
        token = all_tokens[n % len(all_tokens)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        client = {"name": f"bench{n}", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        connection.request("POST", "/mcp", json.dumps(message).encode(), headers(token))
        answer = connection.getresponse()
        session = answer.getheader("mcp-session-id")
        answer.read()
        arguments = {"target": os.environ["PGDATABASE"], "sql": sql}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "query", "arguments": arguments}}
        connection.request("POST", "/mcp", json.dumps(message).encode(), headers(token) | {"Mcp-Session-Id": session})
        if b'"rows"' not in connection.getresponse().read():
            sys.exit("no rows")
        kept.append(connection)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["wire", seconds, clients, sql]:
            measure(lambda _: by_wire(sql), float(seconds), int(clients))
        case ["call", port, file, seconds, clients, sql]:
            all_tokens = tokens(file)
            measure(lambda n: by_mcp(int(port), all_tokens[n % len(all_tokens)], sql), float(seconds), int(clients))
        case ["hold", port, file, sessions, sql]:
            hold(int(port), tokens(file), int(sessions), sql)
        case _:
            sys.exit(__doc__)
