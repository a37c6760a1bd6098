//! The database that is dumped: pgbench's tables and some of our own, two states of it, and the
//! fingerprint by which a restored one is compared.

use super::server::Server;

/// Types that pgbench has not, with the values that are easily lost on the way.
const TABLES: &str = r"
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
    CASE WHEN i % 5 > 0 THEN ARRAY['a', 'b,c', NULL, '{""}', md5(i::text)] END
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
";

/// The day between two nights: updates, inserts, deletes, a new table.
const CHANGES: &str = r"
UPDATE pgbench_accounts SET abalance = aid % 1000, filler = 'changed ' || aid
    WHERE aid BETWEEN 40001 AND 41000;
UPDATE pgbench_branches SET bbalance = -5;
INSERT INTO pgbench_history SELECT 1, 1, i, i, '2026-01-02 03:04:05', 'x' FROM generate_series(1, 500) AS i;
UPDATE orders SET state = 'paid', total = total + 0.000001 WHERE id BETWEEN 39000 AND 39400;
DELETE FROM orders WHERE id BETWEEN 20001 AND 20100;
INSERT INTO orders (customer, state, total, weight, placed, lines)
    SELECT NULL, 'new', i, 1e-300 * i, '2026-01-02', '{}' FROM generate_series(1, 1000) AS i;
DELETE FROM documents WHERE id % 100 = 0;
UPDATE documents SET content = content || '\x00ff0a5c' WHERE id % 100 = 1;
UPDATE customers SET profile = profile || '{""vip"": true}' WHERE name LIKE 'Käthe 77%';
INSERT INTO empty VALUES (1, NULL);
CREATE TABLE late (id integer PRIMARY KEY, text text);
INSERT INTO late SELECT i, md5(i::text) FROM generate_series(1, 3000) AS i;
REFRESH MATERIALIZED VIEW totals;
";

/// A line for each table with its number of rows and a digest over every column of them, for
/// each sequence with where it stands, and for each view with its definition.
const FINGERPRINT: &str = r"
SELECT format(
    'SELECT %L || count(*) || '' rows '' || coalesce(md5(string_agg(row, E''\n'' ORDER BY row)), ''-'')
     FROM (SELECT t::text COLLATE ""C"" AS row FROM %I AS t) AS rows', relname || ': ', relname)
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm', 'p')
UNION ALL
SELECT format('SELECT %L || last_value || is_called FROM %I', relname || ': ', relname)
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
UNION ALL
SELECT format('SELECT %L', relname || ': ' || md5(pg_get_viewdef(oid)))
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
UNION ALL
SELECT format('SELECT %L', 'index: ' || pg_get_indexdef(indexrelid))
FROM pg_index JOIN pg_class ON oid = indrelid WHERE relnamespace = 'public'::regnamespace
ORDER BY 1
";

/// Makes the database `shop` as it is in the first night.
pub(crate) fn open(server: &Server) {
    server.create_database("shop");
    server.run("pgbench", &["--initialize", "--quiet", "--scale=1", "shop"]);
    server.sql("shop", &doubled(TABLES));
}

/// Changes it into what it is in the second night.
pub(crate) fn change(server: &Server) {
    server.sql("shop", &doubled(CHANGES));
}

/// Everything in a database that a dump has to bring back.
#[track_caller]
pub(crate) fn fingerprint(server: &Server, database: &str) -> String {
    let queries = server.sql(database, &doubled(FINGERPRINT));
    let one = queries.split("\nSELECT ").collect::<Vec<_>>().join(";\nSELECT ");
    server.sql(database, &format!("SET extra_float_digits = 3;\n{one}"))
}

/// In these statements two double quotes stand for one.
fn doubled(statements: &str) -> String {
    statements.replace("\"\"", "\"")
}
