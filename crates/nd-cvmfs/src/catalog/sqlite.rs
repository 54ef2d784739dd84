//! SQLite data bases in memory: made and taken as bytes, read with suspicion.

use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, config::DbConfig};

/// Steps of SQLite's machine between two looks at whether a query is hostile.
const STEPS: i32 = 1_000_000;
/// Looks after which it is: far more than any of our queries takes on data of legal size.
const LOOKS: u32 = 100_000;

/// Opens a data base from its bytes. What is in it is hostile: only tables and indexes are accepted,
/// nothing in its schema is run.
pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Connection, rusqlite::Error> {
    let mut connection = Connection::open_in_memory()?;
    attach(&mut connection, bytes, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")?;
    let mut looks = 0;
    connection.progress_handler(
        STEPS,
        Some(move || {
            looks += 1;
            looks > LOOKS
        }),
    )?;
    let other: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type NOT IN ('table', 'index')
         OR (type = 'table' AND sql LIKE 'CREATE VIRTUAL%')",
        [],
        |row| row.get(0),
    )?;
    if other != 0 {
        return Err(rusqlite::Error::InvalidQuery);
    }
    Ok(connection)
}

/// Makes `bytes` the content of a connection.
pub(crate) fn attach(
    connection: &mut Connection,
    bytes: &[u8],
    read_only: bool,
) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.deserialize_read_exact(MAIN_DB, bytes, bytes.len(), read_only)
}

/// The bytes of a data base.
pub(crate) fn to_bytes(connection: &mut Connection) -> Result<Vec<u8>, rusqlite::Error> {
    Ok(connection.serialize(MAIN_DB)?.to_vec())
}

/// The value of a key in the table `properties`.
pub(crate) fn property(
    connection: &Connection,
    key: &str,
) -> Result<Option<String>, rusqlite::Error> {
    use rusqlite::OptionalExtension as _;
    connection
        .query_row(
            "SELECT CAST(value AS TEXT) FROM properties WHERE key = ?1",
            [key],
            |row| row.get(0),
        )
        .optional()
        .map(Option::flatten)
}

/// What SQLite's own check says; `None` when it finds nothing.
pub(crate) fn check_integrity(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let text: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((text != "ok").then_some(text))
}
