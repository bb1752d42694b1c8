-- The sample database of `cargo xtask demo`: a small shop. Rows are generated, and the same each time.

CREATE TYPE order_status AS ENUM ('new', 'paid', 'packed', 'shipped', 'returned', 'cancelled');

CREATE TABLE customers (
    id         integer PRIMARY KEY,
    name       text NOT NULL,
    email      text NOT NULL UNIQUE,
    city       text NOT NULL,
    points     integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL
);

CREATE TABLE products (
    id       integer PRIMARY KEY,
    name     text NOT NULL,
    price    numeric(10,2) NOT NULL,
    in_stock integer NOT NULL
);

CREATE TABLE orders (
    id          integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    status      order_status NOT NULL,
    placed_at   timestamptz NOT NULL,
    total       numeric(12,2) NOT NULL
);

CREATE TABLE order_items (
    order_id   integer NOT NULL REFERENCES orders,
    product_id integer NOT NULL REFERENCES products,
    quantity   integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, product_id)
);

CREATE TABLE payments (
    id          integer PRIMARY KEY,
    order_id    integer NOT NULL REFERENCES orders,
    card_number text NOT NULL,
    amount      numeric(12,2) NOT NULL,
    paid_at     timestamptz NOT NULL
);

INSERT INTO customers
SELECT g,
       (ARRAY['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Radia', 'Tony', 'Frances'])[1 + g % 8] || ' ' ||
       (ARRAY['Almond', 'Birch', 'Cedar', 'Dogwood', 'Elm', 'Fir', 'Gingko'])[1 + g % 7],
       'customer' || g || '@example.com',
       (ARRAY['Lisbon', 'Gdansk', 'Turku', 'Ghent', 'Graz'])[1 + g % 5],
       g * 37 % 500,
       timestamptz '2025-01-01 09:00+00' + g * interval '31 hours'
FROM generate_series(1, 120) AS g;

INSERT INTO products
SELECT g,
       (ARRAY['Lamp', 'Chair', 'Desk', 'Shelf', 'Rug'])[1 + g % 5] || ' no. ' || g,
       5 + g * 13 % 200 + 0.9,
       g * 7 % 60
FROM generate_series(1, 40) AS g;

INSERT INTO orders
SELECT g,
       1 + g * 17 % 120,
       (enum_range(NULL::order_status))[1 + g % 6],
       timestamptz '2026-01-01 08:00+00' + g * interval '7 hours',
       0
FROM generate_series(1, 300) AS g;

INSERT INTO order_items
SELECT o, 1 + (o * 11 + n * 13) % 40, 1 + (o + n) % 3
FROM generate_series(1, 300) AS o, generate_series(0, o % 3) AS n;

UPDATE orders
SET total = (SELECT sum(quantity * price) FROM order_items JOIN products ON products.id = product_id
             WHERE order_id = orders.id);

-- Test numbers of a card scheme: they pass the checksum and belong to nobody.
INSERT INTO payments
SELECT id, id, (ARRAY['4111111111111111', '4012888888881881', '5555555555554444'])[1 + id % 3], total,
       placed_at + interval '2 minutes'
FROM orders
WHERE status IN ('paid', 'packed', 'shipped');

CREATE VIEW open_orders AS
SELECT orders.id, customers.name, customers.email, status, total
FROM orders JOIN customers ON customers.id = customer_id
WHERE status IN ('new', 'paid', 'packed');

ANALYZE;
