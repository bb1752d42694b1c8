"""Secrets by what a name stands for: statements and cursors of one name, texts that are run, what ends while others wait."""

from __future__ import annotations

from suite.model import Case, leak
from suite.wire import SYNC, Bind, Execute, Parse, Query

from .leak_values import C
from .leak_wire import SHOP, VAULT, VLT, execute, rounds

KEY = "SELECT key FROM vault.keys LIMIT 1"
READ = f"SELECT id, reverse(ssn)::text AS v FROM {C} ORDER BY id LIMIT 3"
HIDDEN = f"SELECT id, ssn AS v FROM {C} UNION ALL SELECT NULL, NULL"
HARMLESS = "SELECT id, name AS v FROM shop.customers ORDER BY id LIMIT 3"


def talk(id: str, work) -> Case:
    return leak("more.names." + id, driver=work)


def parsed(text: str, name: str = "s") -> bytes:
    return Parse(text, name) + SYNC


def bound(text: str, portal: str) -> bytes:
    return Parse(text) + Bind((), "", portal) + SYNC


def crosstab(inner: str) -> str:
    text = inner.replace("'", "''")
    return f"SELECT * FROM public.crosstab('{text}') AS t(a text, b text)"


def flight(*texts: str) -> bytes:
    return b"".join(Parse(text) + Bind() + Execute() for text in texts)


# ---------------------------------------------------------------- a text that is run, and one that was understood before

BENIGN_TEXT = crosstab("SELECT id::text, name::text, name::text FROM shop.products LIMIT 2")
TEXTS: list[Case] = [
    talk(f"text.crosstab-{word}", rounds(BENIGN_TEXT, crosstab(inner))) for word, inner in {
        "ssn": f"SELECT id::text, name::text, ssn::text FROM {C} LIMIT 3",
        "vault": f"SELECT 'a'::text, 'b'::text, ({KEY})::text",
        "email": f"SELECT name::text, id::text, email::text FROM {C}",
    }.items()
] + [
    leak(f"more.names.text.cut-{length}", f"SELECT query_to_xml('select email from {C} c(a,email,b,d,e,f,g,h,i,j,k,l,m,n,o) where a < 4'::varchar({length}), true, false, '')")
    for length in (32, 33, 34, 35)
] + [
    leak("more.names.text.name", f"SELECT query_to_xml('select ssn from {C} where id < 4 and \"                         \" is null'::name::text, true, false, '')"),
    talk("text.set-within", rounds(SHOP, "SELECT set_config('search_path','vault',false), query_to_xml('select id,name from products limit 2',true,false,'')")),
    talk("text.cursor", rounds(SHOP, "BEGIN", "DECLARE k CURSOR FOR SELECT query_to_xml('select id,name from products limit 2',true,false,'')", VLT, "FETCH k")),
    talk("text.portal", rounds(SHOP, "BEGIN", bound("SELECT query_to_xml('select id,name from products limit 2',true,false,'')", "p"), VLT, Execute("p") + SYNC)),
    talk("text.hold", rounds("BEGIN", "SET LOCAL search_path = vault", "DECLARE k CURSOR WITH HOLD FOR SELECT query_to_xml('select id,name from products limit 2',true,false,'')", SHOP, "COMMIT", "FETCH k")),
]

# ---------------------------------------------------------------- two of one name, and what is executed by it

