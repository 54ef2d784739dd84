//! Codes of all diagnostics about descriptions of servers.

use nd_report::{Code, Explanation};

/// The text is no description.
pub const DESCRIPTION: Code = Code {
    number: 800,
    name: "server-description",
};

/// A value cannot be used together with the others.
pub const DESCRIPTION_RULE: Code = Code {
    number: 801,
    name: "server-description-rule",
};

/// Words about every code of this crate, by number.
pub const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        code: DESCRIPTION,
        summary: "the text is no description of servers",
        details: "Descriptions are TOML. A key that is not known is an error, since a misspelt one means that the \
                  intended one is missing. Names, addresses and paths end up in configuration files and command \
                  lines: what would mean more there than itself, such as quotes, blanks or `;`, is refused, never \
                  escaped.",
        wrong: "",
        right: "",
    },
    Explanation {
        code: DESCRIPTION_RULE,
        summary: "a value of a description cannot be used together with the others",
        details: "Lists of servers, clients and destinations hold at least one entry; the ports of a replica are not \
                  that of the web server behind it; packages are of the kind that the host installs.",
        wrong: "",
        right: "",
    },
];
