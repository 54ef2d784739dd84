//! `catalogue test-install`: whether what a catalogue lists can be installed, run and removed.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::Args;
use nd_host::{Environment, Invocation, Programs, SystemPrograms};
use nd_report::{FileId, Sink};
use nd_terminal::{Failure, FailureKind, OrFail as _, OutputFormat, Printer};
use serde_json::json;
use transparent_singularity::{
    InstallRecord, InstallWish, WrapperStyle,
    cli::{Installer, InstallerOptions},
};

use super::{
    files::Files,
    installing::{Wanted, given, image, runtime_options},
    session::{AppsArgs, sources},
};
use crate::{
    catalogue::{Catalogue, decode, diff},
    images::key_of,
    json::{Limits, Node, Object, Value, parse},
};

/// How long a command of a container may take.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(super) struct TestInstallArgs {
    /// Only what is new or different since this revision of the catalogue's repository
    #[arg(long, value_name = "REV")]
    changed_since: Option<String>,
    /// Folder of images, `NAME_VERSION_DATE.simg`, that is looked into before any source
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Settings of `transparent-singularity`, in place of those of the user and of the machine
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How commands are wrapped
    #[arg(long, value_enum, default_value_t)]
    wrapper_style: WrapperStyle,
    #[command(flatten)]
    apps: AppsArgs,
}

/// What tests work with.
struct Trial<'a> {
    args: &'a TestInstallArgs,
    environment: &'a Environment,
    programs: SystemPrograms,
    installer: Installer,
    options: Vec<String>,
}

pub(super) fn run(args: &TestInstallArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let programs = SystemPrograms::new(&environment);
    let path = args.apps.path(&environment, printer)?;
    let mut files = Files::default();
    let after = files.required(&path, printer)?;
    let catalogue = decode(&after, &mut files.sink);
    files.end(printer)?;
    let before = match &args.changed_since {
        Some(revision) => earlier(&path, revision, &programs)?,
        None => Node::new(Value::Object(Object::new())),
    };
    let wanted = changed(&catalogue, &before, &after)?;
    if wanted.is_empty() {
        printer.note("no container has changed");
    }
    let folder = tempfile::tempdir()?;
    let resolved = args.apps.deployment.resolve(&environment, printer)?;
    let set_up = InstallerOptions {
        prefix: Some(folder.path().join("site")),
        settings: args.settings.clone(),
        sources: sources(&resolved),
        offline: false,
        style: args.wrapper_style,
    };
    let trial = Trial {
        args,
        environment: &environment,
        programs,
        installer: Installer::new(&set_up, printer.clone())?,
        options: runtime_options(&resolved)?,
    };
    let (mut passed, mut failed) = (Vec::new(), Vec::new());
    for one in wanted {
        let stem = one.image.stem();
        trial
            .installer
            .cancel()
            .check()
            .or_fail(FailureKind::Interrupted)?;
        match trial.one(one) {
            Ok(command) => {
                printer.note(&format!(
                    "{stem}: installed, found `{command}` in it, removed"
                ));
                passed.push(stem);
            }
            Err(failure) => {
                printer.error_line(&format!("{stem}: {}", failure.render().trim_end()));
                failed.push(stem);
            }
        }
    }
    if printer.format() == OutputFormat::Json {
        printer.json(&json!({ "schema_version": 1, "passed": passed, "failed": failed }))?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} of {} containers failed",
        failed.len(),
        failed.len() + passed.len()
    );
    Err(Failure::new(FailureKind::Failed, message))
}

