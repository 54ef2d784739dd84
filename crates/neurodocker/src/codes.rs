//! Codes of the diagnostics that reading a template file can give.

use nd_report::Code;

/// A template file does not have the form of one.
pub const TEMPLATE_FILE: Code = Code {
    number: 60,
    name: "template-file",
};

/// All codes of this crate.
pub const ALL: &[Code] = &[TEMPLATE_FILE];
