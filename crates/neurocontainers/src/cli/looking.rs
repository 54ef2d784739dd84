//! Arguments of commands that look into a build, and what they share.

use std::path::PathBuf;

use clap::Args;
use nd_builder::{BuildError, LookIn, Secret, StepExit, StepName};
use nd_terminal::{Failure, FailureKind, Pty, has_terminal};

use super::{
    args::{BaseArgs, CompressionArg, NetworkArg, RecipeArgs},
    session::Session,
};
use crate::{
    check::{Retest, TestWish},
    engines::EngineKind,
    output::Compression,
    pipeline::{BuildWish, Planned, Prepared, Workshop},
};

/// Which container, and what of a build decides which of its steps are cached.
#[derive(Debug, Args)]
pub(super) struct LookArgs {
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
    #[command(flatten)]
    base: BaseArgs,
    /// Compression of the build
    #[arg(long, value_name = "NAME")]
    compression: Option<CompressionArg>,
    /// Network of what is built or downloaded
    #[arg(long, value_name = "WHICH", default_value = "host")]
    network: NetworkArg,
    /// The same as `--network none`
    #[arg(long)]
    offline: bool,
}

impl LookArgs {
    pub(super) fn offline(&self) -> bool {
        self.offline || self.network == NetworkArg::None
    }

    pub(super) fn wish(&self) -> BuildWish {
        let packed = |default| self.compression.map_or(default, CompressionArg::packed);
        BuildWish {
            bases: self.base.choices(),
            refresh: false,
            layers: packed(Compression::Gzip),
            sif: packed(Compression::Zstd),
            tests: TestWish {
                run: false,
                retest: Retest::WhenChanged,
            },
            engine: EngineKind::Embedded,
        }
    }

    /// The container and its plan.
    pub(super) fn plan(
        &self,
        session: &Session,
        workshop: &Workshop<'_>,
    ) -> Result<(Prepared, Planned), Failure> {
        let places = session.places_of(&self.recipe.recipe, &self.recipe.places)?;
        session.plan(workshop, &places, &self.recipe.wish(), &self.wish())
    }
}

/// How a build is looked into.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Looking in")]
pub(super) struct UntilArgs {
    /// Stop after this step and write no outputs: its number, `FILE:LINE`, `:LINE`, or the start of
    /// its title
    #[arg(long, value_name = "STEP", conflicts_with = "locked")]
    pub(super) until: Option<String>,
    /// Open a shell in what a step that fails has left, then fail
    #[arg(long)]
    pub(super) shell_on_error: bool,
}

/// What steps may read and nobody may keep.
#[derive(Debug, Default, Args)]
pub(super) struct SecretArgs {
    /// Show steps that name `/run/secrets/ID` a file there with what `FILE`, or the variable `NAME`,
    /// holds; it stays out of layers, keys, output and records
    #[arg(long = "secret", value_name = "ID=FILE|ENV:NAME")]
    secrets: Vec<String>,
}

impl SecretArgs {
    /// The secrets, read.
    pub(super) fn read(&self, session: &Session) -> Result<Vec<Secret>, Failure> {
        let mut out: Vec<Secret> = Vec::new();
        for text in &self.secrets {
            let usage = |problem: String| Failure::new(FailureKind::Usage, problem);
            let Some((id, source)) = Source::of(text) else {
                return Err(usage(
                    "a secret is written `ID=FILE` or `ID=ENV:NAME`".into(),
                ));
            };
            let value = match source {
                Source::Variable(name) => {
                    let value = session.environment.get(name);
                    let value = value.ok_or_else(|| {
                        usage(format!("secret `{id}`: the variable `{name}` is not set"))
                    })?;
                    std::os::unix::ffi::OsStrExt::as_bytes(std::ffi::OsStr::new(value)).to_vec()
                }
                Source::File(path) => {
                    fs_err::read(session.environment.absolute(PathBuf::from(path)))?
                }
            };
            let secret = Secret::new(id, value).map_err(|error| usage(error.to_string()))?;
            if out.iter().any(|known| known.id() == id) {
                return Err(usage(format!("the secret `{id}` is given twice")));
            }
            out.push(secret);
        }
        Ok(out)
    }
}

