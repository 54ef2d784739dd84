//! What a revision changes.

use std::{fmt, str::FromStr};

use nd_rootfs::{Attr, Contents, Entry, Index, IndexError, Kind, MemoryContents, TreePath};

/// Edits that become visible together.
#[derive(Debug)]
pub struct ChangeSet {
    /// In the order in which they are done.
    pub edits: Vec<Edit>,
    /// What the revision is for.
    pub message: Message,
}

/// One change of the tree.
#[derive(Debug)]
pub enum Edit {
    /// A directory takes the place of what is at `at`.
    Directory {
        /// Where.
        at: TreePath,
        /// What it is made of, outer parts before those inside of them; the first is the directory
        /// itself.
        parts: Vec<Part>,
    },
    /// A small file takes the place of what is at `at`.
    File {
        /// Where.
        at: TreePath,
        /// Its bytes.
        bytes: Vec<u8>,
        /// Its permission bits.
        mode: u16,
    },
    /// What is at `at` goes, if anything is.
    Remove {
        /// Where.
        at: TreePath,
    },
}

impl Edit {
    /// Its path.
    pub fn at(&self) -> &TreePath {
        match self {
            Self::Directory { at, .. } | Self::File { at, .. } | Self::Remove { at } => at,
        }
    }
}

/// A tree that is, or lies in, a directory; where catalogues exist it has one of its own.
#[derive(Debug)]
pub struct Part {
    /// Where in the directory; `None` for the directory itself.
    pub below: Option<TreePath>,
    /// The tree and its bytes.
    pub tree: TreeContents,
}

/// A tree that can be published, with its bytes.
pub struct TreeContents {
    /// What is in it.
    pub index: Index,
    /// The bytes.
    pub contents: Box<dyn Contents>,
}

impl fmt::Debug for TreeContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeContents")
            .field("entries", &self.index.len())
            .finish_non_exhaustive()
    }
}

impl TreeContents {
    /// The tree without devices, pipes and sockets, which no repository shows to users; says how many
    /// there were.
    pub fn plain(self) -> Result<(Self, usize), IndexError> {
        let Self { index, contents } = self;
        let before = index.len();
        let mut entries = index.into_entries();
        entries.retain(|entry| {
            matches!(
                entry.kind,
                Kind::Dir { .. } | Kind::File { .. } | Kind::Symlink { .. }
            )
        });
        let left_out = before - entries.len();
        let index = Index::from_entries(entries)?;
        Ok((Self { index, contents }, left_out))
    }
}

/// What a revision is for, in characters that mean nothing to a shell: `cvmfs_server` hands it to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(String);

/// A character that a message cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message must not contain {found:?}")]
pub struct MessageError {
    /// The character.
    pub found: char,
}

impl FromStr for Message {
    type Err = MessageError;

    fn from_str(text: &str) -> Result<Self, MessageError> {
        let good = |c: char| c.is_ascii_alphanumeric() || "_.:@/+=, -".contains(c);
        match text.chars().find(|c| !good(*c)) {
            Some(found) => Err(MessageError { found }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl Message {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One file as the only entry of a tree.
pub(super) fn single(
    name: &[u8],
    bytes: Vec<u8>,
    mode: u16,
) -> Result<(Index, MemoryContents), IndexError> {
    let mut contents = MemoryContents::default();
    let entry = TreePath::new(name).ok().map(|path| Entry {
        path,
        attr: Attr::new(mode),
        kind: contents.file(bytes),
        group: None,
    });
    Ok((Index::from_entries(entry.into_iter().collect())?, contents))
}

#[cfg(test)]
mod tests {
    //! Texts that a shell would act on.

    use super::*;

    #[test]
    fn nothing_that_a_shell_acts_on_is_a_message() {
        assert!(
            "added abc_1.0_20240131: c++, a@b/c=d"
                .parse::<Message>()
                .is_ok()
        );
        for bad in [
            "a;b", "$(x)", "`x`", "a'b", "a\"b", "a\nb", "a|b", "a>b", "a&b", "*", "~", "ä",
        ] {
            assert!(bad.parse::<Message>().is_err(), "{bad}");
        }
    }
}
