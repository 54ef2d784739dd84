//! What `cvmfs_server` has noted about a repository of this host.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use nd_cvmfs::RepositoryName;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerConfigError {
    /// They cannot be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The repository is only a copy.
    #[error("`{0}` is a replica on this host, to which nothing can be published")]
    Replica(RepositoryName),
    /// A setting is missing, or no absolute path.
    #[error("`{name}` in `{}` is missing, or no absolute path", path.display())]
    Path {
        /// Which setting.
        name: &'static str,
        /// In which file.
        path: PathBuf,
    },
}

/// The settings of one repository that this program needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Its name.
    pub name: RepositoryName,
    /// Where users, and in a transaction the publisher, see it.
    pub union: PathBuf,
    /// Locks and state files.
    pub spool: PathBuf,
    /// The address of its files.
    pub address: String,
    /// The folder of its files, where they are on this host.
    pub storage: Option<PathBuf>,
}

impl ServerConfig {
    /// Reads the settings of `name` below `folder`, usually `/etc/cvmfs/repositories.d`.
    pub fn load(folder: &Path, name: &RepositoryName) -> Result<Self, ServerConfigError> {
        let folder = folder.join(name.as_str());
        if folder.join("replica.conf").is_file() {
            return Err(ServerConfigError::Replica(name.clone()));
        }
        let path = folder.join("server.conf");
        let text = fs_err::read_to_string(&path).map_err(|source| ServerConfigError::Read {
            path: path.clone(),
            source,
        })?;
        Self::parse(&text, name, &path)
    }

    fn parse(text: &str, name: &RepositoryName, path: &Path) -> Result<Self, ServerConfigError> {
        let settings = assignments(text);
        let get = |key: &str| settings.get(key).map(String::as_str);
        let absolute = |key: &'static str, usual: Option<String>| {
            let value = get(key).map(str::to_owned).or(usual).map(PathBuf::from);
            value
                .filter(|value| value.is_absolute())
                .ok_or_else(|| ServerConfigError::Path {
                    name: key,
                    path: path.to_owned(),
                })
        };
        // `local,TEMPORARY,STORAGE`; every other kind is read through the address.
        let storage = get("CVMFS_UPSTREAM_STORAGE")
            .and_then(|value| value.strip_prefix("local,"))
            .and_then(|value| value.split_once(','))
            .map(|(_, storage)| PathBuf::from(storage));
        Ok(Self {
            union: absolute("CVMFS_UNION_DIR", Some(format!("/cvmfs/{name}")))?,
            spool: absolute("CVMFS_SPOOL_DIR", Some(format!("/var/spool/cvmfs/{name}")))?,
            address: get("CVMFS_STRATUM0")
                .map_or_else(|| format!("http://localhost/cvmfs/{name}"), str::to_owned),
            storage,
            name: name.clone(),
        })
    }
}

/// The lines `KEY=VALUE` of a file that a shell reads. What is more than a value is left out: nothing is
/// expanded.
fn assignments(text: &str) -> BTreeMap<&str, String> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if key.is_empty() || !key.chars().all(name) {
            continue;
        }
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split(quote).next().unwrap_or_default(),
            _ => value
                .split([' ', '\t', '#', ';'])
                .next()
                .unwrap_or_default(),
        };
        if !value.contains(['$', '`', '\\']) {
            all.insert(key, value.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    //! Files as `cvmfs_server` writes them, and as people edit them.

    use super::*;

    #[test]
    fn reads_what_a_shell_would_take_for_a_value() {
        let name: RepositoryName = "x.example.org".parse().unwrap();
        let read = |text: &str| ServerConfig::parse(text, &name, Path::new("server.conf"));
        let config = read(
            "# made by hand\nCVMFS_UNION_DIR=/cvmfs/x.example.org # here\nexport CVMFS_SPOOL_DIR=\"/s p/x\"\n\
             CVMFS_STRATUM0='http://s0/cvmfs/x.example.org'\n\
             CVMFS_UPSTREAM_STORAGE=local,/srv/x/data/txn,/srv/x\n",
        )
        .unwrap();
        assert_eq!(config.spool, Path::new("/s p/x"));
        assert_eq!(config.storage.as_deref(), Some(Path::new("/srv/x")));
        assert_eq!(config.address, "http://s0/cvmfs/x.example.org");
        let config = read("CVMFS_UPSTREAM_STORAGE=S3,/tmp,a@/etc/s3.conf\nCVMFS_SPOOL_DIR=$HOME\n");
        let config = config.unwrap();
        assert_eq!(config.storage, None);
        assert_eq!(config.spool, Path::new("/var/spool/cvmfs/x.example.org"));
        assert!(read("CVMFS_UNION_DIR=relative\n").is_err());
    }
}
