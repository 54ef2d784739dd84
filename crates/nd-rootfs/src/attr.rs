//! Attributes of an entry: mode, owner, time, extended attributes.

use std::collections::BTreeMap;

/// The only extended attribute that is part of an identity.
pub const CAPABILITY: &[u8] = b"security.capability";

/// Attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attr {
    /// Permission bits with set-ids and sticky: `0o7777` at most. Symlinks have `0o777`.
    pub mode: u16,
    /// Owner, numeric.
    pub uid: u32,
    /// Group, numeric.
    pub gid: u32,
    /// Modification time in whole seconds since 1970, rounded down.
    pub mtime: i64,
    /// Extended attributes, full names.
    pub xattrs: Xattrs,
}

impl Attr {
    /// Attributes with this mode, owner 0:0, time 0, no extended attributes.
    pub fn new(mode: u16) -> Self {
        Self {
            mode: mode & 0o7777,
            ..Self::default()
        }
    }

    /// What readers give a directory that no archive names: 0755, 0:0, time 0.
    pub fn implicit() -> Self {
        Self::new(0o755)
    }

    /// The file capability in its normal form: a revision-3 value whose root id is 0 is written as
    /// its 20-byte revision-2 form.
    pub fn capability(&self) -> Option<Vec<u8>> {
        let value = self.xattrs.get(CAPABILITY)?;
        let mut value = value.to_vec();
        if value.len() == 24 && value[3] == 3 && value[20..] == [0; 4] {
            value[3] = 2;
            value.truncate(20);
        }
        Some(value)
    }
}

/// Extended attributes, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Xattrs(BTreeMap<Box<[u8]>, Box<[u8]>>);

impl Xattrs {
    /// The value of `name`.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// Sets `name`, replacing a former value.
    pub fn insert(&mut self, name: impl Into<Box<[u8]>>, value: impl Into<Box<[u8]>>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes `name` and gives its value.
    pub fn remove(&mut self, name: &[u8]) -> Option<Box<[u8]>> {
        self.0.remove(name)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Keeps the attributes for which `keep` answers yes.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Vec<u8>, Vec<u8>)> for Xattrs {
    fn from_iter<T: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(iter: T) -> Self {
        Self(
            iter.into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}
