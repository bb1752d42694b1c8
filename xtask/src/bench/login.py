"""What PostgreSQL's own client library takes to open a session, or so many of them held open.

    login.py open SECONDS PROCESSES   opens and closes sessions; prints the seconds that it took, and then the microseconds
                                      of each set-up, from PQconnectdb until it returns, behind the first ReadyForQuery
    login.py hold SESSIONS            opens sessions, runs a statement in each, prints `ready`, and holds them

Where to and as whom is in libpq's variables (PGHOST, PGPASSWORD, PGSSLMODE, ...). Only Python's own library is needed: libpq
is there wherever psql is.
"""

import ctypes
import os
import sys
import time

libpq = ctypes.CDLL("libpq.so.5")
CONNECTION = ctypes.c_void_p
libpq.PQconnectdb.restype = CONNECTION
libpq.PQconnectdb.argtypes = [ctypes.c_char_p]
libpq.PQstatus.argtypes = [CONNECTION]
libpq.PQerrorMessage.restype = ctypes.c_char_p
libpq.PQerrorMessage.argtypes = [CONNECTION]
libpq.PQsslInUse.argtypes = [CONNECTION]
libpq.PQfinish.argtypes = [CONNECTION]
libpq.PQexec.restype = ctypes.c_void_p
libpq.PQexec.argtypes = [CONNECTION, ctypes.c_char_p]
libpq.PQresultStatus.argtypes = [ctypes.c_void_p]
libpq.PQclear.argtypes = [ctypes.c_void_p]
PGRES_TUPLES_OK = 2


def connect():
    connection = libpq.PQconnectdb(b"")
    if libpq.PQstatus(connection) != 0:
        sys.exit("no session: " + libpq.PQerrorMessage(connection).decode())
    if not libpq.PQsslInUse(connection):
        sys.exit("a session without TLS")
    return connection


def measure(until):
    taken = []
    while (start := time.perf_counter()) < until:
        connection = connect()
        taken.append(time.perf_counter() - start)
        libpq.PQfinish(connection)
    return taken


def open_sessions(seconds, processes):
    # What is done once, such as reading OpenSSL's configuration, is no part of it.
    libpq.PQfinish(connect())
    start = time.perf_counter()
    until = start + seconds
    readers = []
    for _ in range(processes):
        reader, writer = os.pipe()
        if os.fork() == 0:
            with os.fdopen(writer, "w") as out:
                out.writelines(f"{taken * 1e6:.0f}\n" for taken in measure(until))
            os._exit(0)
        os.close(writer)
        readers.append(os.fdopen(reader))
    taken = [reader.read() for reader in readers]
    elapsed = time.perf_counter() - start
    failed = any(os.wait()[1] != 0 for _ in readers)
    print(elapsed)
    print("".join(taken), end="")
    return 1 if failed else 0


def hold(sessions):
    connections = [connect() for _ in range(sessions)]
    for connection in connections:
        result = libpq.PQexec(connection, b"SELECT 1")
        if libpq.PQresultStatus(result) != PGRES_TUPLES_OK:
            sys.exit("no result: " + libpq.PQerrorMessage(connection).decode())
        libpq.PQclear(result)
    print("ready", flush=True)
    time.sleep(24 * 3600)


match sys.argv[1:]:
    case ["open", seconds, processes]:
        sys.exit(open_sessions(float(seconds), int(processes)))
    case ["hold", sessions]:
        hold(int(sessions))
    case _:
        sys.exit(__doc__)
