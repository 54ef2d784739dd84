//! What to run and how.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::Duration,
};

/// What a program reads from standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Input {
    /// Nothing: its end comes at once.
    #[default]
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this process would read.
    Inherited,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Argument {
    text: OsString,
    secret: bool,
}

/// A program with its arguments and surroundings. Text never reaches a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    program: OsString,
    arguments: Vec<Argument>,
    variables: Vec<(OsString, Option<OsString>)>,
    empty_environment: bool,
    directory: Option<PathBuf>,
    input: Input,
    limit: Option<Duration>,
}

impl Invocation {
    /// A program by name or path, with no arguments and the environment of this process.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            empty_environment: false,
            directory: None,
            input: Input::Nothing,
            limit: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, text: impl Into<OsString>) -> Self {
        self.arguments.push(Argument {
            text: text.into(),
            secret: false,
        });
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(self, texts: impl IntoIterator<Item = T>) -> Self {
        texts.into_iter().fold(self, Self::arg)
    }

    /// Adds an argument that is never shown.
    #[must_use]
    pub fn secret_arg(mut self, text: impl Into<OsString>) -> Self {
        self.arguments.push(Argument {
            text: text.into(),
            secret: true,
        });
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), Some(value.into())));
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn without_env(mut self, name: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), None));
        self
    }

    /// Starts from no variables at all instead of those of this process.
    #[must_use]
    pub fn empty_environment(mut self) -> Self {
        self.empty_environment = true;
        self
    }

    /// Where it runs; else where this process does.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// What it reads.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// How long it may take; it is killed then.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The program as given.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// The arguments, secret ones too: for implementations of [`Programs`](super::Programs).
    pub fn arguments(&self) -> impl Iterator<Item = &OsStr> {
        self.arguments.iter().map(|a| a.text.as_os_str())
    }

    /// Variables that are set (or removed: `None`), in order.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, Option<&OsStr>)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_deref()))
    }

    /// Whether it starts from no variables.
    pub fn starts_empty(&self) -> bool {
        self.empty_environment
    }

    /// Where it runs.
    pub fn working_directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// What it reads.
    pub fn reads(&self) -> &Input {
        &self.input
    }

    /// How long it may take.
    pub fn time_limit(&self) -> Option<Duration> {
        self.limit
    }

    /// The command line as it may be shown: quoted where a shell would need it, secrets masked.
    pub fn shown(&self) -> String {
        let mut out = quoted(&self.program);
        for argument in &self.arguments {
            out.push(' ');
            if argument.secret {
                out.push_str("***");
            } else {
                out.push_str(&quoted(&argument.text));
            }
        }
        out
    }
}

fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    //! What is shown of a command line.

    use super::Invocation;

    #[test]
    fn secrets_are_masked_and_odd_arguments_quoted() {
        let shown = Invocation::new("curl")
            .args(["-u", "a b", "it's", ""])
            .secret_arg("token")
            .shown();
        assert_eq!(shown, r"curl -u 'a b' 'it'\''s' '' ***");
    }
}
