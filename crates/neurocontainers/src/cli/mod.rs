//! The command line of `neurocontainers`.

mod args;
mod build;
mod cache;
mod check;
mod convert;
mod diff;
mod explain;
mod fetch;
mod init;
mod limits;
mod list;
mod lock;
mod looking;
mod lsp;
mod render;
mod session;
mod shell;
mod show;
mod text;

use clap::{CommandFactory as _, Parser, Subcommand};
use nd_terminal::{AboutCommand, Failure, FailureKind, OutputArgs};

use self::args::{BuildArgs, ListArgs, RenderArgs, ShowArgs, VariantsArgs};
use self::session::Session;

/// Build, test and release NeuroContainers
#[derive(Debug, Parser)]
#[command(name = "neurocontainers", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with recipes, and repair what can be repaired
    Check(check::CheckArgs),
    /// Write a new recipe that passes every check
    Init(init::InitArgs),
    /// Serve diagnostics, explanations and repairs to an editor over standard input and output
    Lsp,
    /// Build a container, write its image as OCI layout and SIF, and test it
    Build(build::BuildCommand),
    /// Print the Dockerfile or Apptainer definition of a container
    Render(RenderArgs),
    /// Download what a container needs, so that it builds without a network
    Fetch(fetch::FetchArgs),
    /// Write down what a container takes from elsewhere, so that it can be built again from that
    Lock(lock::LockArgs),
    /// Test a container, building what is missing
    Test(BuildArgs),
    /// Name all recipes
    List(ListArgs),
    /// Name the containers that a recipe declares
    Variants(VariantsArgs),
    /// Show what a recipe resolves to
    Show(ShowArgs),
    /// Run a shell or a command in a container, or in the state after one of its steps
    Shell(shell::ShellArgs),
    /// Say for each step whether it is cached and why not, or what each costs
    Explain(explain::ExplainArgs),
    /// Name the files that differ between two builds, and the line that made each
    Diff(diff::DiffArgs),
    /// Write an image in another form, or into a registry
    Convert(convert::ConvertArgs),
    /// Look at or clear what is kept between builds
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    #[command(flatten)]
    About(AboutCommand),
}

/// Does what the arguments say.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let printer = cli.output.printer();
    let of_diagnostics = printer.format().is_of_diagnostics();
    if of_diagnostics && !matches!(cli.command, Command::Check(_)) {
        let message = "only `check` has this output format";
        return Err(Failure::new(FailureKind::Usage, message));
    }
    match cli.command {
        Command::Check(args) => check::run(&args, &printer),
        Command::Init(args) => init::run(&args, &printer),
        Command::Lsp => lsp::run(),
        Command::Build(args) => Session::run(printer, |session| build::run(session, &args)),
        Command::Render(args) => Session::run(printer, |session| render::run(session, &args)),
        Command::Fetch(args) => Session::run(printer, |session| fetch::run(session, &args)),
        Command::Lock(args) => Session::run(printer, |session| lock::run(session, &args)),
        Command::Test(args) => Session::run(printer, |session| build::test(session, &args)),
        Command::List(args) => Session::run(printer, |session| list::list(session, &args)),
        Command::Variants(args) => Session::run(printer, |session| list::variants(session, &args)),
        Command::Show(args) => Session::run(printer, |session| show::run(session, &args)),
        Command::Shell(args) => Session::run(printer, |session| shell::run(session, &args)),
        Command::Explain(args) => Session::run(printer, |session| explain::run(session, &args)),
        Command::Diff(args) => Session::run(printer, |session| diff::run(session, &args)),
        Command::Convert(args) => Session::run(printer, |session| convert::run(session, &args)),
        Command::Cache(command) => Session::run(printer, |session| cache::run(session, &command)),
        Command::About(command) => command.run(Cli::command(), crate::docs::documents, &printer),
    }
}
