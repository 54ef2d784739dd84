//! `explain`.

use std::{fmt::Write as _, time::Duration};

use clap::Args;
use nd_builder::{Because, BuildPlan, Known, StepState};
use nd_terminal::{Align, Failure, Table, human_bytes, human_duration};
use serde_json::{Value, json};

use super::{looking::LookArgs, session::Session};
use crate::{
    pipeline::{Maker, Workshop},
    size::{Weights, weigh},
};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    look: LookArgs,
    /// Say what each place of the recipe costs in seconds and bytes, and which files are largest
    #[arg(long)]
    size: bool,
    /// How many files `--size` names
    #[arg(long, value_name = "COUNT", default_value_t = 15)]
    top: usize,
}

/// The command `explain`: what of a container is cached, and why the rest is not.
pub(super) fn run(session: &Session, args: &ExplainArgs) -> Result<(), Failure> {
    let store = session.store()?;
    let workshop = Workshop {
        offline: args.look.offline(),
        ..session.workshop(&store)?
    };
    let (prepared, planned) = args.look.plan(session, &workshop)?;
    let compression = args.look.wish().layers.of_layers();
    let known = planned.plan.known(&store, planned.ids, compression)?;
    let weights = if args.size {
        Some(weigh(&store, &known, args.top)?)
    } else {
        None
    };
    if session.json() {
        let identity = &prepared.compiled.identity;
        let mut document = json!({
            "container": identity.name,
            "version": identity.version,
            "base": planned.base.origin,
            "complete": known.complete(),
            "steps": steps(&planned.plan, &known),
        });
        if let Some(weights) = weights {
            document["size"] = serde_json::to_value(weights)?;
        }
        return session.printer.json(&document);
    }
    let text = match &weights {
        None => states(&planned.plan, &known),
        Some(weights) => sizes(&known, weights),
    };
    session.printer.data(&text)
}

fn steps(plan: &BuildPlan, known: &Known) -> Vec<Value> {
    let mut out = Vec::new();
    for (number, (step, state)) in plan.steps().iter().zip(&known.states).enumerate() {
        let line = step.origin.as_ref();
        let line = line.map(|origin| format!("{}:{}", origin.file, origin.line));
        let changed: Vec<String> = match state {
            StepState::Missing(Because::Changed(parts)) => {
                parts.iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        };
        let because = match state {
            StepState::Cached => None,
            StepState::Missing(because) => Some(because.to_string()),
        };
        out.push(json!({
            "number": number + 1,
            "title": step.title,
            "line": line,
            "key": step.key,
            "cached": *state == StepState::Cached,
            "because": because,
            "changed": changed,
            "seconds": known.results.get(number).map(|result| result.seconds),
        }));
    }
    out
}

fn states(plan: &BuildPlan, known: &Known) -> String {
    let mut table = Table::new([
        ("", Align::Right),
        ("line", Align::Left),
        ("step", Align::Left),
        ("state", Align::Left),
    ]);
    for (number, (step, state)) in plan.steps().iter().zip(&known.states).enumerate() {
        let line = step.origin.as_ref().map_or_else(String::new, |origin| {
            let file = origin.file.rsplit('/').next().unwrap_or(&origin.file);
            format!("{file}:{}", origin.line)
        });
        let state = match state {
            StepState::Cached => "cached".to_owned(),
            StepState::Missing(because) => because.to_string(),
        };
        table.row([(number + 1).to_string(), line, step.title.clone(), state]);
    }
    let mut text = table.render_for_terminal();
    let missing = known.states.iter().filter(|s| **s != StepState::Cached);
    // Writing to a string cannot fail.
    let _ = match missing.count() {
        0 => writeln!(text, "everything is cached"),
        count => writeln!(
            text,
            "{count} of {} steps have to be built",
            known.states.len()
        ),
    };
    text
}

fn sizes(known: &Known, weights: &Weights) -> String {
    let mut table = Table::new([
        ("line", Align::Left),
        ("steps", Align::Left),
        ("time", Align::Right),
        ("layers", Align::Right),
        ("in the image", Align::Right),
    ]);
    for line in &weights.lines {
        let time = Duration::try_from_secs_f64(line.seconds).unwrap_or_default();
        let time = if line.steps.is_empty() {
            String::new()
        } else {
            human_duration(time)
        };
        let name = match &line.line {
            None => "base",
            // What every container gets has no line.
            Some(name) if line.steps.contains(name) => "",
            Some(name) => short(name),
        };
        table.row([
            name.to_owned(),
            line.steps.join("; "),
            time,
            human_bytes(line.layers),
            human_bytes(line.kept),
        ]);
    }
    let mut text = table.render_for_terminal();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} in {} entries\n",
        human_bytes(weights.bytes),
        weights.entries
    );
    let mut files = Table::new([
        ("size", Align::Right),
        ("file", Align::Left),
        ("line", Align::Left),
    ]);
    for file in &weights.files {
        let line = file.line.as_deref().map_or("base", short);
        files.row([
            human_bytes(file.bytes),
            format!("/{}", file.path),
            line.to_owned(),
        ]);
    }
    text.push_str(&files.render_for_terminal());
    if !known.complete() {
        text.push_str("steps that are not built are missing here\n");
    }
    text
}

/// The last part of a path, with what follows it.
pub(super) fn short(line: &str) -> &str {
    match line.rsplit_once('/') {
        // Titles of steps may hold slashes, too.
        Some((_, name)) if !line.contains(' ') => name,
        _ => line,
    }
}

/// The same for a maker.
pub(super) fn maker(maker: Option<&Maker>) -> String {
    maker.map_or_else(String::new, |maker| short(&maker.to_string()).to_owned())
}
