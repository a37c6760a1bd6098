//! Real input: a PostgreSQL server, its dumps in every format, and databases restored from them.

mod cluster;
mod failures;
mod nights;
mod server;
mod shop;
