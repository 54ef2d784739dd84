//! `reproduce`: builds a container twice from nothing and compares the results byte by byte.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use nd_terminal::{Failure, FailureKind, OrFail as _, env};
use serde_json::Value;
use xshell::cmd;

use crate::{
    build,
    machine::{Machine, find_program},
    setup::{self, Purpose},
    totals::Totals,
};

/// What has to be equal, and what it is called.
const EQUAL: [(&str, &str); 5] = [
    ("/tree_digest", "content of the tree"),
    ("/tree_full_digest", "tree with modes and owners"),
    ("/image_digest", "image"),
    ("/sif/digest", "SIF"),
    ("/release/digest", "release record"),
];

/// The lock file in a recipe's folder.
const LOCK: &str = "recipe.lock";

/// Arguments of `reproduce`.
#[derive(Debug, Args)]
pub(crate) struct ReproduceArgs {
    /// Name of the recipe: a folder of `recipes/`
    name: String,
    /// Build the second time as this ordinary user; by default as one who has a range of ids
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Build both times as who calls this
    #[arg(long, conflicts_with = "user")]
    same_user: bool,
    /// Use this `neurocontainers`; by default it is compiled
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Keep what was built
    #[arg(long)]
    keep: bool,
}

/// One of the two builds.
struct Side {
    folder: PathBuf,
    user: Option<User>,
}

#[derive(Clone)]
struct User {
    name: String,
    uid: String,
    gid: String,
}

/// The command `reproduce`.
pub(crate) fn run(machine: &Machine, args: &ReproduceArgs) -> Result<(), Failure> {
    let differences = differences(machine, args)?;
    if differences.is_empty() {
        return machine.printer.data("identical\n");
    }
    machine.printer.data(&(differences.join("\n") + "\n"))?;
    let text = format!("{} differences", differences.len());
    Err(Failure::new(FailureKind::Failed, text))
}

/// Each recipe as `reproduce` compares it, one count for each.
pub(crate) fn all(machine: &Machine) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    for name in build::recipes(machine)? {
        let args = ReproduceArgs {
            name,
            user: None,
            same_user: false,
            binary: None,
            keep: false,
        };
        let found = differences(machine, &args).unwrap_or_else(|failure| vec![failure.render()]);
        for line in &found {
            machine.printer.error_line(line);
        }
        let verdict = if found.is_empty() {
            "identical"
        } else {
            "failed"
        };
        let name = &args.name;
        machine
            .printer
            .note(&format!("reproduce {name}: {verdict}"));
        totals += Totals::one(found.is_empty());
    }
    Ok(totals)
}

/// What differs between the two builds, one line for each thing.
///
/// Everything is downloaded once and by digest (`fetch --locked`), so that an archive that changes or
/// is slow decides nothing; then two folders with caches of their own are built in, without a network.
fn differences(machine: &Machine, args: &ReproduceArgs) -> Result<Vec<String>, Failure> {
    let recipe = machine.root.join("recipes").join(&args.name);
    if !recipe.join("build.yaml").is_file() {
        let text = format!("there is no recipe `{}`", args.name);
        return Err(Failure::new(FailureKind::Failed, text));
    }
    setup::ensure(machine, Purpose::Build, false)?;
    let binary = match &args.binary {
        Some(path) => fs_err::canonicalize(path)?,
        None => build::compile(machine)?,
    };
    let folder = tempfile_folder(machine)?;
    let user = second_user(machine, args)?;
    let sides = [
        Side {
            folder: folder.join("a"),
            user: None,
        },
        Side {
            folder: folder.join("second").join("b"),
            user,
        },
    ];
    let compared = compare(machine, args, &binary, &recipe, &sides);
    if args.keep {
        machine.printer.note(&format!("kept: {}", folder.display()));
    } else {
        remove(machine, &binary, &sides);
        // What a user's namespace made and could not be emptied stays, and is said.
        if let Err(error) = fs_err::remove_dir_all(&folder) {
            machine.printer.note(&format!("left: {error}"));
        }
    }
    compared
}

