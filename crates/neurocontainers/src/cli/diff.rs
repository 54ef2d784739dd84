//! `diff`.

use clap::{Args, ValueEnum};
use nd_names::Architecture;
use nd_rootfs::Level;
use nd_terminal::{Align, Failure, FailureKind, Table, human_bytes};
use serde_json::json;

use super::{explain::maker, session::Session};
use crate::compare::{CompareError, Difference, Opener, Side, Sight, compare};

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// A container that was built here (`NAME`, `NAME/VERSION`, `NAME~1` for the build before), or
    /// the path of an OCI layout or SIF
    first: String,
    /// The same; the last build of `FIRST` is compared with the one before when it is absent
    second: Option<String>,
    /// How closely paths are compared
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    level: LevelArg,
    /// Architecture of containers that are named
    #[arg(long, value_name = "ARCH")]
    architecture: Option<Architecture>,
}

/// How closely paths are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelArg {
    /// Kind, content, executable or not
    Content,
    /// And permissions, owners, capabilities, special files
    Full,
    /// And times, all extended attributes, sockets
    Exact,
}

/// The command `diff`: exit code 0 says that the builds are equal, 1 that they differ, 2 that there
/// is no such build.
pub(super) fn run(session: &Session, args: &DiffArgs) -> Result<(), Failure> {
    let store = session.store()?;
    let architecture = args.architecture.or_else(Architecture::of_this_program);
    let opener = Opener {
        store: &store,
        architecture: architecture.unwrap_or(Architecture::X86_64),
        cancel: &session.cancel,
    };
    let open = |asked: &str| {
        let side = opener.open(asked, &session.environment.absolute(asked));
        side.map_err(failure)
    };
    let (old, new) = if let Some(second) = &args.second {
        (open(&args.first)?, open(second)?)
    } else {
        if args.first.contains('~') {
            let text = "two builds are needed";
            return Err(Failure::new(FailureKind::Usage, text));
        }
        (open(&format!("{}~1", args.first))?, open(&args.first)?)
    };
    let level = match args.level {
        LevelArg::Content => Level::Content,
        LevelArg::Full => Level::Full,
        LevelArg::Exact => Level::Exact,
    };
    let differences = compare(&old, &new, level);
    if session.json() {
        session.printer.json(&json!({
            "old": old.name,
            "new": new.name,
            "equal": differences.is_empty(),
            "differences": differences,
        }))?;
    } else {
        session.printer.data(&text(&old, &new, &differences))?;
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}

fn failure(error: CompareError) -> Failure {
    let hint = error.hint();
    let mut failure = match &error {
        CompareError::Unknown { .. } | CompareError::TooOld { .. } | CompareError::Gone { .. } => {
            Failure::new(FailureKind::Usage, error)
        }
        _ => Failure::from(error),
    };
    if let Some(hint) = hint {
        failure = failure.hint(hint);
    }
    failure
}

fn text(old: &Side, new: &Side, differences: &[Difference]) -> String {
    if differences.is_empty() {
        return format!("{} and {} are equal\n", old.name, new.name);
    }
    let mut table = Table::new([
        ("", Align::Left),
        ("path", Align::Left),
        ("what", Align::Left),
        ("line", Align::Left),
    ]);
    for one in differences {
        let line =
            |sight: &Option<Sight>| maker(sight.as_ref().and_then(|sight| sight.made_by.as_ref()));
        let (was, is) = (line(&one.old), line(&one.new));
        let line = match (was.as_str(), is.as_str()) {
            (was, is) if one.old.is_none() || was == is || was.is_empty() => is.to_owned(),
            (was, "") => was.to_owned(),
            (was, is) => format!("{was} -> {is}"),
        };
        let mark = match one.change {
            "added" => "+",
            "removed" => "-",
            _ => "~",
        };
        table.row([mark.to_owned(), format!("/{}", one.path), what(one), line]);
    }
    let count = |word: &str| differences.iter().filter(|d| d.change == word).count();
    let counts = format!(
        "{} added, {} removed, {} changed",
        count("added"),
        count("removed"),
        count("changed")
    );
    let head = format!("{} -> {}\n", old.name, new.name);
    head + &table.render_for_terminal() + &counts + "\n"
}

/// What is there, or what differs.
fn what(one: &Difference) -> String {
    let size = |sight: &Sight| match sight.size {
        Some(bytes) => human_bytes(bytes),
        None => sight.kind.to_owned(),
    };
    match (&one.old, &one.new) {
        (Some(old), Some(new)) => {
            let mut parts: Vec<String> = Vec::new();
            for field in &one.fields {
                parts.push(match *field {
                    "content" if old.size != new.size => {
                        format!("content ({} -> {})", size(old), size(new))
                    }
                    "mode" if old.mode != new.mode => {
                        format!("mode ({} -> {})", old.mode, new.mode)
                    }
                    "owner" => format!("owner ({} -> {})", old.owner, new.owner),
                    "kind" => format!("{} -> {}", old.kind, new.kind),
                    field => field.to_owned(),
                });
            }
            parts.join(", ")
        }
        (Some(only), None) | (None, Some(only)) => size(only),
        (None, None) => String::new(),
    }
}