/// The catalogue as it was in a revision; an empty one where it did not exist.
fn earlier(
    path: &std::path::Path,
    revision: &str,
    programs: &SystemPrograms,
) -> Result<Node, Failure> {
    if revision.starts_with('-') {
        let message = format!("`{revision}` is no revision");
        return Err(Failure::new(FailureKind::Usage, message));
    }
    let git = programs.find("git").ok_or_else(|| {
        Failure::new(
            FailureKind::Tool,
            "program `git` is missing, which knows revisions",
        )
    })?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Failure::new(
            FailureKind::Usage,
            "the catalogue has no name",
        ));
    };
    let ask = |words: [OsString; 2]| {
        let call = Invocation::new(&git)
            .args(words)
            .directory(folder)
            .limit(PATIENCE);
        programs.check(&call)
    };
    // A revision that is none is a mistake; a file that it does not have is an empty catalogue.
    let commit = format!("{revision}^{{commit}}");
    ask(["rev-parse".into(), commit.into()]).or_fail(FailureKind::Failed)?;
    let mut object = OsString::from(format!("{revision}:./"));
    object.push(name);
    let Ok(found) = ask(["show".into(), object]) else {
        return Ok(Node::new(Value::Object(Object::new())));
    };
    let text = String::from_utf8(found.stdout).or_fail(FailureKind::Failed)?;
    let document = parse(&text, FileId(0), &Limits::default(), &mut Sink::new());
    document.ok_or_else(|| {
        let message = format!("the catalogue of `{revision}` is no JSON");
        Failure::new(FailureKind::Failed, message)
    })
}

/// The images of applications that are new or different.
fn changed(catalogue: &Catalogue, before: &Node, after: &Node) -> Result<Vec<Wanted>, Failure> {
    let mut all: Vec<Wanted> = Vec::new();
    for change in diff(before, after).containers {
        let Some(container) = catalogue.container(&change.name) else {
            continue;
        };
        for app in change.apps.iter().filter(|app| app.after.is_some()) {
            let known = container.apps.iter().find(|known| known.name == app.name);
            let Some(known) = known else { continue };
            let one = image(container, Some(&known.identity.version))?;
            if all.iter().all(|other| other.image != one.image) {
                all.push(one);
            }
        }
    }
    Ok(all)
}

impl Trial<'_> {
    /// Installs, runs and removes one container; the command that was found in it.
    fn one(&self, wanted: Wanted) -> Result<String, Failure> {
        let folder = self
            .args
            .from
            .as_ref()
            .map(|folder| self.environment.absolute(folder));
        let local = folder.map(|folder| folder.join(key_of(&wanted.image)));
        let local = local.filter(|path| path.is_file());
        let wish = InstallWish {
            from: local.map(|path| given(&format!("file:{}", path.display()))),
            options: self.options.iter().cloned().chain(wanted.options).collect(),
            ..self.installer.wish(wanted.image)?
        };
        let done = self.installer.install_all(&[wish], NonZeroUsize::MIN);
        let mut records = Vec::new();
        for installed in done {
            records.push(installed?.record);
        }
        let record = records
            .first()
            .ok_or_else(|| Failure::new(FailureKind::Internal, "an installation has no result"))?;
        let ran = self.find_command(record);
        // What does not run is removed all the same, so that the disk holds one image at a time.
        let site = self.installer.site();
        let removed = site.remove(record)?;
        let command = ran?;
        match removed.left.first() {
            None => Ok(command),
            Some(left) => {
                let message = format!("`{}` is left behind", left.0.display());
                Err(Failure::new(FailureKind::Failed, message))
            }
        }
    }

    /// Runs the shell of the image, which looks for the first command.
    fn find_command(&self, record: &InstallRecord) -> Result<String, Failure> {
        let command = record
            .commands
            .first()
            .ok_or_else(|| Failure::new(FailureKind::Failed, "the container offers no command"))?;
        let program = std::env::current_exe()?;
        let words = ["run", "--offline", "--site"].map(OsString::from);
        let script = ["sh", "-c", "command -v -- \"$1\"", "sh"].map(OsString::from);
        let call = Invocation::new(program)
            .args(words)
            .arg(self.installer.site().prefix())
            .args(self.args.settings.iter().flat_map(|path| {
                [
                    "--settings".into(),
                    self.environment.absolute(path).into_os_string(),
                ]
            }))
            .arg(&record.image)
            .args(script)
            .arg(command)
            .limit(PATIENCE);
        self.programs.check(&call).or_fail(FailureKind::Failed)?;
        Ok(command.clone())
    }
}
