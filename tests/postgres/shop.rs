//! The database that is dumped: pgbench's tables and some of our own, two states of it, and the
//! fingerprint by which a restored one is compared.

use super::server::Server;

/// Makes the database `shop` as it is in the first night.
pub(crate) fn open(server: &Server) {
    server.create_database("shop");
    server.run("pgbench", &["--initialize", "--quiet", "--scale=1", "shop"]);
    server.sql("shop", include_str!("shop.sql"));
}

/// Changes it into what it is in the second night.
pub(crate) fn change(server: &Server) {
    server.sql("shop", include_str!("changes.sql"));
}

/// Everything in a database that a dump has to bring back.
#[track_caller]
pub(crate) fn fingerprint(server: &Server, database: &str) -> String {
    let lines = server.sql(database, include_str!("fingerprint.sql"));
    assert!(lines.lines().count() > 10, "hardly any table in {database}:\n{lines}");
    lines
}
