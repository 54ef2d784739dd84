//! `cache`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use nd_sandbox::IdMode;
use nd_store::PruneWish;
use nd_terminal::{Align, Failure, FailureKind, Table, human_bytes};
use serde_json::json;

use super::session::Session;
use crate::cache::{CacheKind, Sorter};

/// What is kept between builds.
#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Say what is kept and how large it is
    List,
    /// Remove what was not used for longest
    Prune(PruneArgs),
}

/// Arguments of `cache prune`.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Bytes of the chosen kinds to keep, such as 500M or 20G; nothing by default
    #[arg(
        long = "keep-bytes",
        visible_alias = "keep",
        value_name = "SIZE",
        default_value = "0",
        value_parser = parse_size
    )]
    keep: u64,
    /// What may go; everything by default
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<KindArg>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// A kind of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// Results of steps
    Steps,
    /// Downloaded files
    Files,
    /// Base images
    Images,
}

impl KindArg {
    fn kind(self) -> CacheKind {
        match self {
            Self::Steps => CacheKind::Steps,
            Self::Files => CacheKind::Files,
            Self::Images => CacheKind::Images,
        }
    }
}

pub(super) fn run(session: &Session, command: &CacheCommand) -> Result<(), Failure> {
    match command {
        CacheCommand::List => list(session),
        CacheCommand::Prune(args) => prune(session, args),
    }
}

fn list(session: &Session) -> Result<(), Failure> {
    let store = session.store()?;
    let items = store.list()?;
    let sorter = Sorter::of(&store, &items)?;
    let mut totals: BTreeMap<CacheKind, (u64, u64)> = CacheKind::ALL
        .into_iter()
        .map(|kind| (kind, (0, 0)))
        .collect();
    for item in &items {
        let total = totals.entry(sorter.kind(item)).or_default();
        *total = (total.0 + 1, total.1 + item.bytes);
    }
    if session.json() {
        let kinds: serde_json::Map<String, serde_json::Value> = totals
            .iter()
            .map(|(kind, (count, bytes))| {
                let value = json!({ "count": count, "bytes": bytes });
                (kind.word().to_owned(), value)
            })
            .collect();
        let path = store.root().display().to_string();
        return session
            .printer
            .json(&json!({ "path": path, "items": kinds }));
    }
    let mut table = Table::new([
        ("kind", Align::Left),
        ("count", Align::Right),
        ("size", Align::Right),
    ]);
    for (kind, (count, bytes)) in totals {
        table.row([
            kind.word().to_owned(),
            count.to_string(),
            human_bytes(bytes),
        ]);
    }
    let (path, table) = (store.root().display(), table.render_for_terminal());
    session.printer.data(&format!("{path}\n{table}"))
}

fn prune(session: &Session, args: &PruneArgs) -> Result<(), Failure> {
    let store = session.store()?;
    let sorter = Sorter::of(&store, &store.list()?)?;
    let kinds: Vec<CacheKind> = args.kinds.iter().map(|kind| kind.kind()).collect();
    let wish = PruneWish {
        keep: args.keep,
        trial: args.dry_run,
        select: &|item| kinds.is_empty() || kinds.contains(&sorter.kind(item)),
    };
    let ids = IdMode::choose(&session.environment, &**session.programs());
    let pruned = nd_builder::prune_where(&store, &wish, ids, &session.cancel);
    let pruned = pruned.map_err(|error| match error {
        nd_store::StoreError::Busy(_) => Failure::new(FailureKind::Busy, error)
            .hint("a build is running; prune when it is over, or try with `--dry-run`"),
        error => error.into(),
    })?;
    if session.json() {
        return session.printer.json(&json!({
            "items": pruned.items,
            "bytes": pruned.bytes,
            "left": pruned.left,
            "dry_run": args.dry_run,
        }));
    }
    let verb = if args.dry_run {
        "would remove"
    } else {
        "removed"
    };
    session.printer.data(&format!(
        "{verb} {} items of {}, {} are left\n",
        pruned.items,
        human_bytes(pruned.bytes),
        human_bytes(pruned.left)
    ))
}

/// `500M`, `20G`, `1234`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size, such as 500M or 20G");
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let factor: u64 = match unit.to_ascii_lowercase().trim_end_matches('b') {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("20G"), Ok(20_000_000_000));
        assert_eq!(parse_size("5kb"), Ok(5_000));
        assert_eq!(parse_size("7"), Ok(7));
        for bad in ["", "G", "1X", "99999999999T"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
