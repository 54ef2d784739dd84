//! Looking for what would keep commands from running.

use std::fmt::Write as _;

use std::path::Path;

use nd_host::Programs as _;
use nd_names::Architecture;
use nd_terminal::{Failure, FailureKind, human_bytes};
use serde::Serialize;

use super::super::Context;
use crate::cvmfs_disabled;

#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    state: State,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Good,
    Note,
    Bad,
}

fn good(what: &'static str, text: impl Into<String>) -> Check {
    Check {
        what,
        state: State::Good,
        text: text.into(),
        fix: None,
    }
}

fn other(
    what: &'static str,
    state: State,
    text: impl Into<String>,
    fix: impl Into<String>,
) -> Check {
    Check {
        what,
        state,
        text: text.into(),
        fix: Some(fix.into()),
    }
}

/// `doctor`: each check with what to do about it; exit code 1 when one is bad.
pub(in crate::cli) fn doctor(context: &Context) -> Result<(), Failure> {
    let checks = [
        runtime(context),
        namespaces(),
        fuse(),
        native(context),
        architecture(context),
        module_path(context),
        binds(context),
        disk(context),
        cvmfs(context),
        records(context),
        policy(context),
    ];
    if context.is_json() {
        context
            .printer
            .json(&serde_json::json!({"schema_version": 1, "checks": checks}))?;
    } else {
        let mut out = String::new();
        for check in &checks {
            let mark = match check.state {
                State::Good => "ok",
                State::Note => "note",
                State::Bad => "bad",
            };
            let _ = writeln!(out, "{mark:4} {}: {}", check.what, check.text);
            if let Some(fix) = &check.fix {
                let _ = writeln!(out, "     {fix}");
            }
        }
        context.printer.data(&out)?;
    }
    if checks.iter().any(|check| check.state == State::Bad) {
        return Err(Failure::told(FailureKind::Failed));
    }
    Ok(())
}

fn runtime(context: &Context) -> Check {
    let programs = context.programs();
    let found = ["apptainer", "singularity"]
        .into_iter()
        .find_map(|name| programs.find(name));
    let Some(path) = found else {
        return other(
            "runtime",
            State::Bad,
            "neither `apptainer` nor `singularity` is on `PATH`",
            "load its module, or ask for Apptainer to be installed",
        );
    };
    let asked = nd_host::Invocation::new(&path)
        .arg("--version")
        .limit(std::time::Duration::from_secs(20));
    match programs.check(&asked) {
        Ok(ran) => good("runtime", format!("{} ({})", path.display(), ran.text())),
        Err(error) => other(
            "runtime",
            State::Bad,
            format!("`{}` does not run: {error}", path.display()),
            "install it anew",
        ),
    }
}

fn read_number(path: &str) -> Option<u64> {
    fs_err::read_to_string(path).ok()?.trim().parse().ok()
}

fn namespaces() -> Check {
    if !Path::new("/proc/self/ns/user").exists() {
        return other(
            "namespaces",
            State::Note,
            "the kernel has no user namespaces",
            "Apptainer has to be installed set-uid",
        );
    }
    let closed = [
        ("/proc/sys/user/max_user_namespaces", 0),
        ("/proc/sys/kernel/unprivileged_userns_clone", 0),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1),
    ];
    for (path, value) in closed {
        if read_number(path) == Some(value) {
            let name = path.trim_start_matches("/proc/sys/").replace('/', ".");
            return other(
                "namespaces",
                State::Note,
                format!("`{name}` is {value}: ordinary users have no user namespaces"),
                format!(
                    "ask for `sysctl {name}={}`, or for a set-uid Apptainer",
                    if value == 0 { "15000" } else { "0" }
                ),
            );
        }
    }
    good("namespaces", "user namespaces are there")
}

fn fuse() -> Check {
    let open = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse");
    match open {
        Ok(_) => good("fuse", "`/dev/fuse` can be opened"),
        Err(error) => other(
            "fuse",
            State::Note,
            format!("`/dev/fuse` cannot be opened ({})", error.kind()),
            "image files are unpacked for every start; install with `--unpack`, or ask for the device to be readable and writable",
        ),
    }
}

