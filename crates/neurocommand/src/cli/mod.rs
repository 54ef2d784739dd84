//! The command line of `neurocommand`.

mod carrying;
mod catalogue;
mod config;
mod files;
mod finding;
mod images;
mod installing;
mod menu;
mod refresh;
mod running;
mod session;
mod syncing;
mod trying;
mod upgrading;

use clap::{CommandFactory as _, Parser, Subcommand};
use nd_terminal::{AboutCommand, Failure, FailureKind, OutputArgs};

/// Find containers, and make lists and menus of them
#[derive(Debug, Parser)]
#[command(name = "neurocommand", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List containers and their versions
    List(finding::ListArgs),
    /// Find containers by words, or by a command they offer
    Search(finding::SearchArgs),
    /// Show what is known about a container
    Info(finding::InfoArgs),
    /// Install containers: their commands become wrappers, their names modules
    Install(installing::InstallArgs),
    /// Run a command of a container, installing it when it is missing
    Run(running::RunArgs),
    /// Remove containers that are installed
    Remove(installing::NamesArgs),
    /// Install the builds that the catalogue has in place of older ones
    Upgrade(upgrading::UpgradeArgs),
    /// Make a site equal to its lock
    Sync(syncing::SyncArgs),
    /// Go back to the state before the last change by `sync`
    Rollback(syncing::RollbackArgs),
    /// Forget old states of a site, and free the images that only they need
    Gc(syncing::GcArgs),
    /// Write the lock of what is installed
    Lock(syncing::LockArgs),
    /// Carry containers to sites without a network
    #[command(subcommand)]
    Bundle(carrying::BundleCommand),
    /// Copy installed containers to a node's own disk
    Prefetch(carrying::PrefetchArgs),
    /// Make, check and change catalogues
    #[command(subcommand)]
    Catalogue(catalogue::CatalogueCommand),
    /// Compare published images with stores and registries, upload and remove them
    #[command(subcommand)]
    Images(images::ImagesCommand),
    /// Make the menu of a desktop, and make it known
    #[command(subcommand)]
    Menu(menu::MenuCommand),
    /// Show the deployment, or carry an older one over
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(flatten)]
    About(AboutCommand),
}

/// Does what the arguments say.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let printer = cli.output.printer();
    let is_check = matches!(
        cli.command,
        Command::Catalogue(catalogue::CatalogueCommand::Check(_))
    );
    if printer.format().is_of_diagnostics() && !is_check {
        let message = "only `catalogue check` has this output format";
        return Err(Failure::new(FailureKind::Usage, message));
    }
    match cli.command {
        Command::List(args) => finding::list(&args, &printer),
        Command::Search(args) => finding::search(&args, &printer),
        Command::Info(args) => finding::info(&args, &printer),
        Command::Install(args) => installing::install(&args, &printer),
        Command::Run(args) => running::run(&args, &printer),
        Command::Remove(args) => installing::remove(&args),
        Command::Upgrade(args) => upgrading::run(&args, &printer),
        Command::Sync(args) => syncing::sync(&args, &printer),
        Command::Rollback(args) => syncing::rollback(&args, &printer),
        Command::Gc(args) => syncing::gc(&args, &printer),
        Command::Lock(args) => syncing::lock(&args, &printer),
        Command::Bundle(command) => carrying::bundle(&command, &printer),
        Command::Prefetch(args) => carrying::prefetch(&args, &printer),
        Command::Catalogue(command) => catalogue::run(&command, &printer),
        Command::Images(command) => images::run(&command, &printer),
        Command::Menu(command) => menu::run(&command, &printer),
        Command::Config(command) => config::run(&command, &printer),
        Command::About(command) => command.run(Cli::command(), crate::docs::documents, &printer),
    }
}
