//! What differs from run to run, and what stands for it in snapshots.

/// Pairs of pattern and replacement for `insta`: digests, durations, sizes and temporary folders.
pub fn filters() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"sha256:[0-9a-f]{64}", "sha256:[digest]"),
        (r"\b[0-9a-f]{64}\b", "[digest]"),
        (r"\b\d+ (?:min \d+ s|h \d+ min)", "[time]"),
        (r"\b\d+(?:\.\d+)? (?:ms|s)\b", "[time]"),
        (r"\b\d+(?:\.\d+)? (?:B|kB|MB|GB)\b", "[size]"),
        (r"/tmp/\.tmp[A-Za-z0-9]{6}", "[tmp]"),
    ]
}