NAMES: list[Case] = [
    talk("twice.one-message", rounds(f"PREPARE s AS {READ}; PREPARE s AS {HARMLESS}", "EXECUTE s", SHOP, "EXECUTE s")),
    talk("twice.wire-bind", rounds(f"PREPARE s AS {READ}; PREPARE s AS {HARMLESS}", SHOP, execute("s") + SYNC)),
    talk("twice.explain", rounds(f"PREPARE s AS {READ}; PREPARE s AS {HARMLESS}", SHOP, "EXPLAIN ANALYZE EXECUTE s", "EXECUTE s")),
    *(talk(f"behind-set.{word}", rounds(VLT, *steps)) for word, steps in {
        "set-back": [f"{SHOP}; PREPARE s AS {VAULT}; {VLT}", "EXECUTE s"],
        "error": [f"{SHOP}; PREPARE s AS {VAULT}; SELECT 1/0", "EXECUTE s"],
        "set-later": [f"{SHOP}; PREPARE s AS {VAULT}", VLT, "EXECUTE s"],
        "local": [f"SET LOCAL search_path = shop; PREPARE s AS {VAULT}", "EXECUTE s"],
        "rollback": ["BEGIN", f"{SHOP}; PREPARE s AS {VAULT}", "ROLLBACK", "EXECUTE s"],
        "rollback-bind": ["BEGIN", f"{SHOP}; PREPARE s AS {VAULT}", "ROLLBACK", execute("s") + SYNC],
        "rollback-to": ["BEGIN", "SAVEPOINT a", f"{SHOP}; PREPARE s AS {VAULT}", "ROLLBACK TO a", "EXECUTE s"],
    }.items()),
    *(talk(f"utility.{word}", rounds(*steps)) for word, steps in {
        "set": [SHOP, parsed(VLT), "EXECUTE s", VAULT],
        "rollback": [VLT, parsed("ROLLBACK"), "BEGIN", SHOP, "EXECUTE s", VAULT],
        "commit": [VLT, parsed("COMMIT"), "BEGIN", "SET LOCAL search_path = shop", "EXECUTE s", VAULT],
        "deallocate": [f"PREPARE p AS {HARMLESS}", parsed("DEALLOCATE p", "s1"), parsed(f"PREPARE p AS {READ}", "s2"), "EXECUTE s1", "EXECUTE s2", "EXECUTE p"],
        "declare": ["BEGIN", f"DECLARE k CURSOR FOR {HARMLESS}", parsed("CLOSE k", "s1"), parsed(f"DECLARE k CURSOR FOR {HIDDEN}", "s2"), "EXECUTE s1", "EXECUTE s2", "FETCH ALL k"],
        "explained": [SHOP, parsed(VLT), "EXPLAIN ANALYZE EXECUTE s", VAULT],
    }.items()),
    *(talk(f"portal.{word}", rounds(*steps)) for word, steps in {
        "execute": [f"PREPARE s AS {HARMLESS}", "BEGIN", bound("EXECUTE s", "p"), "DEALLOCATE s", f"PREPARE s AS {READ}", "FETCH ALL FROM p"],
        "explain": [f"PREPARE s AS {HARMLESS}", "BEGIN", bound("EXPLAIN ANALYZE EXECUTE s", "p"), "DEALLOCATE s", f"PREPARE s AS {READ}", "FETCH ALL FROM p"],
        "fetch": ["BEGIN", f"DECLARE k CURSOR FOR {HARMLESS}", bound("FETCH ALL k", "p"), "CLOSE k", f"DECLARE k CURSOR FOR {HIDDEN}", "FETCH ALL FROM p"],
        "move": [SHOP, "BEGIN", bound(VLT, "p"), "MOVE ALL FROM p", VAULT],
        "copy": [SHOP, "BEGIN", bound(f"COPY ({VAULT}) TO STDOUT", "p"), VLT, Execute("p") + SYNC],
        "copy-flight": [SHOP, Parse(f"COPY ({VAULT}) TO STDOUT", "c") + Bind((), "c", "p") + flight(VLT) + Execute("p") + SYNC],
        "prepare": [SHOP, "BEGIN", bound(f"PREPARE s AS {VAULT}", "p"), VLT, Execute("p") + SYNC, "EXECUTE s"],
    }.items()),
    *(talk(f"explained-cursor.{word}", rounds(*steps)) for word, steps in {
        "analyze": ["BEGIN", f"DECLARE k CURSOR FOR {HIDDEN}", f"EXPLAIN ANALYZE DECLARE k CURSOR FOR {HARMLESS}", "FETCH 2 FROM k"],
        "plain": [f"BEGIN; DECLARE k CURSOR FOR {HIDDEN}; EXPLAIN DECLARE k CURSOR FOR {HARMLESS}; FETCH 2 FROM k; COMMIT"],
        "wire": ["BEGIN", bound(HIDDEN, "k"), f"EXPLAIN ANALYZE DECLARE k CURSOR FOR {HARMLESS}", Execute("k") + SYNC],
    }.items()),
]

# ---------------------------------------------------------------- what is undone while others wait

WAITING: list[Case] = [
    *(talk(f"undone.{word}", rounds(VLT, (frames, ready))) for word, (frames, ready) in {
        "error": (flight(SHOP, "SELECT 1/0") + SYNC + flight(VAULT) + SYNC, 2),
        "error-config": (flight("SELECT set_config('search_path','shop',false)", "SELECT 1/0") + SYNC + flight(VAULT) + SYNC, 2),
        "refused": (flight(SHOP, "DELETE FROM shop.orders") + SYNC + flight(VAULT) + SYNC, 2),
        "local": (flight("SET LOCAL search_path = shop", "SELECT 1") + SYNC + flight(VAULT) + SYNC, 2),
        "local-query": (flight("SET LOCAL search_path = shop", "SELECT 1") + Query("SELECT 2") + flight(VAULT) + SYNC, 2),
        "error-query": (flight(SHOP, "SELECT 1/0") + SYNC + Query(VAULT), 2),
        "behind-another": (flight("SELECT 1") + SYNC + flight(SHOP, "SELECT 1/0") + SYNC + flight(VAULT) + SYNC, 3),
        "behind-commit": (flight("BEGIN", "SELECT 1", "COMMIT", SHOP, "SELECT 1/0") + SYNC + flight(VAULT) + SYNC, 2),
        "rollback-query": (flight(SHOP) + Query(f"ROLLBACK; {VAULT}"), 1),
        "commit-query": (flight("SET LOCAL search_path = shop") + Query(f"COMMIT; {VAULT}"), 1),
        "block-query": (flight(SHOP) + Query(f"BEGIN; ROLLBACK; {VAULT}"), 1),
        "config-query": (flight("SELECT set_config('search_path','shop',false)") + Query(f"SELECT 1; ROLLBACK; {VAULT}"), 1),
        "cursor-query": (flight(SHOP) + Query(f"ROLLBACK; BEGIN; DECLARE k CURSOR FOR {VAULT}; FETCH k; COMMIT"), 1),
        "parsed": (flight("SET LOCAL search_path = shop") + Parse(VAULT, "s") + SYNC + execute("s") + SYNC, 2),
    }.items()),
]

# ---------------------------------------------------------------- parts of values, and how long they are

PARTS: list[Case] = [
    leak("more.names.part.card-email", f"(SELECT card_number FROM {C} WHERE id = 3) UNION ALL (SELECT email FROM {C})"),
    leak("more.names.part.card-notes", f"(SELECT notes FROM {C}) UNION ALL (SELECT card_number FROM {C} WHERE id = 3)"),
    leak("more.names.part.copied", f"COPY ((SELECT card_number FROM {C} WHERE id = 3) UNION ALL (SELECT email FROM {C})) TO STDOUT"),
]

CASES = TEXTS + NAMES + WAITING + PARTS
