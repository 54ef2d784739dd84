//! pip's configuration: INI files, later ones over earlier ones.

use indexmap::IndexMap;

/// Sections with their keys and values. Keys are written as pip writes them, with `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PipConf(IndexMap<String, IndexMap<String, String>>);

impl PipConf {
    /// Adds a file over what is known so far. A value's further lines are indented.
    pub(crate) fn add(&mut self, text: &str) {
        let mut section = String::new();
        let mut last: Option<String> = None;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                let value = last
                    .as_ref()
                    .and_then(|key| self.0.get_mut(&section)?.get_mut(key));
                if let Some(value) = value {
                    value.push('\n');
                    value.push_str(trimmed);
                }
            } else if let Some(name) = trimmed.strip_prefix('[') {
                name.trim_end_matches(']').trim().clone_into(&mut section);
                last = None;
            } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
                let key = key.trim().to_ascii_lowercase().replace('_', "-");
                let values = self.0.entry(section.clone()).or_default();
                values.insert(key.clone(), value.trim().to_owned());
                last = Some(key);
            }
        }
    }

    /// Every value.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.0
            .values()
            .flat_map(|keys| keys.values().map(String::as_str))
    }

    /// Whether a certificate file of its own is named.
    pub(crate) fn names_certificates(&self) -> bool {
        self.0.values().any(|keys| keys.contains_key("cert"))
    }

    /// The configuration for another root: without values that are files of this machine.
    pub(crate) fn for_another_root(&self) -> String {
        let mut out = String::new();
        for (section, keys) in &self.0 {
            let mut lines = String::new();
            for (key, value) in keys {
                let kept: Vec<&str> = value
                    .split_whitespace()
                    .filter(|word| !word.starts_with(['/', '~', '.']) && !word.starts_with("file:"))
                    .collect();
                if !kept.is_empty() {
                    lines.extend([key, " = ", &kept.join("\n    "), "\n"]);
                }
            }
            if !lines.is_empty() {
                out.extend(["[", section, "]\n", &lines]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_merge_and_paths_of_the_machine_stay_here() {
        let mut conf = PipConf::default();
        conf.add("[global]\nindex_url = http://index.example/simple\ncert = /etc/ca.pem\n# x\n");
        conf.add("[global]\nindex-url: http://other.example/simple\nfind-links =\n    /opt/wheels\n    http://w.example/\n[install]\ntrusted-host = h.example\n");
        assert!(conf.names_certificates());
        assert_eq!(
            conf.for_another_root(),
            "[global]\nindex-url = http://other.example/simple\nfind-links = http://w.example/\n[install]\ntrusted-host = h.example\n"
        );
        assert!(conf.values().any(|value| value.contains("w.example")));
    }
}