/// What starts without a runtime need, by trying it.
fn native(context: &Context) -> Check {
    const FIX: &str = "where the policy says `runtime native`, commands are left to the runtime; see \
                       `namespaces` and `fuse` above, or let the security module allow mounts in user namespaces";
    let Some(launcher) = super::super::install::launcher_path(&context.programs()) else {
        return other(
            "native",
            State::Note,
            "there is no launcher to ask",
            "install `nd-launcher` beside this program",
        );
    };
    let asked = nd_host::Invocation::new(launcher).arg("probe");
    let (quiet, cancel) = (&mut |_, _: &[u8]| {}, nd_report::Cancel::default());
    match context.programs().run(&asked, quiet, &cancel) {
        Err(error) => other("native", State::Note, error.to_string(), FIX),
        Ok(ran) if ran.outcome.success() => good("native", "commands can start without a runtime"),
        Ok(ran) => {
            let lacks: Vec<String> = ran
                .text()
                .lines()
                .filter_map(|line| Some(line.strip_prefix("no: ")?.to_owned()))
                .collect();
            other("native", State::Note, lacks.join("; "), FIX)
        }
    }
}

fn architecture(context: &Context) -> Check {
    let Some(here) = Architecture::of_this_program() else {
        return other(
            "architecture",
            State::Bad,
            "no containers are built for this machine",
            "use another machine",
        );
    };
    let mut foreign = Vec::new();
    for (site, record) in context.all().unwrap_or_default() {
        let found =
            crate::OpenImage::open(&site.image(&record)).and_then(|mut image| image.architecture());
        if let Ok(Some(found)) = found
            && found != here
        {
            foreign.push(record.image);
        }
    }
    if foreign.is_empty() {
        return good("architecture", here.to_string());
    }
    other(
        "architecture",
        State::Note,
        format!(
            "this machine is {here}; images of another: {}",
            foreign.join(", ")
        ),
        "their commands need an emulator, registered with binfmt_misc with the flag `F`",
    )
}

fn module_path(context: &Context) -> Check {
    let modules = context.site.modules();
    let path = context.environment.text("MODULEPATH").unwrap_or_default();
    if path.split(':').any(|part| Path::new(part) == modules) {
        return good(
            "modules",
            format!("`{}` is in `MODULEPATH`", modules.display()),
        );
    }
    other(
        "modules",
        State::Note,
        format!("`{}` is not in `MODULEPATH`", modules.display()),
        format!(
            "module use {}",
            crate::quoted(&modules.display().to_string())
        ),
    )
}

fn binds(context: &Context) -> Check {
    let mut missing = Vec::new();
    for name in [
        "APPTAINER_BIND",
        "APPTAINER_BINDPATH",
        "SINGULARITY_BIND",
        "SINGULARITY_BINDPATH",
    ] {
        let text = context.environment.text(name).unwrap_or_default();
        for bind in text.split(',').filter(|bind| !bind.is_empty()) {
            let source = bind.split(':').next().unwrap_or_default();
            if !Path::new(source).exists() {
                missing.push(format!("`{source}` of `{name}`"));
            }
        }
    }
    if missing.is_empty() {
        return good("binds", "everything that is bound exists");
    }
    other(
        "binds",
        State::Note,
        format!("{} does not exist", missing.join(", ")),
        "commands start without it; make the folder, or take it out of the variable",
    )
}

fn disk(context: &Context) -> Check {
    let mut place = context.site.prefix();
    while !place.exists() {
        let Some(parent) = place.parent() else { break };
        place = parent;
    }
    let Some(free) = nd_host::free_bytes(place) else {
        return other(
            "disk",
            State::Bad,
            format!("`{}` cannot be looked at", place.display()),
            "give another prefix with `--prefix`",
        );
    };
    let text = format!(
        "{} free for `{}`",
        human_bytes(free),
        context.site.prefix().display()
    );
    if rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_err() {
        return other(
            "disk",
            State::Note,
            format!("{text}, read-only for you"),
            "what is installed can be used; install elsewhere with `--prefix`",
        );
    }
    if free < 4 << 30 {
        return other(
            "disk",
            State::Note,
            text,
            "images have up to 20 GB; `transparent-singularity gc` removes downloads",
        );
    }
    good("disk", text)
}

