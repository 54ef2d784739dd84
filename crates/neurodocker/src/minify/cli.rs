//! `neurodocker minify`: arguments, the question, the report.

use std::{
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use nd_host::{Environment, SystemPrograms};
use nd_report::Cancel;
use nd_runtime::{Access, Bind, IdMode, Stream};
use nd_store::Store;
use nd_terminal::{Failure, FailureKind, OutputArgs, OutputFormat, Printer, human_bytes};

use super::{
    MinifyError, Observer, Report, Request,
    glob::{LICENCES, Pattern},
    minify,
    pull::OfEnvironment,
    run::Commands,
    write::Target,
};

/// Lines of the table of directories.
const LINES: usize = 20;
/// Directories that hold more than programs of one kind.
const BROAD: &[&str] = &["/etc", "/bin", "/sbin", "/lib", "/lib64", "/usr", "/var"];

/// Make an image smaller: keep what commands use
///
/// Runs the commands in the image and takes down every file they look at. What lies in the pruned
/// directories and was not looked at is left out of the result. The commands are run again over what
/// is left and must end with the same status and output. The image itself is never changed; no daemon and
/// no privilege is needed, and no network but to fetch an image from a registry.
#[derive(Debug, Parser)]
#[command(name = "neurodocker minify", bin_name = "neurodocker minify")]
struct MinifyArgs {
    /// An OCI layout (`FOLDER[:NAME]`), OCI archive, archive of `docker save`, SIF file, or the name of
    /// an image in a registry (`docker://NAME`, `NAME:TAG`)
    image: String,
    /// A line of shell that must still work, run with `/bin/sh -c`; may be repeated
    #[arg(short, long = "command", value_name = "COMMAND", required = true)]
    command: Vec<String>,
    /// A directory of the image that may lose what is not used; may be repeated
    #[arg(short = 'd', long = "dir", value_name = "PRUNE_DIR", required = true)]
    dir: Vec<String>,
    /// Where the result goes: a SIF file (`FILE.sif`, `sif:FILE`) or an OCI layout (`FOLDER[:NAME]`)
    #[arg(short, long, value_name = "DST", required_unless_present = "dry_run")]
    output: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Keep what this pattern is about (`*.so`, `/opt/fsl/data/**`), though no command uses it
    #[arg(long, value_name = "PATTERN")]
    keep: Vec<String>,
    /// Let licences and copyright notices go as well
    #[arg(long, alias = "drop-licences")]
    drop_licenses: bool,
    /// Show what would go, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Also write the files that the commands look at to this file, one path a line: what `cvmfs-sync
    /// publish --opened` keeps beside a container
    #[arg(long, value_name = "FILE")]
    opened: Option<std::path::PathBuf>,
    /// Show a file or directory of the host inside, read-only unless `:rw` stands behind it
    #[arg(long, value_name = "HOST:INSIDE[:rw]")]
    bind: Vec<String>,
    /// Start the commands through the entry point of the image
    #[arg(long)]
    through_entrypoint: bool,
    /// How often files that were missed are put back
    #[arg(long, value_name = "ROUNDS", default_value_t = 5)]
    max_repair: usize,
    #[command(flatten)]
    output_args: OutputArgs,
}

/// Runs the command, if the first argument of this process asks for it.
pub(crate) fn when_asked() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    (words.next()? == "minify").then(|| {
        let program = std::ffi::OsString::from("neurodocker minify");
        main(std::iter::once(program).chain(words).collect())
    })
}