/// Where a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source<'a> {
    File(&'a str),
    Variable(&'a str),
}

impl<'a> Source<'a> {
    /// The id and the place in `ID=FILE` and `ID=ENV:NAME`, or in Docker's `id=ID,src=FILE` and
    /// `id=ID,env=NAME`, whose keys come in any order.
    fn of(text: &'a str) -> Option<(&'a str, Self)> {
        let pairs: Option<Vec<_>> = text.split(',').map(|pair| pair.split_once('=')).collect();
        let pairs = pairs.filter(|pairs| pairs.len() > 1).unwrap_or_default();
        let value = |wanted: &[&str]| {
            let mut found = pairs.iter().filter(|(key, _)| wanted.contains(key));
            found.next().map(|(_, value)| *value)
        };
        if let Some(id) = value(&["id"]) {
            let variable = value(&["env"]).map(Self::Variable);
            let file = value(&["src", "source"]).map(Self::File);
            return Some((id, variable.or(file)?));
        }
        let (id, place) = text.split_once('=')?;
        let variable = place.strip_prefix("ENV:").map(Self::Variable);
        Some((id, variable.unwrap_or(Self::File(place))))
    }
}

/// Refuses secrets that no step names: somebody meant something else.
pub(super) fn check_secrets(planned: &Planned, secrets: &[Secret]) -> Result<(), Failure> {
    for secret in secrets {
        if !planned.plan.names_secret(secret) {
            let id = secret.id();
            let text = format!("no step names the secret `{id}`");
            let hint = format!("a `run` that reads it says `/run/secrets/{id}`");
            return Err(Failure::new(FailureKind::Usage, text).hint(hint));
        }
    }
    Ok(())
}

/// The place of the step that a person means.
pub(super) fn step(planned: &Planned, text: &str) -> Result<usize, Failure> {
    let found = planned.plan.find_step(text);
    found.map_err(|error| {
        Failure::new(FailureKind::Usage, error)
            .hint("`neurocontainers explain NAME` lists the steps with their numbers")
    })
}

/// Opens a shell on the person's terminal when a step fails.
pub(super) struct ShellOnError<'a>(pub(super) &'a Session);

impl LookIn for ShellOnError<'_> {
    fn look(
        &self,
        failed: &StepName,
        exit: StepExit,
        shell: &mut dyn FnMut(std::os::fd::OwnedFd, &str) -> Result<(), BuildError>,
    ) {
        let printer = &self.0.printer;
        if !has_terminal() {
            printer.warn("there is no terminal, so no shell is opened");
            return;
        }
        printer.error_line(&format!(
            "{failed} ended with {exit}\n\
             a shell in what it left; its changes go when you leave"
        ));
        let term = self.0.terminal_kind();
        let relayed = printer.paused(|| {
            let (pty, far) = Pty::open()?;
            shell(far, &term).map_err(std::io::Error::other)?;
            pty.relay(&|| false)
        });
        if let Err(error) = relayed {
            printer.warn(&format!("the shell could not be opened: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_in_our_way_or_in_dockers() {
        let of = Source::of;
        assert_eq!(of("key=/a,b"), Some(("key", Source::File("/a,b"))));
        assert_eq!(
            of("key=ENV:TOKEN"),
            Some(("key", Source::Variable("TOKEN")))
        );
        assert_eq!(of("id=key,src=a"), Some(("key", Source::File("a"))));
        let any_order = of("type=env,env=TOKEN,id=key");
        assert_eq!(any_order, Some(("key", Source::Variable("TOKEN"))));
        assert_eq!(of("id=a"), Some(("id", Source::File("a"))));
        assert_eq!(of("id=key,type=file"), None);
        assert_eq!(of("key"), None);
    }
}
