//! Names of applications, taken apart.

use serde::Serialize;

/// What the name of an application says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppIdentity {
    /// The module and image it belongs to.
    pub container: String,
    /// The version of that container; empty when the name has none.
    pub version: String,
    /// The label of a program of the container.
    pub label: Option<String>,
}

impl AppIdentity {
    /// Takes `name` apart. An application with a command is called `LABEL-CONTAINER VERSION`; `None`
    /// when it has no `-`. Without a command the name is split at its last space.
    pub fn of(name: &str, has_exec: bool) -> Option<Self> {
        let (label, rest) = if has_exec {
            let (label, rest) = name.split_once('-')?;
            (Some(label.to_owned()), rest)
        } else {
            (None, name)
        };
        let (container, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        Some(Self {
            container: container.to_owned(),
            version: version.to_owned(),
            label,
        })
    }
}

/// Whether the application called `name` in `container` stands for the image: its name has no `-`, or
/// is the container's name, a space and one more word.
pub(super) fn is_primary(name: &str, container: &str) -> bool {
    !name.contains('-')
        || name
            .rsplit_once(' ')
            .is_some_and(|(front, _)| front == container)
}

/// Why a name cannot be used: the character and its place.
pub(super) fn unsafe_character(name: &str) -> Option<(usize, char)> {
    name.char_indices().find(|&(at, c)| {
        let first = c.is_ascii_alphanumeric();
        let later = matches!(c, ' ' | '.' | '_' | '-' | '+');
        !(first || (later && at > 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_names_are_those_of_the_specification() {
        let view = AppIdentity::of("viewGUI-tool_arm64 1.2.3", true).unwrap();
        assert_eq!(view.container, "tool_arm64");
        assert_eq!(view.version, "1.2.3");
        assert_eq!(view.label.as_deref(), Some("viewGUI"));
        let legacy = AppIdentity::of("amico 2.1.0 arm64", false).unwrap();
        assert_eq!(
            (legacy.container.as_str(), legacy.version.as_str()),
            ("amico 2.1.0", "arm64")
        );
        assert_eq!(AppIdentity::of("plain", false).unwrap().version, "");
        assert_eq!(AppIdentity::of("plain 1", true), None);
    }

    #[test]
    fn primary_names_are_those_of_the_specification() {
        assert!(is_primary("hy-phen 1.0", "hy-phen"));
        assert!(!is_primary("hy-phen 1.0 arm64", "hy-phen"));
        assert!(!is_primary("xGUI-hy-phen 1.0", "hy-phen"));
        assert!(is_primary("plain 2.1.0 arm64", "plain"));
    }

    #[test]
    fn names_that_could_do_harm_are_refused() {
        for good in [
            "abc 1.0",
            "napari GUI-napari 0.8.0",
            "3DSlicer 5.0",
            "c++ 1",
        ] {
            assert_eq!(unsafe_character(good), None, "{good}");
        }
        for bad in [
            "../x 1",
            "a\nb 1",
            "a'b 1",
            "a\"b",
            "$(x)",
            "a;b",
            "a|b",
            "a`b",
            "-a",
            ".a",
            " a",
            "a\u{202e}b",
            "مرحبا",
        ] {
            assert!(unsafe_character(bad).is_some(), "{bad}");
        }
    }
}
