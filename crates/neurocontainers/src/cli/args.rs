//! Arguments.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};
use nd_names::Architecture;
use neurocontainers_recipe::Compat;

use super::{limits::LimitArgs, looking::SecretArgs};
use crate::{
    check::{Retest, TestWish},
    engines::EngineKind,
    output::Compression,
    pipeline::{BaseChoice, BaseFrom, BuildWish, Dating, Wish},
};

/// Where recipes are and where outputs go.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct PlaceArgs {
    /// Folder of recipes; else `recipes` here or above
    #[arg(long, value_name = "DIR")]
    pub(super) recipes: Option<PathBuf>,
    /// Folder that gets `build` and `releases`; else the repository
    #[arg(long, value_name = "DIR")]
    pub(super) output_root: Option<PathBuf>,
}

/// Which container of which recipe.
#[derive(Debug, Clone, Args)]
pub(super) struct RecipeArgs {
    /// Name of a recipe, `NAME/VERSION`, or the path of its folder; else the one where you stand
    #[arg(default_value = ".", hide_default_value = true)]
    pub(super) recipe: String,
    /// Architecture of the container
    #[arg(long, value_name = "ARCH")]
    pub(super) architecture: Option<Architecture>,
    /// Variant of the container
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(super) variant: String,
    /// Build for an architecture that the recipe does not list
    #[arg(long)]
    pub(super) ignore_architectures: bool,
    /// Set an option of the recipe
    #[arg(long = "option", value_name = "KEY=VALUE")]
    pub(super) options: Vec<KeyValue>,
    /// Give a folder that the recipe mounts by key
    #[arg(long = "local", value_name = "KEY=PATH")]
    pub(super) locals: Vec<KeyValue>,
    #[command(flatten)]
    pub(super) places: PlaceArgs,
}

/// `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyValue(pub(super) String, pub(super) String);

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self(key.trim().to_owned(), value.to_owned()))
            }
            _ => Err(format!("`{text}` is not of the form KEY=VALUE")),
        }
    }
}

impl KeyValue {
    fn pair(&self) -> (String, String) {
        (self.0.clone(), self.1.clone())
    }
}

impl RecipeArgs {
    pub(super) fn wish(&self) -> Wish {
        Wish {
            recipe: self.recipe.clone(),
            architecture: self.architecture,
            variant: self.variant.clone(),
            ignore_architectures: self.ignore_architectures,
            options: self.options.iter().map(KeyValue::pair).collect(),
            locals: self
                .locals
                .iter()
                .map(|KeyValue(key, path)| (key.clone(), PathBuf::from(path)))
                .collect(),
            locked: false,
            dating: Dating::History,
            compat: Compat::Improved,
        }
    }
}

/// Compression of layers and SIF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CompressionArg {
    /// Small and quick
    Zstd,
    /// For tools that know nothing newer
    Gzip,
}

impl CompressionArg {
    pub(super) fn packed(self) -> Compression {
        match self {
            Self::Zstd => Compression::Zstd,
            Self::Gzip => Compression::Gzip,
        }
    }
}

/// Engines by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineArg {
    /// This program: cached steps, limits, secrets, locks
    Embedded,
    /// `buildah`, without a daemon
    Buildah,
    /// The daemon of Docker
    Docker,
    /// A daemon of BuildKit, through `buildctl`
    Buildkit,
    /// `apptainer build`, which gets the definition
    Apptainer,
}

impl EngineArg {
    pub(super) fn kind(self) -> EngineKind {
        match self {
            Self::Embedded => EngineKind::Embedded,
            Self::Buildah => EngineKind::Buildah,
            Self::Docker => EngineKind::Docker,
            Self::Buildkit => EngineKind::Buildkit,
            Self::Apptainer => EngineKind::Apptainer,
        }
    }
}

/// Arguments of `build` and `test`.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
    #[command(flatten)]
    pub(super) base: BaseArgs,
    /// Who builds: this program, or one of the machine that gets the Dockerfile or definition
    #[arg(
        long,
        value_name = "NAME",
        default_value = "embedded",
        conflicts_with = "locked"
    )]
    pub(super) engine: EngineArg,
    /// Ask the distribution's archive for changes even if it was asked within a day
    #[arg(long)]
    pub(super) refresh: bool,
    /// Compress layers and SIF this way; else layers by gzip, which every tool reads, and the SIF
    /// by zstd
    #[arg(long, value_name = "NAME")]
    pub(super) compression: Option<CompressionArg>,
    /// Build from exactly what `recipe.lock` says, and refuse anything else
    #[arg(long, conflicts_with = "refresh")]
    pub(super) locked: bool,
    /// Network of steps and downloads
    #[arg(long, value_name = "WHICH", default_value = "host")]
    network: NetworkArg,
    /// The same as `--network none`
    #[arg(long)]
    offline: bool,
    /// Print the plan and what of it is cached; build nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) secrets: SecretArgs,
    #[command(flatten)]
    pub(super) tests: TestingArgs,
}

