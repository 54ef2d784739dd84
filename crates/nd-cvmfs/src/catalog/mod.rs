//! File catalogues: which paths there are, and which objects hold their bytes.

mod counters;
mod read;
mod row;
mod sqlite;
mod write;

pub use counters::{Counter, Counters, Statistics};
pub use read::{Catalog, CatalogError, CatalogProblem, Nested};
pub(crate) use read::{key, path_of_key};
pub use row::{Chunk, Row, RowKind, flag, pack_xattrs, unpack_xattrs};
pub(crate) use sqlite::{attach, check_integrity, open_bytes, property, to_bytes};
pub(crate) use write::write;
