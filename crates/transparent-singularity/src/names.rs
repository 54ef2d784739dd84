//! What people mean by a name, and what they may have meant.

use std::cmp::Ordering;

use nd_names::ImageName;
use nd_report::edits;

/// Compares versions as people count: runs of digits as numbers, all else as text.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (left, right) = (digits(&mut a), digits(&mut b));
                let order = (left.len().cmp(&right.len())).then_with(|| left.cmp(right));
                if order != Ordering::Equal {
                    return order;
                }
            }
            (Some(x), Some(y)) => {
                // A word comes before a number: `1.0-rc1` before `1.0.1`.
                let order = x
                    .is_ascii_digit()
                    .cmp(&y.is_ascii_digit())
                    .then_with(|| x.cmp(y));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (&a[1..], &b[1..]);
            }
        }
    }
}

/// Takes a run of digits off the start, without leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    let zeros = run.iter().take_while(|&&byte| byte == b'0').count();
    &run[zeros.min(run.len().saturating_sub(1))..]
}

/// What `text` names among `names`: a full image name exactly; `TOOL/VERSION`, `TOOL_VERSION` or
/// `TOOL VERSION` its newest build; `TOOL` the newest build of its newest version.
pub fn choose<'n>(text: &str, names: &'n [ImageName]) -> Option<&'n ImageName> {
    let text = text.trim();
    if let Ok(full) = text.parse::<ImageName>()
        && let Some(found) = names.iter().find(|name| **name == full)
    {
        return Some(found);
    }
    let (tool, version) = match text.split_once(['/', ' ']) {
        Some((tool, version)) => (tool, Some(version)),
        None => (text, None),
    };
    let newest = |tool: &str, version: Option<&str>| {
        let fits = |name: &&ImageName| {
            name.app.as_str() == tool && version.is_none_or(|v| name.version.as_str() == v)
        };
        names.iter().filter(fits).max_by(|a, b| {
            compare_versions(a.version.as_str(), b.version.as_str())
                .then_with(|| a.date.cmp(&b.date))
        })
    };
    newest(tool, version).or_else(|| {
        let (tool, version) = text.rsplit_once('_')?;
        newest(tool, Some(version))
    })
}

/// The names nearest to `text`, best first, three at most: what a typing error would have been.
pub fn nearest(text: &str, names: &[ImageName]) -> Vec<String> {
    let text = text.trim().to_lowercase();
    let tool = text.split(['/', ' ']).next().unwrap_or(&text);
    let tool = tool
        .parse::<ImageName>()
        .map_or(tool.to_owned(), |name| name.app.to_string());
    let mut tools: Vec<&str> = names.iter().map(|name| name.app.as_str()).collect();
    tools.sort_unstable();
    tools.dedup();
    if tools.contains(&tool.as_str()) {
        // The tool is right, so the version or the build is what is wrong.
        let mut versions: Vec<&ImageName> = names
            .iter()
            .filter(|name| name.app.as_str() == tool)
            .collect();
        versions.sort_by(|a, b| compare_versions(b.version.as_str(), a.version.as_str()));
        versions.dedup_by(|a, b| a.version == b.version);
        let full = |name: &&ImageName| format!("{}/{}", name.app, name.version);
        return versions.iter().take(3).map(full).collect();
    }
    let limit = 1 + tool.chars().count() / 3;
    let mut found: Vec<(usize, &str)> = (tools.into_iter())
        .filter_map(|other| {
            let part = other.contains(tool.as_str()) && tool.len() > 2;
            let far = edits(&tool, other, limit).or(part.then_some(limit + 1))?;
            Some((far, other))
        })
        .collect();
    found.sort_unstable();
    found
        .into_iter()
        .take(3)
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    //! Newest, nearest, and order of versions.

    use super::*;

    fn names() -> Vec<ImageName> {
        let texts = [
            "itksnap_3.6.0_20210322",
            "itksnap_3.6.0_20240101",
            "itksnap_3.10.0_20200101",
            "fsl_6.0.4_20210105",
            "tool_arm64_1.0_20240101",
        ];
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_newest_is_meant() {
        let names = names();
        for (text, stem) in [
            ("itksnap", "itksnap_3.10.0_20200101"),
            ("itksnap/3.6.0", "itksnap_3.6.0_20240101"),
            ("itksnap 3.6.0", "itksnap_3.6.0_20240101"),
            ("itksnap_3.6.0", "itksnap_3.6.0_20240101"),
            ("itksnap_3.6.0_20210322.simg", "itksnap_3.6.0_20210322"),
            ("tool_arm64", "tool_arm64_1.0_20240101"),
        ] {
            assert_eq!(
                choose(text, &names).map(ImageName::stem).as_deref(),
                Some(stem),
                "{text}"
            );
        }
        for text in ["itk", "itksnap/4", "itksnap_3.6.0_20210323", ""] {
            assert_eq!(choose(text, &names), None, "{text}");
        }
    }

    #[test]
    fn a_wrong_name_has_near_ones() {
        let names = names();
        assert_eq!(nearest("itksnpa", &names), ["itksnap"]);
        assert_eq!(nearest("ITK-SNAP/3.6.0", &names), ["itksnap"]);
        assert_eq!(
            nearest("itksnap/4.0", &names),
            ["itksnap/3.10.0", "itksnap/3.6.0"]
        );
        assert_eq!(
            nearest("itksnap_3.6.0_20990101", &names)[0],
            "itksnap/3.10.0"
        );
        assert!(nearest("xyzzy", &names).is_empty());
    }

    #[test]
    fn versions_are_ordered_as_people_count() {
        let order = ["1.0", "1.0-rc1", "1.0.1", "1.0.9", "1.0.10", "2", "10.0"];
        for pair in order.windows(2) {
            assert_eq!(
                compare_versions(pair[0], pair[1]),
                Ordering::Less,
                "{pair:?}"
            );
        }
        assert_eq!(compare_versions("1.01", "1.1"), Ordering::Equal);
    }
}
