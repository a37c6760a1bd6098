-- Types that pgbench has not, with the values that are easily lost on the way.

CREATE TYPE state AS ENUM ('new', 'paid', 'it''s complicated');
CREATE TABLE customers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    note text,
    profile jsonb NOT NULL,
    joined timestamptz NOT NULL
);
CREATE TABLE orders (
    id bigserial PRIMARY KEY,
    customer uuid REFERENCES customers,
    state state NOT NULL,
    total numeric(20, 6) NOT NULL,
    weight double precision NOT NULL,
    placed timestamp NOT NULL,
    lines jsonb NOT NULL,
    tags text[]
);
CREATE INDEX orders_placed ON orders (placed);
CREATE TABLE documents (
    id integer PRIMARY KEY,
    content bytea,
    digest bytea GENERATED ALWAYS AS (sha256(content)) STORED
);
CREATE TABLE oddities (id integer PRIMARY KEY, text text, number numeric, moment timestamptz, flag boolean);
CREATE TABLE empty (id integer, nothing text);
CREATE VIEW open_orders AS SELECT * FROM orders WHERE state <> 'paid';
CREATE MATERIALIZED VIEW totals AS
    SELECT state, count(*), sum(total) FROM orders GROUP BY state WITH NO DATA;

INSERT INTO customers SELECT
    md5('customer ' || i)::uuid,
    'Käthe ' || i || ' ' || md5(i::text),
    CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE E'tab\there, \\. back\\slash, line\nbreak, ✓' END,
    jsonb_build_object('n', i, 'text', 'a ''quoted'' word', 'list', jsonb_build_array(i, NULL, true)),
    '2020-01-01 00:00:00+00'::timestamptz + i * interval '1 hour 1.000001 second'
FROM generate_series(1, 10000) AS i;
INSERT INTO orders (customer, state, total, weight, placed, lines, tags) SELECT
    md5('customer ' || 1 + i % 10000)::uuid,
    (enum_range(NULL::state))[1 + i % 3],
    (i * 7919 % 1000003)::numeric / 64,
    sqrt(i) * pi(),
    '2024-02-29'::timestamp + i * interval '61 second',
    jsonb_build_object('article', md5('article ' || i), 'pieces', i % 10),
    CASE WHEN i % 5 > 0 THEN ARRAY['a', 'b,c', NULL, '{"}', md5(i::text)] END
FROM generate_series(1, 40000) AS i;
INSERT INTO documents SELECT i,
    (SELECT string_agg(sha512((i || ' ' || j)::bytea), NULL ORDER BY j) FROM generate_series(1, i % 40) AS j)
FROM generate_series(1, 1000) AS i;
INSERT INTO oddities VALUES
    (1, NULL, 'NaN', 'infinity', NULL),
    (2, '', 0.00000000000000000001, '-infinity', true),
    (3, E'\\N', 1e100, '0044-03-15 12:00:00+00 BC', false),
    (4, repeat('long ', 100000), -1, '9999-12-31 23:59:59.999999+00', true),
    (5, E'\\.\n\\.\n', 1234567890.0123456789, 'epoch', NULL);
REFRESH MATERIALIZED VIEW totals;