fn main(arguments: Vec<std::ffi::OsString>) -> ExitCode {
    if let Some(failure) = running_container(&arguments) {
        return nd_terminal::finish(Err(failure));
    }
    match MinifyArgs::try_parse_from(arguments) {
        Ok(arguments) => nd_terminal::finish(run(&arguments)),
        Err(error) => {
            // The stream may be gone; the exit code still says what happened.
            let _ = error.print();
            if error.use_stderr() {
                ExitCode::from(FailureKind::Usage.exit_code())
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}

/// Upstream names a running container, which no image on disk is.
fn running_container(arguments: &[std::ffi::OsString]) -> Option<Failure> {
    let asked = arguments
        .iter()
        .filter_map(|word| word.to_str())
        .any(|word| word == "--container" || word.starts_with("--container="));
    asked.then(|| {
        Failure::new(
            FailureKind::Usage,
            "images are made smaller, not running containers",
        )
        .hint("save it first: `docker commit CONTAINER NAME` and `docker save NAME -o FILE`, then give `FILE`")
    })
}

fn run(arguments: &MinifyArgs) -> Result<(), Failure> {
    let printer = arguments.output_args.printer();
    if arguments.output_args.format().is_of_diagnostics() {
        let text = "only `human` and `json` are formats of this command";
        return Err(Failure::new(FailureKind::Usage, text));
    }
    let cancel = Cancel::default();
    nd_terminal::cancel_when_interrupted(&cancel, &printer)?;
    let environment = Environment::of_process()?;
    let programs = SystemPrograms::new(&environment);
    let ids = IdMode::choose(&environment, &programs);
    let request = request(arguments)?;
    for dir in &arguments.dir {
        if BROAD.contains(&dir.trim_end_matches('/')) {
            printer.warn(&format!(
                "`{dir}` holds most of a system: only the commands that were given will work"
            ));
        }
    }
    let store = Store::open(environment.cache_dir()?.join("store"))?;
    let mut screen = Screen {
        printer: &printer,
        yes: arguments.yes,
    };
    let registry = OfEnvironment {
        environment: &environment,
        reporter: Arc::new(printer.reporter()),
    };
    let ended = minify(&request, &registry, &store, ids, &cancel, &mut screen);
    // Nothing is left in the store's temporary folder, whatever happened.
    drop(store);
    let report = match ended {
        Ok(Some(report)) => report,
        Ok(None) => {
            return Err(Failure::new(
                FailureKind::Refused,
                "declined; nothing was written",
            ));
        }
        Err(_) if cancel.is_cancelled() => {
            return Err(Failure::new(FailureKind::Interrupted, "interrupted"));
        }
        Err(error) => return Err(failure(error)),
    };
    if let Some(file) = &arguments.opened {
        let mut text = Vec::new();
        // A name with a line feed would be two lines.
        for path in report.opened.iter().filter(|path| !path.contains(&b'\n')) {
            text.extend_from_slice(path);
            text.push(b'\n');
        }
        nd_host::write_atomic(&environment.absolute(file), &text)?;
    }
    if arguments.dry_run {
        screen.plan(&report)?;
    } else {
        screen.done(&report)?;
    }
    if printer.format() == OutputFormat::Json {
        printer.json(&report)?;
    }
    Ok(())
}

fn failure(error: MinifyError) -> Failure {
    let kind = match error {
        MinifyError::Pattern { .. } => FailureKind::Usage,
        _ => FailureKind::Failed,
    };
    let hints = error.hints();
    let mut failure = Failure::from(error);
    if failure.kind == FailureKind::Failed {
        failure.kind = kind;
    }
    failure.hints.extend(hints);
    failure
}

fn request(arguments: &MinifyArgs) -> Result<Request, Failure> {
    let patterns = arguments.keep.iter().map(String::as_str);
    let licences = LICENCES
        .iter()
        .copied()
        .filter(|_| !arguments.drop_licenses);
    let keep: Result<Vec<_>, _> = patterns.chain(licences).map(Pattern::new).collect();
    let binds: Result<Vec<_>, _> = arguments.bind.iter().map(|text| bind(text)).collect();
    Ok(Request {
        image: arguments.image.clone(),
        commands: Commands {
            lines: arguments.command.clone(),
            binds: binds?,
            through_entrypoint: arguments.through_entrypoint,
        },
        prune: arguments.dir.clone(),
        keep: keep.map_err(failure)?,
        target: arguments.output.as_deref().map(Target::parse),
        dry_run: arguments.dry_run,
        max_repair: arguments.max_repair,
    })
}

fn bind(text: &str) -> Result<Bind, Failure> {
    let (rest, access) = match text.strip_suffix(":rw") {
        Some(rest) => (rest, Access::ReadWrite),
        None => (text.strip_suffix(":ro").unwrap_or(text), Access::ReadOnly),
    };
    match rest.split_once(':') {
        Some((host, inside)) if !host.is_empty() && inside.starts_with('/') => Ok(Bind {
            host: host.into(),
            inside: inside.into(),
            access,
        }),
        _ => Err(Failure::new(
            FailureKind::Usage,
            format!("`{text}` is not of the form `HOST:/INSIDE[:rw]`"),
        )),
    }
}

/// The terminal.
struct Screen<'a> {
    printer: &'a Printer,
    yes: bool,
}

impl Screen<'_> {
    /// What goes.
    fn plan(&self, report: &Report) -> Result<(), Failure> {
        for line in table(report) {
            self.printer.data(&line)?;
        }
        Ok(())
    }

    fn done(&self, report: &Report) -> Result<(), Failure> {
        let left = report.bytes - report.removed_bytes;
        self.printer.data(&format!(
            "{} files and {} before, {} files and {} after",
            report.files,
            human_bytes(report.bytes),
            report.files - report.removed_files,
            human_bytes(left),
        ))?;
        let spent = report.milliseconds;
        self.printer.detail(&format!(
            "{} ms to read the image, {} to run and record, {} to run again, {} to write",
            spent.read, spent.record, spent.verify, spent.write
        ));
        if let Some(output) = &report.output {
            self.printer.data(&format!(
                "written to `{}`: {}",
                output.path,
                human_bytes(output.bytes)
            ))?;
        }
        Ok(())
    }
}

fn table(report: &Report) -> Vec<String> {
    if report.removed_files == 0 {
        return vec!["everything in these directories is used".into()];
    }
    let mut lines = Vec::new();
    for line in report.by_directory.iter().take(LINES) {
        lines.push(format!(
            "{:>10} {:>7} files  {}",
            human_bytes(line.bytes),
            line.files,
            line.directory
        ));
    }
    let rest = report.by_directory.iter().skip(LINES);
    let (files, bytes) = rest.fold((0, 0), |(files, bytes), line| {
        (files + line.files, bytes + line.bytes)
    });
    if files > 0 {
        lines.push(format!(
            "{:>10} {files:>7} files  elsewhere",
            human_bytes(bytes)
        ));
    }
    lines.push(format!(
        "{:>10} {:>7} files  of {} in {}",
        human_bytes(report.removed_bytes),
        report.removed_files,
        human_bytes(report.bytes),
        report.files
    ));
    lines
}

impl Observer for Screen<'_> {
    fn note(&mut self, text: &str) {
        self.printer.note(text);
    }

    fn line(&mut self, _: Stream, line: &[u8]) {
        let text: String = String::from_utf8_lossy(line)
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect();
        self.printer.note(&text);
    }

    fn confirm(&mut self, report: &Report) -> bool {
        for line in table(report) {
            self.printer.note(&line);
        }
        if self.yes {
            return true;
        }
        self.printer.error_line(
            "these files will not be in the result, and commands other than those given may fail",
        );
        // When standard error is gone nobody can be asked.
        let asked = write!(anstream::stderr(), "go on? [y/N] ").and_then(|()| io::stderr().flush());
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        asked.is_ok()
            && matches!(read, Ok(1..))
            && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
    }
}
