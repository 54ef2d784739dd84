//! What root's commands may do, by the settings of the runtime.

use std::path::Path;

use crate::{Files, plan::runtime::settings};

/// Whether root's commands keep root's capabilities, as the runtime at this path would have it; `None` when that is
/// not said in its settings, or is a list that it alone reads.
pub(super) fn keeps_privileges(runtime: &Path, files: &dyn Files) -> Option<bool> {
    let family = runtime.file_name()?.to_str()?;
    let name = format!("{family}.conf");
    let text = settings(runtime, &name).find_map(|path| files.read(&path))?;
    let mut said = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
        (key == b"root default capabilities").then_some(value)
    });
    match said.next_back() {
        Some(b"full") => Some(true),
        Some(b"no") => Some(false),
        // Who has which: nobody, where the file is empty.
        Some(b"file") => settings(runtime, "capability.json")
            .find_map(|path| files.read(&path))?
            .trim_ascii()
            .is_empty()
            .then_some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    /// A machine with settings, and with who has which capability.
    struct Machine(&'static str, Option<&'static str>);

    impl Files for Machine {
        fn kind(&self, _: &Path) -> Option<Kind> {
            None
        }
        fn same(&self, _: &Path, _: &Path) -> bool {
            false
        }
        fn executable(&self, _: &Path) -> bool {
            false
        }
        fn read(&self, path: &Path) -> Option<Vec<u8>> {
            let text = match path.to_str()? {
                "/opt/etc/apptainer/apptainer.conf" => Some(self.0),
                "/opt/etc/apptainer/capability.json" => self.1,
                _ => None,
            };
            Some(text?.into())
        }
    }

    #[test]
    fn only_what_is_said_is_kept() {
        let keeps = |settings, who| {
            keeps_privileges(Path::new("/opt/bin/apptainer"), &Machine(settings, who))
        };
        for (settings, who, expected) in [
            ("root default capabilities = full\n", None, Some(true)),
            ("# root default capabilities = full\n", None, None),
            ("root default capabilities=no", None, Some(false)),
            (
                "root default capabilities = file\n",
                Some("\n"),
                Some(false),
            ),
            (
                "root default capabilities = file\n",
                Some("{\"users\":{}}"),
                None,
            ),
            ("root default capabilities = file\n", None, None),
            ("root default capabilities = all\n", None, None),
            ("", None, None),
        ] {
            assert_eq!(keeps(settings, who), expected, "{settings} {who:?}");
        }
        let elsewhere = Machine("root default capabilities = full\n", None);
        assert_eq!(
            keeps_privileges(Path::new("/bin/apptainer"), &elsewhere),
            None
        );
    }
}
