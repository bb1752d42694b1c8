"""libpq 18 itself signs in by OAUTHBEARER: the one beside psycopg, asked by ctypes, with a token from a hook as applications give one."""
import ctypes
import glob
import os
import sys

import psycopg  # It loads what libpq needs.

beside = os.path.join(os.path.dirname(os.path.dirname(psycopg.__file__)), "psycopg_binary.libs")
libpq = ctypes.CDLL(glob.glob(os.path.join(beside, "libpq-*.so.5.*"))[0])
libpq.PQconnectdb.restype = libpq.PQexec.restype = ctypes.c_void_p
libpq.PQerrorMessage.restype = libpq.PQgetvalue.restype = ctypes.c_char_p
libpq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for name in ("PQstatus", "PQerrorMessage", "PQfinish"):
    getattr(libpq, name).argtypes = [ctypes.c_void_p]
libpq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]


class Request(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("poll", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


PQAUTHDATA_OAUTH_BEARER_TOKEN = 1
token = sys.argv[2].encode()


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def hook(kind, _connection, data):
    if kind != PQAUTHDATA_OAUTH_BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(Request)).contents
    print("asked of", request.openid_configuration.decode(), "for", (request.scope or b"").decode())
    request.token = token
    return 1


libpq.PQsetAuthDataHook(hook)
connection = libpq.PQconnectdb(sys.argv[1].encode())
if libpq.PQstatus(connection) != 0:
    print("refused:", libpq.PQerrorMessage(connection).decode())
    sys.exit(1)
result = libpq.PQexec(connection, b"SHOW durward.principal")
print("came in as", libpq.PQgetvalue(result, 0, 0).decode())
libpq.PQfinish(connection)
