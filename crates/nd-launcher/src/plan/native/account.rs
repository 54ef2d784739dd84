//! Who starts the command, and how the image's tables of names are told.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// The account of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    uid: u32,
    name: Vec<u8>,
    /// Its line in the host's table.
    line: Vec<u8>,
    home: PathBuf,
    /// Lines of its groups in the host's table: number and name.
    groups: Vec<(u32, Vec<u8>)>,
}

impl Account {
    /// Finds `uid` in the text of the host's `/etc/passwd`, and `groups` (the own one first) in that of
    /// `/etc/group`. `None` when it is not there, or has no absolute home.
    pub fn find(uid: u32, groups: &[u32], passwd: &[u8], group: &[u8]) -> Option<Self> {
        let line = lines(passwd).find(|line| number(line) == Some(uid))?;
        let home = Path::new(OsStr::from_bytes(fields(line).nth(5)?)).to_owned();
        let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
        for wanted in groups {
            let line = lines(group).find(|line| number(line) == Some(*wanted));
            if let Some(name) = line.and_then(|line| fields(line).next())
                && !found.iter().any(|(known, _)| known == wanted)
            {
                found.push((*wanted, name.to_vec()));
            }
        }
        home.is_absolute().then(|| Self {
            uid,
            name: fields(line).next().unwrap_or_default().to_vec(),
            line: line.to_vec(),
            home,
            groups: found,
        })
    }

    /// Whether a table has a line of this number.
    pub(crate) fn has(table: &[u8], wanted: u32) -> bool {
        lines(table).any(|line| number(line) == Some(wanted))
    }

    /// The home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Whether it is root.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The image's `/etc/passwd` with this account: added, or with its home where the image has
    /// somebody of the same number.
    pub fn passwd(&self, of_image: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(of_image.len() + self.line.len() + 2);
        let mut known = false;
        for line in lines(of_image) {
            if number(line) == Some(self.uid) && fields(line).count() == 7 {
                known = true;
                let mut parts: Vec<&[u8]> = fields(line).collect();
                parts[5] = self.home.as_os_str().as_bytes();
                out.extend_from_slice(&parts.join(&b':'));
            } else {
                out.extend_from_slice(line);
            }
            out.push(b'\n');
        }
        if !known {
            out.extend_from_slice(&self.line);
            out.push(b'\n');
        }
        out
    }

    /// The image's `/etc/group` with the groups of this account.
    pub fn group(&self, of_image: &[u8]) -> Vec<u8> {
        let mut out = of_image.to_vec();
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        for (number, name) in &self.groups {
            out.extend_from_slice(name);
            out.extend_from_slice(format!(":x:{number}:").as_bytes());
            out.extend_from_slice(&self.name);
            out.push(b'\n');
        }
        out
    }
}

fn lines(table: &[u8]) -> impl Iterator<Item = &[u8]> {
    table
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b':')
}

/// The number of a user or group.
fn number(line: &[u8]) -> Option<u32> {
    std::str::from_utf8(fields(line).nth(2)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    //! The tables as Apptainer writes them.

    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nme:x:7:7:Me,,:/home/me:/bin/bash\n";
    const GROUP: &[u8] = b"root:x:0:\nme:x:7:\nlab:x:8:you,me\n";

    #[test]
    fn tables_of_an_image_get_the_account() {
        let account = Account::find(7, &[7, 8, 8, 9], PASSWD, GROUP).unwrap();
        assert_eq!(account.home(), Path::new("/home/me"));
        assert_eq!(
            account.passwd(b"root:x:0:0::/root:"),
            b"root:x:0:0::/root:\nme:x:7:7:Me,,:/home/me:/bin/bash\n"
        );
        assert_eq!(
            account.passwd(b"other:x:7:1::/x:/bin/false\n"),
            b"other:x:7:1::/home/me:/bin/false\n"
        );
        assert_eq!(
            account.group(b"root:x:0:"),
            b"root:x:0:\nme:x:7:me\nlab:x:8:me\n"
        );
        assert_eq!(Account::find(9, &[], PASSWD, GROUP), None);
        assert_eq!(
            Account::find(7, &[], b"me:x:7:7::home:/bin/sh", GROUP),
            None
        );
    }
}
