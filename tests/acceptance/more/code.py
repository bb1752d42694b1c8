"""Code in PL/pgSQL that agents call: what honest code makes of clear columns comes as it is, whatever its variables are; what code
makes of tagged ones does not come, by no variable, record or overload."""

from __future__ import annotations

from suite.model import Case, leak, same
from suite.wire import Wire

from .definitions import amid
from .leak_values import C, K, WHO

VOID = 2278


def function(name: str, body: str, takes: str = "", returns: str = "text", language: str = "plpgsql") -> str:
    return f"CREATE FUNCTION shop.{name}({takes}) RETURNS {returns} LANGUAGE {language} STABLE AS $hid${body}$hid$"


HONEST = {
    "hid_list()": function("hid_list", "DECLARE r record; s text := ''; BEGIN FOR r IN SELECT id, name, count(*) AS n FROM shop.products WHERE id < 4 GROUP BY 1, 2 ORDER BY 1 LOOP s := s || r.id || r.name || r.n; END LOOP; RETURN s; END"),
    "hid_pick(3)": function("hid_pick", "DECLARE r record; p numeric; BEGIN SELECT id, price INTO r FROM shop.products WHERE id = which; IF NOT FOUND THEN RETURN NULL; END IF; p := r.price * 2; RETURN p + r.id; END", "which int", "numeric"),
    "hid_text(3)": function("hid_text", "DECLARE r record; BEGIN SELECT id, name INTO r FROM shop.products WHERE id = which; RETURN r::text || r.name; END", "which int"),
    "hid_both(4)": function("hid_both", "DECLARE a record; b record; BEGIN SELECT id INTO a FROM shop.products WHERE id = which; FOR b IN SELECT o.id, o.total FROM shop.orders o WHERE o.customer_id = a.id ORDER BY 1 LOOP RETURN b.total; END LOOP; RETURN 0; END", "which int", "numeric"),
    "hid_cursor()": function("hid_cursor", "DECLARE c CURSOR FOR SELECT name FROM shop.products ORDER BY id; s text := ''; BEGIN FOR r IN c LOOP s := s || left(r.name, 1); END LOOP; RETURN s; END"),
    "hid_loop(5)": function("hid_loop", "DECLARE n int := 0; f int[] := '{}'; w text; BEGIN FOR i IN 1..upto LOOP f[i] := i * i; n := n + f[i]; END LOOP; FOREACH n IN ARRAY f LOOP w := concat_ws(',', w, n); END LOOP; WHILE n > 1 LOOP n := n - 1; END LOOP; RETURN w || n; END", "upto int"),
    "hid_case('paid')": function("hid_case", "DECLARE n bigint; BEGIN CASE which WHEN 'paid', 'new' THEN SELECT count(*) INTO n FROM shop.orders WHERE status::text = which; ELSE n := -1; END CASE; RETURN n; END", "which text", "bigint"),
    "hid_caught(0)": function("hid_caught", "BEGIN RETURN 10 / by; EXCEPTION WHEN division_by_zero THEN RETURN -1; END", "by int", "int"),
    "hid_given()": function("hid_given", "DECLARE s text; n int; BEGIN SELECT name, id INTO STRICT s, n FROM shop.products WHERE id = 7; RETURN format('%s %s', n, s); END"),
}
ROWS = {
    "hid_rows(3)": function("hid_rows", "BEGIN RETURN QUERY SELECT p.id, p.name FROM shop.products p WHERE p.id <= upto ORDER BY 1; END", "upto int", "TABLE (number int, title text)"),
    "hid_next()": function("hid_next", "DECLARE r record; BEGIN FOR r IN SELECT p.id, p.price FROM shop.products p WHERE p.id < 4 ORDER BY 1 LOOP number := r.id; cost := r.price; RETURN NEXT; END LOOP; END", "", "TABLE (number int, cost numeric)"),
}
HIDDEN = {
    "hid_email(17)": function("hid_email", f"DECLARE r record; BEGIN SELECT id, email INTO r FROM {C} WHERE id = which; RETURN r.email; END", "which int"),
    "hid_moved(17)": function("hid_moved", f"DECLARE r record; q record; BEGIN SELECT 1 AS v INTO q; SELECT ssn AS v INTO r FROM {C} WHERE id = which; q := r; RETURN q.v; END", "which int"),
    "hid_looped()": function("hid_looped", f"DECLARE r record; s text := ''; BEGIN FOR r IN SELECT card_number FROM {C} LOOP s := s || r.card_number; END LOOP; RETURN s; END"),
    "hid_whole(17)": function("hid_whole", f"DECLARE r record; BEGIN SELECT * INTO r FROM {C} WHERE id = which; RETURN r::text; END", "which int"),
    "hid_fetched(17)": function("hid_fetched", f"DECLARE r record; k refcursor; BEGIN SELECT 1 AS email INTO r; OPEN k FOR SELECT email FROM {C} WHERE id = which; FETCH k INTO r; RETURN r.email; END", "which int"),
    "hid_told(17)": function("hid_told", f"DECLARE r record; BEGIN SELECT email INTO r FROM {C} WHERE id = which; RAISE EXCEPTION '%', r.email; END", "which int"),
}
# The server leaves out a parameter of type void, and calls the other one.
OVERLOADS = [function("hid_two", "SELECT 'nothing'::text", "which int", language="sql"), function("hid_two", f"SELECT api_key FROM {K} ORDER BY id LIMIT 1", language="sql")]
LEFT_OUT = (
    "SELECT shop.hid_two($1)", "SELECT shop.hid_two($1::void)", "SELECT * FROM shop.hid_two($1) AS result", "SELECT CASE WHEN true THEN pg_sleep(0) ELSE $1 END, shop.hid_two($1)", "SELECT coalesce($1, pg_sleep(0)), shop.hid_two($1)",
)

MAKE = "; ".join([*HONEST.values(), *ROWS.values(), *HIDDEN.values(), *OVERLOADS])
UNMAKE = "DO $hid$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'shop'::regnamespace AND proname LIKE 'hid\\_%' LOOP EXECUTE format('DROP FUNCTION %s', f); END LOOP; END $hid$"


def left_out(w: Wire) -> list:
    """Said to be of type void, and left to what stands around it."""
    return [w.extended(sql, ["1"], types=types) for sql in LEFT_OUT for types in ((VOID,), ())]


CASES: list[Case] = [  # few, since each waits until the gateway has seen its ground
    amid(same("more.code.values", *(f"SELECT shop.{call}" for call in HONEST), *(f"SELECT id, shop.{call} FROM shop.products WHERE id < 3" for call in HONEST)), MAKE, UNMAKE),
    amid(same("more.code.rows", *(f"SELECT * FROM shop.{call}" for call in ROWS), "SELECT (shop.hid_rows(2)).title", "SELECT number, p.name FROM shop.hid_next() JOIN shop.products p ON p.id = number", how="extended"), MAKE, UNMAKE),
    amid(same("more.code.left-out", driver=lambda w: [w.extended("SELECT now($1) IS NOT NULL", ["1"], types=(VOID,)), w.extended("SELECT upper('a', $1::void)", ["1"]), w.extended("SELECT shop.hid_pick($1, $2)", ["3", "1"], types=(23, VOID))]), MAKE, UNMAKE),
    amid(leak("more.code.records", *(f"SELECT shop.{call}" for call in HIDDEN)), MAKE, UNMAKE),
    amid(leak("more.code.left-out", driver=lambda ctx: left_out(ctx.wire())), MAKE, UNMAKE),
]
