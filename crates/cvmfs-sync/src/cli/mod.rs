//! The command line of `cvmfs-sync`.

mod args;
mod description;
mod keys;
mod learn;
mod look;
mod prefetch;
mod probe;
mod publish;
mod server;
mod sync;
mod verify;

use clap::{CommandFactory as _, Parser, Subcommand};
use nd_terminal::{AboutCommand, Documents, Failure, OutputArgs};

use self::args::Context;

/// Publish, prove and copy CVMFS repositories
#[derive(Debug, Parser)]
#[command(name = "cvmfs-sync", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a repository, and its keys when there are none
    Mkfs(publish::MkfsArgs),
    /// Publish a folder, tar, SIF file or OCI layout at a path, as one revision
    Publish(publish::PublishArgs),
    /// Remove paths, as one revision
    Remove(publish::RemoveArgs),
    /// Publish the content of an earlier revision again
    Rollback(publish::RollbackArgs),
    /// Delete objects that nothing needs
    Gc(publish::GcArgs),
    /// Read what others have published to a repository once, so that nothing of it is stored again
    Learn(learn::LearnArgs),
    /// Sign a new whitelist with the master key
    Resign(keys::ResignArgs),
    /// Make, check and move keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Show what would make a repository hold what a catalogue lists
    Plan(sync::PlanArgs),
    /// Make a repository hold what a catalogue lists
    Apply(sync::ApplyArgs),
    /// Apply again and again, in place of cron
    Watch(sync::WatchArgs),
    /// Print a systemd unit that watches
    Unit(sync::UnitArgs),
    /// Say how a repository is
    Status(sync::StatusArgs),
    /// Module files
    #[command(subcommand)]
    Modules(sync::ModulesCommand),
    /// Tags
    #[command(subcommand)]
    Tags(sync::TagsCommand),
    /// Print the recipe file of `cvmfs_ducc` for a catalogue
    Wishlist(sync::WishlistArgs),
    /// Copy a repository, verified, or bring a copy up to date
    Replicate(publish::ReplicateArgs),
    /// Prove a repository: trust, structure, objects
    Verify(verify::VerifyArgs),
    /// List a directory of a repository
    Ls(look::PathArgs),
    /// Write a file of a repository to standard output
    Cat(look::PathArgs),
    /// Show everything about a path of a repository
    Stat(look::PathArgs),
    /// List the revisions that have tags
    Log(look::LogArgs),
    /// List the paths in which two revisions differ
    Diff(look::DiffArgs),
    /// List catalogues with their size, and propose cuts
    Catalogs(look::CatalogsArgs),
    /// Read the files that the commands of a container open before they do
    Prefetch(prefetch::PrefetchArgs),
    /// Measure servers, rank them, and write the configuration of clients
    Probe(probe::ProbeArgs),
    /// Look at the client of this machine
    #[command(subcommand)]
    Client(probe::ClientCommand),
    /// Set up the servers and clients of a repository from one description
    #[command(subcommand)]
    Server(server::ServerCommand),
    #[command(flatten)]
    About(AboutCommand),
}

/// Does what the arguments say.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the frame of every binary hands it over"
)]
pub fn run(cli: Cli) -> Result<(), Failure> {
    let printer = cli.output.printer();
    if let Command::About(command) = &cli.command {
        let documents = |command| {
            let mut documents = Documents::of(command);
            documents.codes(crate::codes::EXPLANATIONS, "");
            documents
        };
        return command.run(Cli::command(), documents, &printer);
    }
    let context = Context::new(printer)?;
    match &cli.command {
        Command::Mkfs(args) => publish::mkfs(&context, args),
        Command::Publish(args) => publish::publish(&context, args),
        Command::Remove(args) => publish::remove(&context, args),
        Command::Rollback(args) => publish::rollback(&context, args),
        Command::Gc(args) => publish::gc(&context, args),
        Command::Apply(args) => sync::apply(&context, args),
        Command::Plan(args) => sync::plan(&context, args),
        Command::Watch(args) => sync::watch(&context, args),
        Command::Unit(args) => sync::unit(&context, args),
        Command::Status(args) => sync::status(&context, args),
        Command::Modules(command) => sync::modules(&context, command),
        Command::Tags(command) => sync::tags(&context, command),
        Command::Wishlist(args) => sync::wishlist(&context, args),
        Command::Replicate(args) => publish::replicate(&context, args),
        Command::Learn(args) => learn::run(&context, args),
        Command::Resign(args) => keys::resign(&context, args),
        Command::Keys(command) => keys::run(&context, command),
        Command::Verify(args) => verify::run(&context, args),
        Command::Ls(args) => look::ls(&context, args),
        Command::Cat(args) => look::cat(&context, args),
        Command::Stat(args) => look::stat(&context, args),
        Command::Log(args) => look::log(&context, args),
        Command::Diff(args) => look::diff(&context, args),
        Command::Catalogs(args) => look::catalogs(&context, args),
        Command::Prefetch(args) => prefetch::run(&context, args),
        Command::Probe(args) => probe::probe(&context, args),
        Command::Client(command) => probe::client(&context, command),
        Command::Server(command) => server::run(&context, command),
        Command::About(_) => Ok(()),
    }
}