/// How tests run.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Tests")]
pub(super) struct TestingArgs {
    /// Run tests again even if they passed for the same tree
    #[arg(long)]
    pub(super) retest: bool,
    /// Run no tests
    #[arg(long, conflicts_with = "retest")]
    pub(super) no_test: bool,
}

impl TestingArgs {
    pub(super) fn wish(&self) -> TestWish {
        TestWish {
            run: !self.no_test,
            retest: if self.retest {
                Retest::Always
            } else {
                Retest::WhenChanged
            },
        }
    }
}

/// What a build may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NetworkArg {
    /// Nothing: what was downloaded before is used
    None,
    /// What the machine can connect to
    Host,
}

impl BuildArgs {
    /// Whether no connection is made.
    pub(super) fn offline(&self) -> bool {
        self.offline || self.network == NetworkArg::None
    }

    pub(super) fn wish(&self) -> BuildWish {
        BuildWish {
            bases: self.base.choices(),
            refresh: self.refresh,
            layers: self
                .compression
                .map_or(Compression::Gzip, CompressionArg::packed),
            sif: self
                .compression
                .map_or(Compression::Zstd, CompressionArg::packed),
            tests: self.tests.wish(),
            engine: self.engine.kind(),
        }
    }
}

/// Where base images come from.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct BaseArgs {
    /// Where base images come from: `auto` (the cache or a registry that your configuration names,
    /// else the distribution's archive where the recipe says so, else the registry of the name),
    /// `registry`, `bootstrap`, or an OCI layout or archive
    #[arg(long = "base", value_name = "[REF=]auto|registry|bootstrap|PATH")]
    bases: Vec<String>,
}

impl BaseArgs {
    pub(super) fn choices(&self) -> Vec<BaseChoice> {
        self.bases.iter().map(|text| base_choice(text)).collect()
    }
}

/// `[REF=]auto|registry|bootstrap|PATH`; a path of such a name is written `./auto`.
fn base_choice(text: &str) -> BaseChoice {
    let from = |text: &str| match text {
        "auto" => BaseFrom::Auto,
        "registry" => BaseFrom::Registry,
        "bootstrap" => BaseFrom::Bootstrap,
        path => BaseFrom::Path(path.into()),
    };
    match text.split_once('=') {
        // A path may hold `=`, too; a reference holds no `/` before its first `=` that exists.
        Some((reference, path)) if !std::path::Path::new(text).exists() => BaseChoice {
            reference: Some(reference.to_owned()),
            from: from(path),
        },
        _ => BaseChoice {
            reference: None,
            from: from(text),
        },
    }
}

/// Form of a rendered container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RenderFormat {
    /// A Dockerfile
    Docker,
    /// An Apptainer definition
    Apptainer,
    /// The instructions as JSON
    Json,
}

/// Arguments of `render`.
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "docker")]
    pub(super) format: RenderFormat,
    /// Print exactly what upstream's builder makes of the recipe, its mistakes included
    #[arg(long)]
    pub(super) compat: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) places: PlaceArgs,
}

/// Arguments of `variants`.
#[derive(Debug, Args)]
pub(super) struct VariantsArgs {
    /// Name of a recipe, or the path of its folder; else the one where you stand
    #[arg(default_value = ".", hide_default_value = true)]
    pub(super) recipe: String,
    #[command(flatten)]
    pub(super) places: PlaceArgs,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        assert_eq!("a=b=c".parse(), Ok(KeyValue("a".into(), "b=c".into())));
        assert!("=x".parse::<KeyValue>().is_err());
        assert!("x".parse::<KeyValue>().is_err());
    }

    #[test]
    fn bases() {
        let choice = |reference: Option<&str>, from| BaseChoice {
            reference: reference.map(str::to_owned),
            from,
        };
        for (text, expected) in [
            ("registry", choice(None, BaseFrom::Registry)),
            (
                "./registry",
                choice(None, BaseFrom::Path("./registry".into())),
            ),
            ("a:1=bootstrap", choice(Some("a:1"), BaseFrom::Bootstrap)),
            ("a:1=b/c", choice(Some("a:1"), BaseFrom::Path("b/c".into()))),
        ] {
            assert_eq!(base_choice(text), expected);
        }
    }
}
