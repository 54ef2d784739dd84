//! The command line.

mod import;
mod install;
mod manage;
mod many;
mod run;
mod shell;
mod upstream;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{CommandFactory as _, Parser, Subcommand};
use nd_fetch::{FetchOptions, Network, registry::RegistryOptions};
use nd_host::{Environment, SystemPrograms};
use nd_names::Architecture;
use nd_report::Cancel;
use nd_store::Store;
use nd_terminal::{Documents, Failure, FailureKind, OrFail as _, OutputArgs, Printer};

pub use self::install::find_launcher;
pub use self::many::{Getter, Installer, InstallerOptions, each};
use crate::{FetchContext, Settings, Site, SiteError};

/// Use containers as native commands
#[derive(Debug, Parser)]
#[command(
    name = "transparent-singularity",
    version,
    arg_required_else_help = true,
    after_help = "NAME is TOOL, TOOL/VERSION or the full name of an image, TOOL_VERSION_DATE."
)]
pub struct Cli {
    /// Folder of installed images [default: what the settings say, else
    /// `~/.local/share/neurodesk/containers`]
    #[arg(long, global = true, value_name = "DIR")]
    pub prefix: Option<PathBuf>,
    /// File of settings, in place of those of the user and of the machine
    #[arg(long, global = true, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Open no connection
    #[arg(long, global = true)]
    pub offline: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its fields have help of their own")]
    pub output: OutputArgs,
    #[command(subcommand)]
    #[expect(missing_docs, reason = "its variants have help of their own")]
    pub command: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Install an image: its commands become wrappers, its name a module
    Install(install::InstallArgs),
    /// List what is installed, or what can be
    List(manage::ListArgs),
    /// List commands and the image each is of
    Commands(manage::NameArgs),
    /// Say which image a command is of
    Which(manage::CommandArgs),
    /// Print the folder of an image's wrappers
    Path(manage::NameArg),
    /// Start a shell in an image
    Shell(run::ShellArgs),
    /// Run any program of an image
    Exec(run::ExecArgs),
    /// Print the call of the runtime that a command stands for
    Explain(run::ExplainArgs),
    /// Say where a command comes from: image, recipe, licence, citation, tests
    Prove(manage::ProveArgs),
    /// Compare what is installed with what was recorded
    Verify(manage::NameArgs),
    /// Put right what a move or an accident changed
    Repair(manage::NameArgs),
    /// Remove exactly what an installation wrote
    Uninstall(manage::UninstallArgs),
    /// Install the newest builds of what is installed
    Upgrade(install::UpgradeArgs),
    /// Remove downloads and what killed runs left
    Gc,
    /// Look for what would keep commands from running, and say what to do
    Doctor,
    /// Print what puts a tool's commands into this shell
    Activate(shell::ActivateArgs),
    /// Print what takes them out again
    Deactivate(shell::ActivateArgs),
    /// Keep tools in every new shell, by one marked block of its start-up file
    ShellInit(shell::ShellInitArgs),
    /// Install what an entry of Singularity Registry HPC names, under its aliases
    Import(import::ImportArgs),
    /// Write what other tools read
    #[command(subcommand)]
    Export(shell::ExportVerb),
    /// Print the manual pages, or write them to a folder
    #[command(hide = true)]
    Man {
        /// Where to write them
        folder: Option<std::path::PathBuf>,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the pages about this command line
    #[command(hide = true)]
    Docs {
        /// Folder for the pages
        #[arg(long)]
        out: PathBuf,
    },
}

/// The program.
pub fn main() -> ExitCode {
    let name = std::env::args_os().next().map(PathBuf::from);
    let name = name
        .as_deref()
        .and_then(|path| path.file_name())
        .and_then(|name| name.to_str());
    if name == Some(crate::SCRIPT) {
        return upstream::main();
    }
    nd_terminal::run(|cli: Cli| run(&cli))
}

/// Does what the arguments say; for programs that install and run through this one.
///
/// # Errors
///
/// When it fails; what a command that was run ended with is its own process's end.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let printer = cli.output.printer();
    match &cli.command {
        Verb::Completions { shell } => {
            return printer.data(&nd_terminal::completions(Cli::command(), *shell));
        }
        Verb::Man { folder } => {
            return nd_terminal::give_man_pages(&Cli::command(), folder.as_deref(), &printer);
        }
        Verb::Docs { out } => return Documents::of(Cli::command()).write(out, &printer),
        _ => {}
    }
    let context = Context::new(cli, printer)?;
    match &cli.command {
        Verb::Install(args) => install::install(&context, args),
        Verb::Upgrade(args) => install::upgrade(&context, args),
        Verb::List(args) => manage::list(&context, args),
        Verb::Commands(args) => manage::commands(&context, args),
        Verb::Which(args) => manage::which(&context, args),
        Verb::Path(args) => manage::path(&context, args),
        Verb::Prove(args) => manage::prove(&context, args),
        Verb::Verify(args) => manage::verify(&context, args),
        Verb::Repair(args) => manage::repair(&context, args),
        Verb::Uninstall(args) => manage::uninstall(&context, args),
        Verb::Gc => manage::gc(&context),
        Verb::Doctor => manage::doctor::doctor(&context),
        Verb::Shell(args) => run::shell(&context, args),
        Verb::Exec(args) => run::exec(&context, args),
        Verb::Explain(args) => run::explain(&context, args),
        Verb::Activate(args) => shell::activate(&context, args),
        Verb::Deactivate(args) => shell::deactivate(&context, args),
        Verb::ShellInit(args) => shell::shell_init(&context, args),
        Verb::Import(args) => import::import(&context, args),
        Verb::Export(verb) => shell::export(&context, verb),
        Verb::Man { .. } | Verb::Docs { .. } | Verb::Completions { .. } => Ok(()),
    }
}