/// Builds both and lists what differs.
fn compare(
    machine: &Machine,
    args: &ReproduceArgs,
    binary: &Path,
    recipe: &Path,
    sides: &[Side; 2],
) -> Result<Vec<String>, Failure> {
    let shell = &machine.shell;
    let name = &args.name;
    let [first, second] = sides;
    // Both see the same recipe of the same date, which a checkout says by its history.
    let shown = cmd!(shell, "{binary} show {name} --json").quiet().read();
    let shown = shown.or_fail(FailureKind::Failed)?;
    let date = last_json(&shown)?["build_date"].as_str().map(str::to_owned);
    let date = date.unwrap_or_default();
    let locks: Vec<PathBuf> = sides
        .iter()
        .map(|side| Ok(copy_recipe(machine, recipe, &side.folder, name)?.join(LOCK)))
        .collect::<Result<_, Failure>>()?;
    let mut started = Instant::now();
    let fetch = || run_side(machine, binary, first, &date, &["fetch", "--locked", name]);
    // A lock is of one moment of an archive, which drops what it replaces.
    if !locks[0].exists() || fetch().is_err() {
        machine
            .printer
            .note("the archive has no longer what the recipe's lock names, or there is none");
        let lock = lock(machine, binary, recipe, first, (name, &date))?;
        for to in &locks {
            fs_err::copy(&lock, to)?;
        }
        started = Instant::now();
        fetch()?;
    }
    let (from, to) = (first.folder.join("cache"), &second.folder);
    cmd!(shell, "cp -a {from} {to}")
        .quiet()
        .run()
        .or_fail(FailureKind::Failed)?;
    let note = |text: &str, started: Instant| {
        let seconds = started.elapsed().as_secs_f64();
        machine.printer.note(&format!("{text}: {seconds:.1} s"));
    };
    note("downloads", started);
    let mut summaries = Vec::new();
    for side in sides {
        if let Some(user) = &side.user {
            let (owner, folder) = (format!("{}:{}", user.uid, user.gid), &side.folder);
            cmd!(shell, "chown -R {owner} {folder}")
                .quiet()
                .run()
                .or_fail(FailureKind::Failed)?;
        }
        let started = Instant::now();
        let words = ["build", "--locked", name, "--network", "none", "--no-test"];
        let said = run_side(machine, binary, side, &date, &words)?;
        let summary = last_json(&said)?;
        let who = side.user.as_ref().map_or("the caller", |user| &user.name);
        let ids = summary["ids"].as_str().unwrap_or_default();
        note(&format!("built by {who} with ids `{ids}`"), started);
        summaries.push(summary);
    }
    let text = |summary: &Value, pointer: &str| {
        summary
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (one, other) = (&summaries[0], &summaries[1]);
    let same_ids = text(one, "/ids") == text(other, "/ids");
    if !same_ids {
        machine
            .printer
            .note("the id modes differ: only the content of the tree has to be equal");
    }
    let mut out = Vec::new();
    for (pointer, what) in EQUAL {
        let (a, b) = (text(one, pointer), text(other, pointer));
        let verdict = if a == b { "equal" } else { "differs" };
        machine.printer.note(&format!("{what}: {verdict} {a}"));
        if a != b && (same_ids || pointer == "/tree_digest") {
            out.push(format!("{what}: {a} and {b}"));
        }
    }
    // The digest of a file is what was written; its bytes are looked at as well.
    let (a, b) = (text(one, "/sif/path"), text(other, "/sif/path"));
    let equal = cmd!(shell, "cmp --silent {a} {b}").quiet().run().is_ok();
    if same_ids && !equal {
        out.push("the bytes of the SIF files".to_owned());
    }
    if !out.is_empty() {
        out.extend(files(machine, binary, first, one, other)?);
    }
    Ok(out)
}

/// A lock of the archive as it is now, made by a build of its own.
fn lock(
    machine: &Machine,
    binary: &Path,
    recipe: &Path,
    beside: &Side,
    (name, date): (&str, &str),
) -> Result<PathBuf, Failure> {
    let started = Instant::now();
    let side = Side {
        folder: beside.folder.with_file_name("lock"),
        user: None,
    };
    let to = copy_recipe(machine, recipe, &side.folder, name)?;
    run_side(machine, binary, &side, date, &["lock", name, "--update"])?;
    let seconds = started.elapsed().as_secs_f64();
    machine
        .printer
        .note(&format!("locked by a build of its own: {seconds:.1} s"));
    Ok(to.join(LOCK))
}

/// Copies the recipe into a folder that looks like a repository.
fn copy_recipe(
    machine: &Machine,
    recipe: &Path,
    folder: &Path,
    name: &str,
) -> Result<PathBuf, Failure> {
    let to = folder.join("recipes").join(name);
    for dir in [&to, &folder.join("releases"), &folder.join("home")] {
        fs_err::create_dir_all(dir)?;
    }
    for entry in fs_err::read_dir(recipe)? {
        let path = entry?.path();
        cmd!(machine.shell, "cp -r {path} {to}")
            .quiet()
            .run()
            .or_fail(FailureKind::Failed)?;
    }
    Ok(to)
}

/// What differs, file by file, with the recipe line and a reason.
fn files(
    machine: &Machine,
    binary: &Path,
    side: &Side,
    one: &Value,
    other: &Value,
) -> Result<Vec<String>, Failure> {
    let path = |summary: &Value| {
        summary["oci"]["path"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let (a, b) = (path(one), path(other));
    let said = cmd!(machine.shell, "{binary} diff {a} {b} --level exact --json")
        .env(env::ND_CACHE_DIR, side.folder.join("cache"))
        .quiet()
        .ignore_status()
        .read()
        .or_fail(FailureKind::Failed)?;
    let document = last_json(&said)?;
    let mut out = Vec::new();
    for difference in document["differences"].as_array().into_iter().flatten() {
        let path = difference["path"].as_str().unwrap_or_default();
        let change = difference["change"].as_str().unwrap_or_default();
        let fields: Vec<&str> = difference["fields"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let maker = ["new", "old"]
            .iter()
            .find_map(|key| difference.pointer(&format!("/{key}/made_by")));
        let maker = maker.map_or_else(|| "(base)".to_owned(), maker_text);
        let why = reason(path, change, &fields);
        out.push(format!(
            "  /{path}: {change} {}: {maker}: {why}",
            fields.join(", ")
        ));
    }
    Ok(out)
}

/// Who made a file, in the words of the comparison.
fn maker_text(maker: &Value) -> String {
    let words: Vec<&str> = match maker {
        Value::Object(object) => object.values().filter_map(Value::as_str).collect(),
        Value::String(text) => vec![text],
        _ => Vec::new(),
    };
    words.join(" ")
}

/// Why a file differs from run to run, where that is a known kind of file.
fn reason(path: &str, change: &str, fields: &[&str]) -> &'static str {
    let is = |end: &str| path.ends_with(end);
    match () {
        () if change != "changed" => "one build made it and the other did not",
        () if fields == ["time"] => "it has the time of its making",
        () if is(".pyc") => "byte code holds the time of its source",
        () if is("machine-id") => "an identity of the machine",
        () if is(".uuid") => "a random identity",
        () if path.starts_with("var/log/") || is(".log") => "a log with times",
        () if path.starts_with("var/cache/") || is(".cache") => "a cache",
        () if is(".pem") || is(".key") || path.contains("/ssh_host_") => "a key made at random",
        () if is(".gz") || is(".jar") || is(".zip") => "an archive holds times",
        () => "unknown: compare the two files",
    }
}

/// Runs the binary in a side's folders; its standard output.
fn run_side(
    machine: &Machine,
    binary: &Path,
    side: &Side,
    date: &str,
    words: &[&str],
) -> Result<String, Failure> {
    let shell = &machine.shell;
    let folder = &side.folder;
    let before: Vec<String> = match &side.user {
        Some(user) => [
            "setpriv",
            "--reuid",
            &user.uid,
            "--regid",
            &user.gid,
            "--init-groups",
        ]
        .map(str::to_owned)
        .into(),
        None => Vec::new(),
    };
    let words = before
        .into_iter()
        .chain([binary.display().to_string()])
        .chain(words.iter().map(|word| (*word).to_owned()))
        .chain(["--json".to_owned()]);
    let _here = shell.push_dir(folder);
    let (program, rest) = ("env", words);
    let mut command = cmd!(shell, "{program} {rest...}");
    if let Some(user) = &side.user {
        // Ranges of ids are found by the name.
        command = command.env("USER", &user.name);
    }
    let output = command
        .env(env::ND_CACHE_DIR, folder.join("cache"))
        .env("HOME", folder.join("home"))
        .env("BUILDDATE", date)
        .env(env::ND_PEERS, machine.peers()?)
        .quiet()
        .read();
    output.or_fail(FailureKind::Failed)
}

/// The user of the second build: the one named, or the first who has a range of ids.
fn second_user(machine: &Machine, args: &ReproduceArgs) -> Result<Option<User>, Failure> {
    if args.same_user || !machine.is_root() || find_program("setpriv").is_none() {
        machine
            .printer
            .note("both builds are made by the same user");
        return Ok(None);
    }
    let ranges = fs_err::read_to_string("/etc/subuid").unwrap_or_default();
    let mut names: Vec<&str> = ranges
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    if let Some(name) = &args.user {
        names = vec![name];
    }
    let accounts = fs_err::read_to_string("/etc/passwd")?;
    let found = names.iter().find_map(|name| {
        let mut lines = accounts
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.first() == Some(name) && fields.len() > 3)?;
        Some(User {
            name: fields[0].to_owned(),
            uid: fields[2].to_owned(),
            gid: fields[3].to_owned(),
        })
    });
    match (found, &args.user) {
        (None, Some(name)) => {
            let text = format!("there is no user `{name}`");
            Err(Failure::new(FailureKind::Failed, text))
        }
        (None, None) => {
            machine
                .printer
                .note("no ordinary user has a range of ids: both builds are made by the same user");
            Ok(None)
        }
        (found, _) => Ok(found),
    }
}

/// A folder that every user may enter.
fn tempfile_folder(machine: &Machine) -> Result<PathBuf, Failure> {
    let made = cmd!(
        machine.shell,
        "mktemp --directory --tmpdir nd-reproduce-XXXXXX"
    )
    .quiet()
    .read()
    .or_fail(FailureKind::Failed)?;
    let folder = PathBuf::from(made.trim());
    fs_err::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// Empties the caches as those who filled them: what a namespace owns, only it can remove.
fn remove(machine: &Machine, binary: &Path, sides: &[Side; 2]) {
    for side in sides {
        // Whatever goes wrong here is said when the folder cannot be removed.
        let _ = run_side(machine, binary, side, "20000101", &["cache", "prune"]);
    }
}

fn last_json(text: &str) -> Result<Value, Failure> {
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).or_fail(FailureKind::Tool)
}
