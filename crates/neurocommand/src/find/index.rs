//! What the catalogue itself does not say about containers: a description and their commands.

use std::collections::BTreeMap;

use nd_report::is_invisible;
use serde::{Deserialize, Serialize};

/// Version of the document this program writes.
const VERSION: u32 = 1;

/// Words and commands by container, `index.json` beside the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Version of the document.
    pub schema_version: u32,
    /// Containers by name.
    pub containers: BTreeMap<String, About>,
}

/// What is known about a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// One paragraph for people.
    #[serde(default)]
    pub description: String,
    /// Names of the commands it offers, sorted.
    #[serde(default)]
    pub commands: Vec<String>,
}

/// Who gives a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandOwner {
    /// The container.
    pub container: String,
    /// Its newest version in the catalogue; empty when it is not in the catalogue.
    pub version: String,
    /// Containers that offer a command of the same name: whichever is loaded last is run.
    pub shadows: Vec<String>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: VERSION,
            containers: BTreeMap::new(),
        }
    }
}

impl Index {
    /// Reads a document. Characters that show nothing, or change how others are shown, become blanks: a
    /// file from elsewhere does not move cursors.
    ///
    /// # Errors
    ///
    /// When it is no index.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        let mut index: Self = serde_json::from_str(text)?;
        for about in index.containers.values_mut() {
            let texts = about.commands.iter_mut().chain([&mut about.description]);
            for text in texts.filter(|text| text.contains(is_invisible)) {
                *text = text.replace(is_invisible, " ");
            }
        }
        Ok(index)
    }

    /// Names of the containers that offer `command`.
    pub fn owners(&self, command: &str) -> Vec<&str> {
        self.containers
            .iter()
            .filter(|(_, about)| about.commands.iter().any(|known| known == command))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Every command, sorted, none twice.
    pub fn commands(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self
            .containers
            .values()
            .flat_map(|about| about.commands.iter().map(String::as_str))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
