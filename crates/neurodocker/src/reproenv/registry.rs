//! The templates that a request can use.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use nd_report::{Diagnostic, FileId, Severity, Sink};

use super::{SoftwareTemplate, template::FIXED_OPTIONS};
use crate::codes;

/// Software templates by name; a later one replaces an earlier one of the same name.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    added: BTreeMap<String, Arc<SoftwareTemplate>>,
    built_in: bool,
}

impl Registry {
    /// Without any template.
    pub fn empty() -> Self {
        Self::default()
    }

    /// With the built-in templates, each read when it is asked for.
    pub fn built_in() -> Self {
        Self {
            added: BTreeMap::new(),
            built_in: true,
        }
    }

    /// Adds the template that `bytes` hold and gives its name; `None`, with reasons in `sink`, if
    /// they hold none, or its name cannot be used. `compat` asks no more of a name than upstream.
    pub fn add(
        &mut self,
        bytes: &[u8],
        file: FileId,
        compat: bool,
        sink: &mut Sink,
    ) -> Option<String> {
        let template = SoftwareTemplate::parse(bytes, file, !compat, sink)?;
        let key = template.key();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let usable = if compat {
            !key.contains(char::is_whitespace)
        } else {
            key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && key.chars().all(plain)
                && !FIXED_OPTIONS.contains(&key.replace('_', "-").as_str())
        };
        if !usable {
            let message = format!("`{}` cannot be the name of a template", template.name);
            let diagnostic = Diagnostic::new(codes::TEMPLATE_FILE, Severity::Error, message);
            sink.push(diagnostic.hint(
                "a name is letters, digits, `_` and `-`, begins with no digit, and is no option",
            ));
            return None;
        }
        self.added.insert(key.clone(), Arc::new(template));
        Some(key)
    }

    /// The template of a name, upper or lower case.
    pub fn find(&self, name: &str) -> Option<Arc<SoftwareTemplate>> {
        let key = name.to_lowercase();
        match self.added.get(&key) {
            Some(template) => Some(template.clone()),
            None if self.built_in => built_in(&key),
            None => None,
        }
    }

    /// Whether there is a template of this name.
    pub fn has(&self, name: &str) -> bool {
        let key = name.to_lowercase();
        self.added.contains_key(&key)
            || self.built_in && FILES.iter().any(|(known, _)| *known == key)
    }

    /// Names of all templates in lower case, sorted, private ones (`_default`) included.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.added.keys().cloned().collect();
        if self.built_in {
            names.extend(FILES.iter().map(|(name, _)| (*name).to_owned()));
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each built-in template.
        const FILES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../templates/generate/", $name, ".yaml")))),*
        ];
    };
}

files!(
    "_default",
    "afni",
    "ants",
    "bids_validator",
    "cat12",
    "convert3d",
    "dcm2niix",
    "freesurfer",
    "fsl",
    "jq",
    "matlabmcr",
    "minc",
    "miniconda",
    "mricron",
    "mrtrix3",
    "ndfreeze",
    "neurodebian",
    "niftyreg",
    "petpvc",
    "spm12",
    "vnc",
);

/// A built-in template; a test holds that all can be read.
fn built_in(key: &str) -> Option<Arc<SoftwareTemplate>> {
    static READ: [OnceLock<Option<Arc<SoftwareTemplate>>>; FILES.len()] =
        [const { OnceLock::new() }; FILES.len()];
    let at = FILES.iter().position(|(known, _)| *known == key)?;
    READ[at]
        .get_or_init(|| {
            let bytes = FILES[at].1.as_bytes();
            SoftwareTemplate::parse(bytes, FileId(0), true, &mut Sink::new()).map(Arc::new)
        })
        .clone()
}
