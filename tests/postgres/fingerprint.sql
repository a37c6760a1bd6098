-- A line for each table with its number of rows and a digest over every column of them, for each
-- sequence with where it stands, and for each view and index with its definition.

SELECT format(
    'SELECT %L || count(*) || '' rows '' || coalesce(md5(string_agg(row, E''\n'' ORDER BY row)), ''-'')
     FROM (SELECT t::text COLLATE "C" AS row FROM %I AS t) AS rows', relname || ': ', relname)
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
\gexec
