//! What a caller asks for.

use std::sync::Arc;

use nd_names::Architecture;
use neurodocker::Templates;

/// How upstream's accidents are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compat {
    /// They are improved, and what upstream lets pass in silence is reported.
    #[default]
    Improved,
    /// They are reproduced.
    Upstream,
}

impl Compat {
    /// Whether upstream's accidents are reproduced.
    pub fn is_upstream(self) -> bool {
        self == Self::Upstream
    }
}

/// How much a recipe has to say about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Enough to be built: older categories pass, the icon is not looked at.
    #[default]
    Lenient,
    /// Enough to be published.
    Strict,
}

/// How a recipe is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions<'a> {
    /// How upstream's accidents are treated, here and in every later step.
    pub compat: Compat,
    /// How much the recipe has to say about itself.
    pub profile: Profile,
    /// Name of the folder that holds the recipe, which the recipe's name has to equal.
    pub folder_name: Option<&'a str>,
    /// Whether the rules about what breaks in production are asked, too.
    pub rules: bool,
    /// Number of the first file, so that files of several recipes can share one sink.
    pub first_file: u32,
}

/// Which container to compile, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Architecture asked for; the host's when absent.
    pub architecture: Option<Architecture>,
    /// Variant or selector asked for; empty for none.
    pub variant: String,
    /// Whether architectures that the recipe does not list are compiled, too.
    pub ignore_architectures: bool,
    /// The machine that builds.
    pub host: Architecture,
    /// Whether that machine runs `x86_64` by itself, as Apple's do.
    pub host_runs_x86_64: bool,
    /// Options as `KEY`, `VALUE`, later ones win.
    pub options: Vec<(String, String)>,
    /// Keys of local contexts that are given.
    pub local_contexts: Vec<String>,
    /// What `parallel_jobs` is in templates.
    pub parallel_jobs: u32,
    /// Installation templates in place of the built-in ones, such as those of a checkout.
    pub templates: Option<Arc<Templates>>,
    /// Home folder that upstream's names of colliding files depend on. Only upstream's mode uses
    /// it; improved names depend on nothing of the machine.
    pub upstream_home: String,
}

impl Request {
    /// A request for the default container on `host`.
    pub fn new(host: Architecture) -> Self {
        Self {
            architecture: None,
            variant: String::new(),
            ignore_architectures: false,
            host,
            host_runs_x86_64: false,
            options: Vec::new(),
            local_contexts: Vec::new(),
            parallel_jobs: 4,
            templates: None,
            upstream_home: "/root".to_owned(),
        }
    }
}
