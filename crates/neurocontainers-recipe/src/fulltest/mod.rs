//! `fulltest.yaml`: the tests of a container, as data.
//!
//! [`load_suite`] and [`parse_suite`] read a suite; [`Suite::expand`] puts the values of its
//! variables into all its texts. Running tests is somebody else's work.

mod contract;
mod decode;
mod expand;
mod model;
mod validate;

pub use contract::check_contract;
pub use decode::{SuiteFile, load_suite, parse_suite};
pub use expand::Places;
pub use model::{Check, ExpectedExit, RequiredFiles, Suite, Test, TestBody};
