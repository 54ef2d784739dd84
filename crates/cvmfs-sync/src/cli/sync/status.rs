//! `status` and `tags`.

use clap::{Args, Subcommand};
use nd_cvmfs::{RepositoryName, TagName};
use nd_terminal::{Failure, FailureKind};
use serde_json::json;

use super::{
    apply::StateArgs,
    publisher::{PublisherArgs, publisher_failure, state_failure},
};
use crate::{
    Place,
    cli::args::Context,
    cli::verify::told,
    housekeeping::{Health, Thresholds, old_tags},
    sync::Memory,
};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    /// Name of the repository
    #[arg(long, value_name = "NAME")]
    repository: RepositoryName,
    #[command(flatten)]
    publisher: PublisherArgs,
    #[command(flatten)]
    state: StateArgs,
    /// End with code 1 when anything passes a threshold
    #[arg(long)]
    check: bool,
    /// Print metrics for Prometheus
    #[arg(long)]
    prometheus: bool,
    /// Days for which the whitelist has to be good
    #[arg(
        long,
        value_name = "DAYS",
        default_value_t = 2,
        help_heading = "Thresholds"
    )]
    min_days: u16,
    /// Hours in which a run has to be complete
    #[arg(
        long,
        value_name = "HOURS",
        default_value_t = 24,
        help_heading = "Thresholds"
    )]
    max_hours: u32,
    /// Containers that may fail
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 0,
        help_heading = "Thresholds"
    )]
    max_failed: usize,
    /// Address or folder of a copy whose lag is told; may be repeated
    #[arg(long, value_name = "PLACE")]
    servers: Vec<String>,
    /// Revisions that a copy may be behind
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 0,
        help_heading = "Thresholds"
    )]
    max_behind: u64,
}

pub(in crate::cli) fn status(context: &Context, args: &StatusArgs) -> Result<(), Failure> {
    let folder = args.state.folder(context, &args.repository)?;
    let memory = Memory::load(&folder).map_err(state_failure)?;
    let mut publisher = args.publisher.open(context, &args.repository, &folder)?;
    let open = |word: &String| Place::open(word, &context.environment);
    let copies: Vec<Place> = args.servers.iter().map(open).collect::<Result<_, _>>()?;
    let health = Health::look(&mut *publisher, &memory, &copies, context.now);
    let health = health.map_err(publisher_failure)?;
    let limits = Thresholds {
        whitelist_hours: i64::from(args.min_days) * 24,
        complete_hours: i64::from(args.max_hours),
        failed: args.max_failed,
        behind: args.max_behind,
    };
    let problems = health.problems(context.now, &limits);
    if args.prometheus {
        context
            .printer
            .data(health.prometheus(args.repository.as_str()).trim_end())?;
    } else if context.json() {
        let mut value = serde_json::to_value(&health)?;
        if let Some(members) = value.as_object_mut() {
            members.insert("schema_version".to_owned(), 1.into());
            members.insert("problems".to_owned(), json!(problems));
        }
        context.printer.json(&value)?;
    } else {
        tell(context, &health)?;
        for problem in &problems {
            context.printer.warn(problem);
        }
    }
    if args.check && !problems.is_empty() {
        return Err(Failure::told(FailureKind::Failed));
    }
    Ok(())
}

fn tell(context: &Context, health: &Health) -> Result<(), Failure> {
    let data = |text: &str| context.printer.data(text);
    let when = |seconds: Option<i64>| {
        let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        time.map_or_else(|| "never".to_owned(), |time| time.to_string())
    };
    data(&format!("revision       {}", health.revision))?;
    if health.published.is_some() {
        data(&format!("published      {}", when(health.published)))?;
    }
    if let Some(hours) = health.whitelist_hours {
        let days = hours.div_euclid(24);
        data(&format!("whitelist      {days} days"))?;
    }
    let transaction = health.transaction.as_deref().unwrap_or("none");
    data(&format!("transaction    {transaction}"))?;
    data(&format!("last run       {}", when(health.ended)))?;
    data(&format!("last complete  {}", when(health.complete)))?;
    if let Some(stopped) = &health.stopped {
        let (at, reason) = (when(Some(stopped.at)), &stopped.reason);
        data(&format!("ended early    {at}: {reason}"))?;
    }
    for lag in &health.servers {
        data(&format!("copy           {}", told(lag)))?;
    }
    for (image, reason) in &health.failed {
        data(&format!("failed         {image}: {reason}"))?;
    }
    Ok(())
}

/// The command `tags`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TagsCommand {
    /// Say which tags are old, or remove them
    Clean(CleanArgs),
}

/// Arguments of `tags clean`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CleanArgs {
    /// Name of the repository
    #[arg(long, value_name = "NAME")]
    repository: RepositoryName,
    #[command(flatten)]
    publisher: PublisherArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Tags that are older go
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    older_than: u32,
    /// Tags that begin with this stay; may be repeated
    #[arg(long, value_name = "TEXT", default_value = "generic-")]
    keep: Vec<String>,
    /// Remove them; without it they are only listed
    #[arg(long)]
    apply: bool,
}

pub(in crate::cli) fn tags(context: &Context, command: &TagsCommand) -> Result<(), Failure> {
    let TagsCommand::Clean(args) = command;
    let folder = args.state.folder(context, &args.repository)?;
    let mut publisher = args.publisher.open(context, &args.repository, &folder)?;
    let tags = publisher.tags().map_err(publisher_failure)?;
    let old = old_tags(&tags, context.now, args.older_than, &args.keep);
    let removed = if args.apply {
        publisher.untag(&old).map_err(publisher_failure)?
    } else {
        0
    };
    if context.json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "applied": args.apply,
            "old": old.iter().map(TagName::as_str).collect::<Vec<_>>(),
            "removed": removed,
            "kept": tags.len() - old.len(),
        }));
    }
    for name in &old {
        context.printer.data(name.as_str())?;
    }
    context.printer.note(&if args.apply {
        format!("{removed} tags removed; `gc` deletes what only they kept")
    } else {
        format!(
            "{} of {} tags would go; `--apply` removes them",
            old.len(),
            tags.len()
        )
    });
    Ok(())
}
