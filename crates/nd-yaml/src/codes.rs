//! Codes of the diagnostics that reading YAML can give.

use nd_report::Code;

/// The text breaks the syntax of YAML.
pub const SYNTAX: Code = code(1, "yaml-syntax");
/// The text is too large, too deep or has too many values.
pub const LIMIT: Code = code(2, "yaml-limit");
/// The text is not UTF-8, or holds characters that YAML does not allow.
pub const ENCODING: Code = code(3, "yaml-encoding");
/// A key stands twice in one mapping.
pub const DUPLICATE_KEY: Code = code(4, "yaml-duplicate-key");
/// A key is a list or a mapping.
pub const UNUSABLE_KEY: Code = code(5, "yaml-unusable-key");
/// A tag is unknown, or does not fit what it stands at.
pub const TAG: Code = code(6, "yaml-tag");
/// A scalar looks like a date or a number but is none.
pub const VALUE: Code = code(7, "yaml-value");
/// A merge key stands before something that is no mapping.
pub const MERGE: Code = code(8, "yaml-merge");
/// An alias names nothing, itself, or too much.
pub const ALIAS: Code = code(9, "yaml-alias");
/// There is more than one document.
pub const DOCUMENTS: Code = code(10, "yaml-documents");

/// All codes of this crate.
pub const ALL: &[Code] = &[
    SYNTAX,
    LIMIT,
    ENCODING,
    DUPLICATE_KEY,
    UNUSABLE_KEY,
    TAG,
    VALUE,
    MERGE,
    ALIAS,
    DOCUMENTS,
];

const fn code(number: u16, name: &'static str) -> Code {
    Code { number, name }
}