fn cvmfs(context: &Context) -> Check {
    let (off, odd) = cvmfs_disabled(context.environment.text("CVMFS_DISABLE"));
    if let Some(odd) = odd {
        return other("cvmfs", State::Note, odd, "set it to `true` or `false`");
    }
    if off {
        return good("cvmfs", "`CVMFS_DISABLE` says not to use it");
    }
    let path = context
        .settings
        .sources
        .iter()
        .find_map(|source| match &source.kind {
            crate::SourceKind::Cvmfs { path } => Some(path),
            _ => None,
        });
    match path {
        None => good("cvmfs", "no source of the settings"),
        Some(path) if path.is_dir() => good("cvmfs", format!("`{}` is there", path.display())),
        Some(path) => other(
            "cvmfs",
            State::Note,
            format!("`{}` is not there", path.display()),
            "images are downloaded; with CVMFS mounted they are linked",
        ),
    }
}

fn records(context: &Context) -> Check {
    let mut bad = Vec::new();
    let mut count = 0;
    for (site, record) in context.all().unwrap_or_default() {
        count += 1;
        if !crate::verify(&site, &record, crate::Depth::Quick).is_empty() {
            bad.push(record.image);
        }
    }
    for record in context.site.all_records().unwrap_or_default() {
        match record {
            Err(error) => bad.push(error.to_string()),
            Ok(record) if !context.site.is_committed(&record) => {
                bad.push(format!("{} (not finished)", record.image));
            }
            Ok(_) => {}
        }
    }
    if bad.is_empty() {
        return good("images", format!("{count} installed, nothing missing"));
    }
    other(
        "images",
        State::Bad,
        format!("not whole: {}", bad.join(", ")),
        "transparent-singularity repair",
    )
}

fn policy(context: &Context) -> Check {
    let places = [
        Path::new(nd_launcher::SITE_POLICY).to_owned(),
        context.site.state().join("launcher.conf"),
    ];
    let mut demand = nd_launcher::Demand::Nothing;
    for path in places {
        let Ok(bytes) = fs_err::read(&path) else {
            continue;
        };
        let mut policy = nd_launcher::Policy::default();
        if let Err(error) = policy.read_more(&bytes) {
            return other(
                "policy",
                State::Bad,
                format!("`{}`: {error}", path.display()),
                "no command starts until it is right",
            );
        }
        if let Some(line) = policy.unknown.first() {
            return other(
                "policy",
                State::Note,
                format!("`{}` line {line} is not understood", path.display()),
                "launchers pass over it",
            );
        }
        demand = demand.max(policy.demand_digest);
    }
    let unfit = undigested(context, demand);
    if unfit.is_empty() {
        return good("policy", "can be read");
    }
    other(
        "policy",
        State::Note,
        format!(
            "demands a digest, and nothing compares one with: {}",
            unfit.join(", ")
        ),
        "their commands start nothing; install image files, wrapped by the launcher, instead of folders and links",
    )
}

/// Images of which nothing can be compared that the policy demands to be compared.
fn undigested(context: &Context, demand: nd_launcher::Demand) -> Vec<String> {
    let fits = |site: &crate::Site, record: &crate::InstallRecord| match demand {
        nd_launcher::Demand::Nothing => true,
        nd_launcher::Demand::Files if site.image(record).is_dir() => true,
        _ => record.source.sha256.is_some() && record.style == crate::WrapperStyle::Launcher,
    };
    (context.all().unwrap_or_default().into_iter())
        .filter(|(site, record)| !fits(site, record))
        .map(|(_, record)| record.image)
        .collect()
}
