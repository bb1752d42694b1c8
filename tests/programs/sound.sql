-- Statements whose effects are easily overlooked: each is compared with what the server itself makes of it.
CREATE SCHEMA a; CREATE SCHEMA b;
CREATE TYPE a.pair AS (x int, y text);
CREATE DOMAIN a.some_pair AS a.pair CHECK ((VALUE).x > 0);
CREATE FUNCTION a.whole_row(int) RETURNS a.some_pair LANGUAGE plpgsql AS 'BEGIN RETURN ROW($1, 1); END';
CREATE TABLE a.base (id int PRIMARY KEY, name text, list int[], doc jsonb, p a.pair, at date);
CREATE TABLE a.heir (more text) INHERITS (a.base);
CREATE TABLE a.parts (id int, k text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE a.parts_one PARTITION OF a.parts FOR VALUES IN ('one');
CREATE FUNCTION b.seen(anyelement) RETURNS anyelement LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION b.equal(int, int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR b.= (LEFTARG = int, RIGHTARG = int, FUNCTION = b.equal);
CREATE FUNCTION b.upper(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION b.next(a.pair, int) RETURNS a.pair LANGUAGE plpgsql AS 'DECLARE n a.pair; BEGIN n.x := $2; RETURN n; END';
CREATE FUNCTION b.whole(int) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT b.seen(name) FROM a.base WHERE id = $1; END;
CREATE AGGREGATE b.last_pair(int) (SFUNC = b.next, STYPE = a.pair);
CREATE VIEW a.v AS SELECT id, upper(name) AS loud, list[1] AS first FROM a.base WHERE at > '2020-01-01';
CREATE VIEW a.vv AS SELECT v.*, b.seen(v.loud) AS seen FROM a.v;
CREATE VIEW a.plain AS SELECT id, name FROM a.base;
CREATE VIEW a.arrays AS SELECT id, list FROM a.base;
CREATE RULE noted AS ON INSERT TO a.v DO INSTEAD INSERT INTO a.base (id, name) VALUES (new.id, b.seen(new.loud));
CREATE FUNCTION a.by_path() RETURNS SETOF text LANGUAGE sql AS 'SELECT upper(name) FROM a.base';
CREATE VIEW a.pathed AS SELECT * FROM a.by_path();
CREATE MATERIALIZED VIEW a.m AS SELECT id, name FROM a.base;
CREATE TEMP TABLE mine (id int, name text);
CREATE TEMP VIEW mine_seen AS SELECT id, upper(name) AS name FROM mine;
CREATE RULE mine_rule AS ON INSERT TO mine_seen DO INSTEAD INSERT INTO mine VALUES (new.id, new.name);

SELECT * FROM a.vv;
SELECT b.whole(1), b.whole(id) FROM a.parts;
SELECT true, false, 'x'::text, CASE WHEN true THEN false END, date_part('year', at), position('a' IN name), trim(name), substring(name FROM 1 FOR 2), at AT TIME ZONE 'UTC', current_date, name LIKE 'x' FROM a.base;
SELECT (SELECT name FROM a.base LIMIT 1), (VALUES (1)), (SELECT 1 UNION SELECT 2), (TABLE mine LIMIT 0) IS NULL;
SELECT first FROM a.vv ORDER BY seen;
SELECT * FROM mine_seen;
SELECT * FROM a.m NATURAL JOIN a.plain;
SELECT * FROM ONLY a.base WHERE (p).x = 1;
SELECT (p).*, base, base.*::text FROM a.base;
SELECT row_to_json(b) FROM a.base b WHERE doc->>'k' = 'v' AND list && '{1}';
SELECT b.last_pair(id ORDER BY at) FILTER (WHERE name IS NOT NULL) FROM a.base;
SELECT * FROM a.whole_row(1) r;
SELECT * FROM jsonb_array_elements('[1]') e;
SELECT value FROM jsonb_array_elements_text('["a"]') AS e;
SELECT key, value FROM a.base, jsonb_each(doc);
SELECT * FROM jsonb_populate_record(NULL::a.pair, '{"x": 1}') r;
SELECT tsquery('a & b'), a.some_pair(p) FROM a.base;
SELECT v.* FROM a.parts t, LATERAL (VALUES (t.*), (1, 'two')) v;
SELECT * FROM unnest('{1,2}'::int[], '{a,b}'::text[]) WITH ORDINALITY AS u(n, t, o);
SELECT * FROM ROWS FROM (generate_series(1, 3), unnest('{1,2}'::int[])) AS r(g, u);
SELECT x.id, l.name FROM a.base x, LATERAL (SELECT name FROM a.plain p WHERE p.id = x.id LIMIT 1) l;
SELECT rank() OVER w, sum(id) OVER (PARTITION BY name ORDER BY at) FROM a.base WINDOW w AS (ORDER BY list);
SELECT rank() OVER w FROM a.base WINDOW w AS (PARTITION BY name ORDER BY list);
SELECT DISTINCT ON (at) id FROM a.base ORDER BY at, name DESC;
SELECT name, count(*) FROM a.base GROUP BY ROLLUP (name, at) HAVING max(id) > 1;
SELECT id FROM a.base UNION SELECT first FROM a.v EXCEPT ALL SELECT 1;
WITH RECURSIVE r(n, path) AS (SELECT id, ARRAY[id] FROM a.base UNION ALL SELECT n + 1, path || n FROM r WHERE n < 3) SELECT n FROM r;
WITH gone AS (DELETE FROM a.base WHERE id = 1 RETURNING *), new AS (INSERT INTO a.parts SELECT id, 'one' FROM gone RETURNING k) SELECT k FROM new;
SELECT CASE id WHEN 1 THEN name ELSE upper(name) END, coalesce(name, loud), nullif(name, loud), greatest(name, loud) FROM a.base JOIN a.v USING (id);
SELECT id FROM a.base WHERE id IN (SELECT id FROM a.v) AND (id, name) = ANY (SELECT id, name FROM a.plain) AND EXISTS (SELECT FROM a.parts WHERE k = name);
SELECT ARRAY(SELECT name FROM a.base ORDER BY at), (SELECT max(at) FROM a.base), xmlelement(name e, name), extract(year FROM at), name COLLATE "C" FROM a.base;
SELECT name FROM a.base TABLESAMPLE bernoulli (10) WHERE at BETWEEN '2020-01-01' AND now() FOR UPDATE SKIP LOCKED;
INSERT INTO a.v VALUES (1, 'x', 2);
INSERT INTO mine_seen VALUES (1, 'x');
INSERT INTO a.plain VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name || 'x' WHERE plain.name <> '' RETURNING *;
INSERT INTO a.parts VALUES (1, 'one') ON CONFLICT (id, k) DO NOTHING;
INSERT INTO a.base (list[1], p.x) VALUES (1, 2);
UPDATE a.base SET list[2] = 3, p.y = 'x', doc['k'] = '1' WHERE at IS NULL;
UPDATE a.base AS t SET (name, at) = (SELECT loud, now() FROM a.v WHERE v.id = t.id) FROM a.m WHERE m.id = t.id RETURNING t.*, m.name;
UPDATE a.plain SET name = name || 'x';
UPDATE a.arrays SET list[1] = 2;
DELETE FROM a.base USING a.v WHERE v.id = base.id RETURNING base.name, v.loud;
MERGE INTO a.base t USING a.v s ON t.id = s.id WHEN MATCHED AND s.first > 1 THEN UPDATE SET name = s.loud WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id);
EXPLAIN ANALYZE DELETE FROM a.parts WHERE k = 'one';
COPY (SELECT name FROM a.base WHERE at IS NULL) TO STDOUT;
CREATE TEMP TABLE copied AS SELECT name FROM a.v JOIN a.base USING (id);
DECLARE c CURSOR WITH HOLD FOR SELECT name FROM a.base;

SET search_path = b, pg_catalog, a;
SELECT id FROM base WHERE id = 1;
SELECT id FROM base WHERE id IN (SELECT id FROM plain);
SELECT 1 FROM base x JOIN plain y USING (id);
SELECT 1 FROM base NATURAL JOIN plain;
SELECT upper(name), b.upper(name), pg_catalog.upper(name) FROM base;
SELECT CASE id WHEN 1 THEN 2 END, nullif(id, 1), id IS DISTINCT FROM 1, id BETWEEN 1 AND 2, id IN (1, 2), id = ANY (list) FROM base;
SELECT * FROM a.vv;
SELECT * FROM pathed;
INSERT INTO v VALUES (1, 'x', 2);

-- What the server does by itself when rows change.
CREATE FUNCTION b.fine(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
CREATE FUNCTION b.given() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION b.twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * 2; END';
CREATE FUNCTION b.after() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO a.noted VALUES (new.id); RETURN NULL; END';
CREATE FUNCTION b.gone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM a.noted; RETURN old; END';
CREATE TABLE a.noted (id int);
CREATE TABLE a.busy (id int PRIMARY KEY CHECK (b.fine(id)), n int DEFAULT b.given(), m int GENERATED ALWAYS AS (b.twice(id)) STORED, of_whom text);
CREATE INDEX busy_index ON a.busy (b.twice(n)) WHERE b.fine(n);
CREATE TRIGGER after_it AFTER INSERT OR UPDATE ON a.busy FOR EACH ROW WHEN (b.fine(new.n)) EXECUTE FUNCTION b.after();
CREATE TABLE a.follows (id int REFERENCES a.busy ON DELETE CASCADE ON UPDATE SET NULL, k text);
CREATE TRIGGER gone_it BEFORE DELETE ON a.follows FOR EACH ROW EXECUTE FUNCTION b.gone();
CREATE TRIGGER changed_it AFTER UPDATE ON a.follows EXECUTE FUNCTION b.after();
ALTER TABLE a.noted ENABLE ROW LEVEL SECURITY;
CREATE POLICY some ON a.noted USING (b.fine(id)) WITH CHECK (b.fine(id + 1));
CREATE VIEW a.busy_seen AS SELECT id, n FROM a.busy WHERE b.fine(id) WITH CHECK OPTION;
CREATE VIEW a.busy_far AS SELECT id FROM a.busy_seen;
CREATE TABLE a.ruled (id int);
CREATE RULE also AS ON UPDATE TO a.ruled WHERE b.fine(new.id) DO ALSO DELETE FROM a.busy WHERE id = old.id;
CREATE TRIGGER in_part BEFORE INSERT ON a.parts_one FOR EACH ROW EXECUTE FUNCTION b.after();
CREATE TRIGGER out_of_part BEFORE DELETE ON a.parts_one FOR EACH ROW EXECUTE FUNCTION b.gone();
CREATE FUNCTION b.pair_cmp(a.pair, a.pair) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 0; END';
CREATE FUNCTION b.pair_lt(a.pair, a.pair) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
CREATE OPERATOR b.<^ (LEFTARG = a.pair, RIGHTARG = a.pair, FUNCTION = b.pair_lt);
CREATE OPERATOR b.=^ (LEFTARG = a.pair, RIGHTARG = a.pair, FUNCTION = b.pair_lt);
CREATE OPERATOR CLASS b.pair_order DEFAULT FOR TYPE a.pair USING btree AS OPERATOR 1 b.<^, OPERATOR 3 b.=^, FUNCTION 1 b.pair_cmp(a.pair, a.pair);

INSERT INTO a.busy (id) VALUES (1);
INSERT INTO a.busy (id, n) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
INSERT INTO a.busy (id, n) SELECT id, 1 FROM a.base ON CONFLICT DO NOTHING RETURNING m;
UPDATE a.busy SET n = 3 WHERE id = 1;
DELETE FROM a.busy;
INSERT INTO a.noted VALUES (1);
DELETE FROM a.noted WHERE id = 2;
INSERT INTO a.busy_seen VALUES (4, 5);
UPDATE a.busy_far SET id = 6 WHERE id = 7;
DELETE FROM a.busy_far;
UPDATE a.ruled SET id = 2;
UPDATE a.parts SET k = 'two' WHERE id = 1;
INSERT INTO a.parts VALUES (1, 'one');
DELETE FROM a.parts;
MERGE INTO a.busy t USING a.base s ON t.id = s.id WHEN MATCHED AND t.n > 1 THEN UPDATE SET n = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, 1);
MERGE INTO a.follows t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE;
MERGE INTO a.parts t USING a.parts_one s ON t.id = s.id WHEN MATCHED THEN UPDATE SET k = s.k;
WITH u AS (UPDATE a.busy SET n = 1 RETURNING id) INSERT INTO a.follows SELECT id, 'x' FROM u;
SELECT id FROM a.base ORDER BY p;
SELECT p, count(*) FROM a.base GROUP BY p;
SELECT DISTINCT p FROM a.base;
SELECT p FROM a.base UNION SELECT p FROM a.heir;
SELECT array_agg(p ORDER BY p), rank() OVER (ORDER BY p) FROM a.base GROUP BY p;
SELECT DISTINCT ON (p) id FROM a.base;

-- That there is a value tells nothing where there always is one, and something elsewhere.
CREATE TABLE a.there (id int NOT NULL, sort text NOT NULL, note text);
CREATE TABLE a.there_too () INHERITS (a.there);
CREATE VIEW a.there_seen AS SELECT id, sort AS kind, nullif(sort, 'x') AS odd FROM a.there;
SELECT count(id), count(sort) FILTER (WHERE sort IS NOT NULL), count(*) FROM a.there WHERE id IS NOT NULL;
SELECT count(kind), count(t.sort) OVER (ORDER BY v.id) FROM a.there_seen v LEFT JOIN a.there t USING (id) GROUP BY v.id, t.sort;
SELECT count(note), count(DISTINCT sort), count(odd) FROM a.there JOIN a.there_seen USING (id) WHERE note IS NULL OR odd IS NULL;
SELECT count(x.s), x.t IS NULL FROM (SELECT sort AS s, CASE WHEN sort = 'x' THEN sort END AS t FROM a.there) x GROUP BY x.t;
ALTER TABLE a.there_too ALTER COLUMN sort DROP NOT NULL;
SELECT count(sort), count(id) FROM a.there WHERE sort IS NOT NULL;

-- A session may begin as a replica's.
CREATE TABLE a.replicated (id int);
CREATE RULE elsewhere AS ON INSERT TO a.replicated DO INSTEAD INSERT INTO a.noted VALUES (new.id);
ALTER TABLE a.replicated ENABLE REPLICA RULE elsewhere;
CREATE TRIGGER then_gone AFTER UPDATE ON a.replicated FOR EACH ROW EXECUTE FUNCTION b.gone();
ALTER TABLE a.replicated ENABLE REPLICA TRIGGER then_gone;
INSERT INTO a.replicated VALUES (1);
SET session_replication_role = replica;
INSERT INTO a.replicated VALUES (2);
UPDATE a.replicated SET id = 3;
RESET session_replication_role;

-- Statements' triggers stand beside what a view does by itself, and only rows' triggers in its place.
CREATE FUNCTION b.told() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE a.goods (id int PRIMARY KEY, qty int, name varchar);
INSERT INTO a.goods VALUES (1, 1, 'x'), (2, 2, 'y');
CREATE VIEW a.good AS SELECT * FROM a.goods;
CREATE TRIGGER told AFTER UPDATE OR INSERT ON a.good FOR EACH STATEMENT EXECUTE FUNCTION b.told();
CREATE TRIGGER instead INSTEAD OF INSERT ON a.good FOR EACH ROW EXECUTE FUNCTION b.told();
UPDATE a.good SET qty = 0;
INSERT INTO a.good VALUES (3, 3);

-- A name behind a row whose columns are not known may be a function.
CREATE FUNCTION b.peek(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
SELECT x.peek FROM unnest(COALESCE('{a}'::varchar[], ARRAY['b'])) x;
SELECT x.length, x.peek FROM unnest(COALESCE('{a}'::varchar[], ARRAY['b'])) x;

-- Domains give rows that are there their defaults, and check what functions give.
CREATE DOMAIN a.dom AS int DEFAULT b.given() CHECK (b.fine(VALUE));
CREATE DOMAIN a.dom_too AS a.dom;
CREATE TABLE a.doms (id int, d a.dom);
INSERT INTO a.doms (id) VALUES (1);
ALTER TABLE a.goods ADD COLUMN c a.dom;
ALTER TABLE a.goods ADD COLUMN e a.dom_too, ADD COLUMN n int;
CREATE FUNCTION b.rows() RETURNS TABLE (i a.dom, t text) LANGUAGE sql AS 'SELECT 1, ''x''::text';
CREATE FUNCTION b.outs(OUT i a.dom, OUT t text) LANGUAGE plpgsql AS 'BEGIN i := 1; END';
SELECT * FROM b.rows();
SELECT b.outs();
CREATE EXTENSION hstore SCHEMA public;
SELECT public.populate_record(NULL::a.doms, public.hstore('d', '1'));
SELECT NULL::a.doms OPERATOR(public.#=) public.hstore('d', '1');
SELECT jsonb_populate_record(COALESCE(NULL::a.doms, NULL), '{"d": 1}');
SELECT * FROM jsonb_to_record('{"d": 1}') AS (d a.dom);
PREPARE given (a.dom, text) AS SELECT $1, $2;
EXECUTE given (1, 'x');
CREATE TYPE a.doms_range AS RANGE (SUBTYPE = a.dom);
SELECT lower('[1,2)'::a.doms_range);

-- Whoever locks a view locks what it reads.
LOCK TABLE a.good IN SHARE MODE;

-- Whoever locks rows of a view locks those of its tables' heirs.
CREATE TABLE a.held (id int);
CREATE TABLE a.held_too () INHERITS (a.held);
INSERT INTO a.held_too VALUES (1);
CREATE VIEW a.holding AS SELECT id FROM a.held;
CREATE VIEW a.holding_too AS SELECT id FROM a.holding;
SELECT id FROM a.holding FOR UPDATE;
SELECT id FROM a.holding_too FOR UPDATE;
