//! APT's lists of packages, kept from step to step of a build.
//!
//! Every step that installs something fetches the lists and removes them at its end. In a directory
//! of the build's own they only have to be asked for changes; no layer can tell the difference.

/// Where the directory is in an image.
pub(crate) const DIRECTORY: &str = "/run/nd-build/apt-lists";
/// The setting that says so: where it is mounted, and its text.
pub(crate) const SETTING: (&str, &str) = (
    "/etc/apt/apt.conf.d/91nd-lists",
    "Dir::State::Lists \"/run/nd-build/apt-lists/\";\n",
);

/// Whether a script fetches lists and leaves none. One that leaves them needs them in its layer, and
/// one that fetches none those of a layer below.
pub(crate) fn are_thrown_away(script: &str) -> bool {
    let last = |words: &[&str]| words.iter().filter_map(|word| script.rfind(word)).max();
    let fetched = last(&["apt-get update", "apt update", "apt-get -qq update"]);
    let removed = last(&["rm -rf /var/lib/apt/lists/*", "rm -rf /var/lib/apt/lists"]);
    fetched.is_some() && fetched < removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_that_fetch_lists_and_remove_them_afterwards() {
        for (script, expected) in [
            (
                "apt-get update -qq\napt-get install -y -q a\nrm -rf /var/lib/apt/lists/*",
                true,
            ),
            ("apt-get update && apt-get install a", false),
            ("apt-get install a && rm -rf /var/lib/apt/lists/*", false),
            (
                "rm -rf /var/lib/apt/lists/* && apt-get update && apt-get install a",
                false,
            ),
            ("true", false),
        ] {
            assert_eq!(are_thrown_away(script), expected, "{script}");
        }
    }
}
