//! Which tags are old enough to go.

use jiff::Timestamp;
use nd_cvmfs::TagName;

/// A tag, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTag {
    /// Its name.
    pub name: String,
    /// The revision it names.
    pub revision: u64,
    /// When it was made, in seconds since 1970.
    pub timestamp: i64,
}

/// Names of the tags that are older than `days`, but for those that begin with one of `kept`, and for
/// `trunk` and `trunk-previous`, which CVMFS moves along itself.
pub fn old_tags(tags: &[KnownTag], now: Timestamp, days: u32, kept: &[String]) -> Vec<TagName> {
    let before = now.as_second().saturating_sub(i64::from(days) * 86_400);
    let old = tags
        .iter()
        .filter(|tag| tag.timestamp < before)
        .filter(|tag| {
            !kept
                .iter()
                .any(|start| tag.name.starts_with(start.as_str()))
        });
    // The moving ones are no names of tags, and an option is none to us.
    old.filter_map(|tag| tag.name.parse().ok())
        .filter(|name: &TagName| !name.as_str().starts_with('-'))
        .collect()
}

#[cfg(test)]
mod tests {
    //! Which of them are old.

    use super::*;

    #[test]
    fn what_is_kept_is_kept() {
        let tag = |name: &str, days: i64| KnownTag {
            name: name.into(),
            revision: 1,
            timestamp: 1_700_000_000 - days * 86_400,
        };
        let tags = [
            tag("old", 31),
            tag("new", 29),
            tag("generic-2020", 400),
            tag("trunk", 400),
            tag("trunk-previous", 400),
            tag("-f", 400),
        ];
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let old = old_tags(&tags, now, 30, &["generic-".into()]);
        let old: Vec<&str> = old.iter().map(TagName::as_str).collect();
        assert_eq!(old, ["old"]);
    }
}
