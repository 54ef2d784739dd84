//! Tags.

use std::borrow::Cow;

use saphyr_parser::Tag;

const YAML_TAG: &str = "tag:yaml.org,2002:";

/// What becomes of a tag.
pub(crate) enum Kind {
    /// No tag.
    Default,
    /// A tag of YAML itself, `!!name`.
    Named(String),
    /// Any other tag.
    Foreign(String),
}

pub(crate) fn kind_of(tag: Option<Cow<'_, Tag>>) -> Kind {
    let Some(tag) = tag else {
        return Kind::Default;
    };
    let full = format!("{}{}", tag.handle, tag.suffix);
    match full.strip_prefix(YAML_TAG) {
        Some(name) => Kind::Named(name.to_owned()),
        None => Kind::Foreign(full),
    }
}

impl Kind {
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Named(name) => format!("!!{name}"),
            Self::Foreign(tag) => tag.clone(),
        }
    }
}