/// What every command works with.
struct Context {
    printer: Printer,
    environment: Environment,
    settings: Settings,
    site: Site,
    offline: bool,
    cancel: Cancel,
}

impl Context {
    fn new(cli: &Cli, printer: Printer) -> Result<Self, Failure> {
        let environment = Environment::of_process()?;
        let settings =
            Settings::load(&environment, cli.settings.as_deref()).or_fail(FailureKind::Failed)?;
        let prefix = cli.prefix.as_deref();
        Self::of(environment, settings, prefix, cli.offline, printer)
    }

    fn of(
        environment: Environment,
        settings: Settings,
        prefix: Option<&std::path::Path>,
        offline: bool,
        printer: Printer,
    ) -> Result<Self, Failure> {
        let prefix = match prefix {
            Some(prefix) => environment.absolute(prefix),
            None => settings.prefix(&environment).or_fail(FailureKind::Usage)?,
        };
        Ok(Self {
            printer,
            site: Site::new(clean(&prefix)),
            environment,
            settings,
            offline,
            cancel: Cancel::default(),
        })
    }

    /// The prefix and those it stacks on, in the order in which names are looked for.
    fn sites(&self) -> Vec<Site> {
        let mut out = vec![self.site.clone()];
        for prefix in &self.settings.site.stack {
            let site = Site::new(clean(&self.environment.absolute(prefix)));
            if out.iter().all(|known| known.prefix() != site.prefix()) {
                out.push(site);
            }
        }
        out
    }

    /// The installation that `name` means, in the first prefix that has it.
    fn find(&self, name: &str) -> Result<(Site, crate::InstallRecord), Failure> {
        let mut names = Vec::new();
        for site in self.sites() {
            match site.find(name) {
                Ok(record) => return Ok((site, record)),
                Err(SiteError::NotInstalled { .. }) => {
                    names.extend(
                        site.installed()
                            .or_fail(FailureKind::Failed)?
                            .iter()
                            .map(crate::InstallRecord::name),
                    );
                }
                Err(error) => return Err(Failure::new(FailureKind::Failed, error)),
            }
        }
        let prefix = self.site.prefix().to_owned();
        let name = name.to_owned();
        let near = crate::nearest(&name, &names);
        let mut failure = Failure::new(
            FailureKind::Failed,
            SiteError::NotInstalled { name, prefix },
        );
        if !near.is_empty() {
            failure = failure.hint(format!("installed is {}", near.join(", ")));
        }
        Err(failure)
    }

    /// All installations of the prefix and what it stacks on; a name in an earlier prefix hides those
    /// of the same name in later ones.
    fn all(&self) -> Result<Vec<(Site, crate::InstallRecord)>, Failure> {
        let mut out: Vec<(Site, crate::InstallRecord)> = Vec::new();
        for site in self.sites() {
            for record in site.installed().or_fail(FailureKind::Failed)? {
                if out.iter().all(|(_, known)| known.image != record.image) {
                    out.push((site.clone(), record));
                }
            }
        }
        Ok(out)
    }

    fn programs(&self) -> SystemPrograms {
        SystemPrograms::new(&self.environment)
    }

    /// What downloads need; makes the store.
    fn fetch(&self, store: &std::path::Path) -> Result<FetchContext, Failure> {
        let mut options = FetchOptions::from_environment(&self.environment)?;
        if self.offline {
            options.network = Network::Off;
        }
        let patience = self.settings.network;
        options.timeouts.connect = Duration::from_secs(patience.connect.max(1));
        options.timeouts.idle = Duration::from_secs(patience.idle.max(1));
        options.retries.attempts = patience.attempts.max(1);
        options.keep_free = self.settings.site.keep_free.unwrap_or(64 << 20);
        Ok(FetchContext {
            options,
            registries: RegistryOptions::from_environment(&self.environment)?,
            store: Store::open(store)?,
            reporter: Arc::new(self.printer.reporter()),
            cancel: self.cancel.clone(),
            architecture: Architecture::of_this_program().unwrap_or(Architecture::X86_64),
        })
    }

    fn is_json(&self) -> bool {
        self.printer.format() == nd_terminal::OutputFormat::Json
    }
}

/// A path without `.`, `..` and a final slash, as module files need it; no link is followed.
fn clean(path: &std::path::Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
