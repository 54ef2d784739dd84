//! The variables of the process, read once.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

/// A snapshot of the variables and the working directory, taken once at the start of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    working_directory: PathBuf,
}

/// No folder can be chosen because no variable says where the user's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither `{variable}` nor `HOME` is set to an absolute path")]
pub struct NoHome {
    /// The variable that would also have done.
    pub variable: &'static str,
}

impl Environment {
    /// The variables and the working directory of this process.
    ///
    /// # Errors
    ///
    /// When the working directory was removed or cannot be reached.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the process is asked"
    )]
    pub fn of_process() -> io::Result<Self> {
        Ok(Self {
            variables: std::env::vars_os().collect(),
            working_directory: std::env::current_dir()?,
        })
    }

    /// An environment of the given variables, for tests.
    pub fn new<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
        working_directory: impl Into<PathBuf>,
    ) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            working_directory: working_directory.into(),
        }
    }

    /// The value of a variable; `None` when it is unset or empty, which programs treat alike.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// The value of a variable that is text; `None` when it is unset, empty or no UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    /// Every variable, sorted by name.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The working directory at the time of the snapshot.
    pub fn working_directory(&self) -> &Path {
        &self.working_directory
    }

    /// `path`, below the working directory unless it is absolute.
    pub fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.working_directory.join(path)
    }

    /// The user's home, `HOME`.
    pub fn home(&self) -> Option<&Path> {
        self.path("HOME")
    }

    /// Where everything that can be made again is kept: `ND_CACHE_DIR`, else
    /// `$XDG_CACHE_HOME/neurodesk`, else `~/.cache/neurodesk`.
    pub fn cache_dir(&self) -> Result<PathBuf, NoHome> {
        match self.get("ND_CACHE_DIR") {
            Some(path) => Ok(self.absolute(path)),
            None => self.base("XDG_CACHE_HOME", ".cache"),
        }
    }

    /// Where the user's own settings are: `$XDG_CONFIG_HOME/neurodesk`, else `~/.config/neurodesk`.
    pub fn config_dir(&self) -> Result<PathBuf, NoHome> {
        self.base("XDG_CONFIG_HOME", ".config")
    }

    /// Where the user's own data are: `$XDG_DATA_HOME/neurodesk`, else `~/.local/share/neurodesk`.
    pub fn data_dir(&self) -> Result<PathBuf, NoHome> {
        self.base("XDG_DATA_HOME", ".local/share")
    }

    /// Where the machine's settings are.
    pub fn system_config_dir(&self) -> &Path {
        Path::new("/etc/neurodesk")
    }

    /// The folders of `PATH`, absolute ones only: a relative one would depend on where we stand.
    pub fn search_path(&self) -> Vec<PathBuf> {
        self.get("PATH")
            .map(std::env::split_paths)
            .into_iter()
            .flatten()
            .filter(|folder| folder.is_absolute())
            .collect()
    }

    fn base(&self, variable: &'static str, below_home: &str) -> Result<PathBuf, NoHome> {
        let base = self
            .path(variable)
            .map(Path::to_path_buf)
            .or_else(|| self.home().map(|home| home.join(below_home)))
            .ok_or(NoHome { variable })?;
        Ok(base.join("neurodesk"))
    }

    /// A variable that names a folder; the XDG specification tells to ignore relative ones.
    fn path(&self, name: &str) -> Option<&Path> {
        self.get(name)
            .map(Path::new)
            .filter(|path| path.is_absolute())
    }
}

#[cfg(test)]
mod tests {
    //! Which folder is chosen, and that nothing odd is taken for a path.

    use std::path::Path;

    use super::Environment;

    fn env(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().copied(), "/here")
    }

    #[test]
    fn the_cache_is_where_the_variables_say() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("HOME", "/h")], "/h/.cache/neurodesk"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/x/neurodesk"),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "x")],
                "/h/.cache/neurodesk",
            ),
            (&[("HOME", "/h"), ("ND_CACHE_DIR", "/nd")], "/nd"),
            (&[("ND_CACHE_DIR", "nd")], "/here/nd"),
        ];
        for (variables, expected) in cases {
            assert_eq!(
                env(variables).cache_dir().as_deref(),
                Ok(Path::new(expected)),
                "{variables:?}"
            );
        }
        let error = env(&[("HOME", "")]).cache_dir().unwrap_err();
        assert_eq!(
            error.to_string(),
            "neither `XDG_CACHE_HOME` nor `HOME` is set to an absolute path"
        );
    }

    #[test]
    fn relative_folders_of_the_search_path_are_left_out() {
        let env = env(&[("PATH", "/usr/bin:.::/bin")]);
        assert_eq!(
            env.search_path(),
            ["/usr/bin", "/bin"].map(std::path::PathBuf::from)
        );
    }
}
