-- The day between two nights: updates, inserts, deletes, a new table.

UPDATE pgbench_accounts SET abalance = aid % 1000, filler = 'changed ' || aid
    WHERE aid BETWEEN 40001 AND 41000;
UPDATE pgbench_branches SET bbalance = -5;
INSERT INTO pgbench_history SELECT 1, 1, i, i, '2026-01-02 03:04:05', 'x' FROM generate_series(1, 500) AS i;
UPDATE orders SET state = 'paid', total = total + 0.000001 WHERE id BETWEEN 39000 AND 39400;
DELETE FROM orders WHERE id BETWEEN 20001 AND 20100;
INSERT INTO orders (customer, state, total, weight, placed, lines, tags) SELECT
    NULL, 'new', i, 1e-300 * i, '2026-01-02 03:04:05.678901',
    jsonb_build_object('article', md5('new article ' || i), 'pieces', i),
    ARRAY['new', md5('new ' || i), md5('newer ' || i)]
FROM generate_series(1, 1000) AS i;
DELETE FROM documents WHERE id BETWEEN 500 AND 509;
UPDATE documents SET content = content || '\x00ff0a5c' WHERE id BETWEEN 510 AND 519;
UPDATE customers SET profile = profile || '{"vip": true}' WHERE name LIKE 'Käthe 77%';
INSERT INTO empty VALUES (1, NULL);
CREATE TABLE late (id integer PRIMARY KEY, text text);
INSERT INTO late SELECT i, md5(i::text) FROM generate_series(1, 3000) AS i;
REFRESH MATERIALIZED VIEW totals;
