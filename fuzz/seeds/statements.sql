ALTER ROLE x PASSWORD 'geheim'
ALTER ROLE x PASSWORD ?
ALTER SYSTEM SET work_mem = '1MB'
ALTER TABLE shop.customers RENAME COLUMN email TO harmless
CALL shop.archive_orders(now())
COMMENT ON TABLE shop.products IS 'x'
COPY (DELETE FROM shop.products RETURNING id) TO STDOUT
COPY shop.customers (id, email) TO STDOUT
COPY shop.products FROM STDIN
COPY shop.products TO '/tmp/x'
COPY shop.products TO PROGRAM 'x'
CREATE INDEX ON shop.products (name)
CREATE SUBSCRIPTION s CONNECTION 'password=x' PUBLICATION p
CREATE SUBSCRIPTION s CONNECTION ? PUBLICATION p
CREATE TABLE shop.copy AS SELECT email FROM shop.customers
CREATE TABLE shop.copy AS TABLE shop.products
CREATE TEMP TABLE products (id int); SELECT * FROM products
DECLARE c CURSOR FOR SELECT id FROM shop.customers WHERE email = 'x'
DELETE FROM shop.products
DELETE FROM shop.products WHERE 1 = 0
DELETE FROM shop.products WHERE 1 = 1
DELETE FROM shop.products WHERE id = 1
DELETE FROM shop.products WHERE id = 3
DELETE FROM shop.products WHERE id = 3 OR id = 4
DELETE FROM shop.products WHERE id = id
DELETE FROM shop.products WHERE id IS NULL OR id IS NOT NULL
DELETE FROM shop.products WHERE true
DELETE FROM shop.v_inbox WHERE id = 1
DO $$ BEGIN UPDATE shop.products SET price = 1; END $$
DROP TABLE shop.products
EXPLAIN ANALYZE UPDATE shop.products SET price = 1
EXPLAIN SELECT * FROM shop.products
EXPLAIN SELECT 1 FROM shop.customers WHERE email = 'x'
EXPLAIN SELECT shop.looks_immutable(1)
GRANT SELECT ON shop.products TO public
INSERT INTO shop.customers (email) VALUES ('x') ON CONFLICT DO NOTHING
INSERT INTO shop.page_views VALUES {}
INSERT INTO shop.products (id) VALUES (1)
INSERT INTO shop.products (name) SELECT email FROM shop.customers
LOCK TABLE shop.products
MERGE INTO shop.products p USING shop.orders o ON p.id = o.id WHEN MATCHED THEN DELETE
NOTIFY x
REFRESH MATERIALIZED VIEW shop.m_directory
SELECT  'a''b', 1 -- c\n FROM x
SELECT $q$x$q$ /* c */, $1
SELECT 'open
SELECT 'x'::shop.touching_text
SELECT 'ä', x y z
SELECT (SELECT email FROM shop.customers LIMIT 1) AS e
SELECT (c).ssn FROM shop.customers c
SELECT * FROM generate_series(1, 3) g(i), unnest(ARRAY['a']) u
SELECT * FROM shop.v_open_orders
SELECT * FROM shop.v_touch
SELECT 0x1F
SELECT 1
SELECT 1 + 2
SELECT 1 <=+=> 2
SELECT 1 FROM
SELECT 1 FROM other.shop.products
SELECT 1 FROM shop.nothing
SELECT 1 OPERATOR(shop.<=+=>) 2
SELECT 1 WHERE 1 IN ({})
SELECT 1 WHERE {}
SELECT 1; DROP TABEL x
SELECT 1_000
SELECT ? , $1
SELECT ?, ? FROM x
SELECT DISTINCT email FROM shop.customers
SELECT city FROM shop.customers
SELECT contact, tax_ref FROM shop.v_contact
SELECT count(*) FROM shop.customers
SELECT count(*) FROM shop.customers JOIN (VALUES ('x')) v(ssn) USING (ssn)
SELECT count(*) FROM shop.customers WHERE email = 'x'
SELECT count(*) FROM shop.v_customers NATURAL JOIN (SELECT 'x' AS email) x
SELECT email FROM shop.customers
SELECT email FROM shop.customers GROUP BY 1
SELECT email FROM shop.customers INTERSECT SELECT 'x'
SELECT email FROM shop.v_customers UNION ALL SELECT customer_email FROM shop.tickets
SELECT email || 'x' FROM shop.customers
SELECT id FROM shop.customers ORDER BY email
SELECT id FROM shop.customers c JOIN (VALUES ('x')) v(s) ON c.ssn = v.s
SELECT id FROM shop.orders
SELECT id FROM shop.products
SELECT id FROM shop.products FOR UPDATE
SELECT id FROM shop.products LIMIT (SELECT count(*) FROM shop.customers WHERE ssn = 'x')
SELECT id FROM shop.products WHERE id = 1
SELECT id FROM shop.products WHERE id IN (1, 2) ORDER BY name LIMIT 3
SELECT id INTO shop.copy FROM shop.products
SELECT id, email AS x FROM shop.customers
SELECT json_scalar('x')
SELECT lo_create(0)
SELECT loaded_cost FROM shop.v_staff_cost
SELECT lower('A')
SELECT mail FROM (SELECT * FROM shop.v_contact_nested) s(a, b, mail, d)
SELECT mail FROM shop.m_directory
SELECT max(email) FROM shop.customers
SELECT merge_action()
SELECT name FROM shop.products; SELECT set_config('application_name', 'x', false)
SELECT nextval('shop.invoice_no')
SELECT nothing FROM shop.products
SELECT nothing(1)
SELECT now(), version(), current_user, pg_size_pretty(10::bigint)
SELECT p.bump FROM products p
SELECT p.name FROM products p
SELECT pg_advisory_lock(1)
SELECT pg_catalog.lower('A')
SELECT pg_notify('x', 'y')
SELECT pg_read_file('x')
SELECT pg_reload_conf()
SELECT pg_terminate_backend(1)
SELECT query_to_xml('DELETE FROM shop.products', true, true, '')
SELECT relname FROM pg_class WHERE relkind = 'r'
SELECT row_to_json(c) FROM shop.customers c
SELECT set_config('row_security', 'off', false)
SELECT set_config('search_path', 'shop', false); SELECT name FROM products
SELECT shop.get_contact(1)
SELECT shop.looks_immutable(1)
SELECT shop.tally(id) FROM shop.products
SELECT shop.touch_product(1)
SELECT shop.with_tax(10), shop.order_total(3)
SELECT ssn FROM shop.customers_vip
SELECT ssn(c) FROM shop.customers c
SELECT {}
SELECT {}1{}
SET ROLE postgres
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
SET search_path = shop; SELECT name FROM products
TABLE shop.products
TRUNCATE shop.products
UPDATE shop.customers SET points = 1 WHERE id = 1 RETURNING ssn
UPDATE shop.orders SET status = 'paid' WHERE id = 1
UPDATE shop.products SET price = 1 WHERE NOT false
UPDATE shop.products SET price = 1 WHERE name LIKE '%'
VACUUM shop.products
WITH RECURSIVE t(n, e) AS (SELECT 1, email FROM shop.customers UNION ALL SELECT n + 1, e FROM t) SELECT * FROM t
WITH a AS (SELECT id FROM shop.products) SELECT * FROM a JOIN shop.page_views v ON v.product_id = a.id
WITH gone AS (DELETE FROM shop.products RETURNING id) SELECT * FROM gone
