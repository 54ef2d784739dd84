//! APT's lists of sources, in both their forms (`sources.list(5)`).

/// One archive that a list names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// Base address, without a final slash.
    pub uri: String,
    /// Suite, such as `bookworm` or `bookworm-security`.
    pub suite: String,
    /// Components, such as `main`.
    pub components: Vec<String>,
}

impl AptSource {
    /// Last part of the address: `debian`, `debian-security`, `ubuntu`, …
    pub fn archive(&self) -> &str {
        self.uri.rsplit('/').next().unwrap_or_default()
    }

    /// Host of the address, with its port; empty where there is none.
    pub fn authority(&self) -> &str {
        authority(&self.uri)
    }

    /// The address of the file that states what the suite holds.
    pub fn in_release(&self) -> String {
        format!("{}/dists/{}/InRelease", self.uri, self.suite)
    }

    /// The source in the one-line form.
    pub fn line(&self) -> String {
        format!(
            "deb {} {} {}",
            self.uri,
            self.suite,
            self.components.join(" ")
        )
    }
}

/// Reads a list in the one-line form (`deb [options] URI SUITE COMPONENT…`); source packages,
/// comments and lines of other forms are passed over.
pub fn parse_list(text: &str) -> Vec<AptSource> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default().trim();
            let rest = line.strip_prefix("deb")?;
            let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            let mut words = rest.split_whitespace();
            let (uri, suite) = (words.next()?, words.next()?);
            Some(AptSource {
                uri: uri.trim_end_matches('/').into(),
                suite: suite.into(),
                components: words.map(Into::into).collect(),
            })
        })
        .collect()
}

/// Reads a list in the deb822 form; disabled stanzas and source packages are passed over.
pub fn parse_deb822(text: &str) -> Vec<AptSource> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let text = lines.join("\n");
    for stanza in text.split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza.lines() {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let words = |name: &str| -> Vec<String> {
            fields
                .iter()
                .filter(|(key, _)| key == name)
                .flat_map(|(_, value)| value.split_whitespace())
                .map(Into::into)
                .collect()
        };
        let enabled = words("enabled").first().is_none_or(|value| value != "no");
        if !enabled || !words("types").iter().any(|kind| kind == "deb") {
            continue;
        }
        for uri in words("uris") {
            for suite in words("suites") {
                found.push(AptSource {
                    uri: uri.trim_end_matches('/').into(),
                    suite,
                    components: words("components"),
                });
            }
        }
    }
    found
}

/// Host and port of an address, without user and password.
pub(crate) fn authority(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let list = "# x\ndeb [signed-by=/k arch=amd64] http://h/debian/ bookworm main contrib # y\n\
                    deb-src http://h/debian bookworm main\ndebug\n";
        let deb822 = "Types: deb deb-src\n# note\nURIs: http://h/debian/\nSuites: bookworm\n\
                      Components: main\n contrib\nSigned-By: /k\n\nTypes: deb\nEnabled: no\nURIs: http://off\nSuites: x\n";
        let wanted = vec![AptSource {
            uri: "http://h/debian".into(),
            suite: "bookworm".into(),
            components: vec!["main".into(), "contrib".into()],
        }];
        assert_eq!(parse_list(list), wanted);
        assert_eq!(parse_deb822(deb822), wanted);
        assert_eq!(wanted[0].archive(), "debian");
        assert_eq!(wanted[0].authority(), "h");
        assert_eq!(authority("https://u:p@h.example:80/x"), "h.example:80");
        assert_eq!(
            wanted[0].line(),
            "deb http://h/debian bookworm main contrib"
        );
    }
}
