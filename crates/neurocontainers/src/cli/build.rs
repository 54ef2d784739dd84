//! `build` and `test`.

use nd_terminal::{Failure, FailureKind};
use serde_json::json;

use super::{args::BuildArgs, session::Session, session::sources, text};
use crate::pipeline::{self, Finished, Wish, Workshop};

/// The command `build`.
pub(super) fn run(session: &Session, args: &BuildArgs) -> Result<(), Failure> {
    let Some(finished) = finish(session, args)? else {
        return Ok(());
    };
    if session.json() {
        session.printer.json(&finished.summary)?;
    } else {
        session.printer.data(&text::summary(&finished.summary))?;
    }
    verdict(&finished, "the container was built, but tests failed")
}

/// The command `test`.
pub(super) fn test(session: &Session, args: &BuildArgs) -> Result<(), Failure> {
    let Some(finished) = finish(session, args)? else {
        return Ok(());
    };
    if session.json() {
        session
            .printer
            .json(&json!({ "tests": finished.reports }))?;
    } else {
        session
            .printer
            .data(&text::tests(&finished.summary.tests))?;
    }
    verdict(&finished, "tests failed")
}

fn verdict(finished: &Finished, problem: &str) -> Result<(), Failure> {
    if finished.summary.tests.iter().any(|suite| suite.failed > 0) {
        return Err(Failure::new(FailureKind::Failed, problem));
    }
    Ok(())
}

/// Builds and tests; nothing when only the plan was asked for.
fn finish(session: &Session, args: &BuildArgs) -> Result<Option<Finished>, Failure> {
    let places = session.places(&args.recipe.places)?;
    let store = session.store()?;
    let workshop = Workshop {
        offline: args.offline(),
        ..session.workshop(&store)
    };
    let wish = args.wish();
    let fail = |error| session.failure(error);
    let asked = Wish {
        locked: args.locked,
        ..args.recipe.wish()
    };
    let prepared = pipeline::prepare(&workshop, &places, &asked).map_err(fail)?;
    session.show(&prepared.warnings, &sources(&prepared.sources));
    let planned = pipeline::plan(&workshop, &places, &prepared, &wish).map_err(fail)?;
    if args.dry_run {
        text::plan(session, &store, &planned, &wish)?;
        return Ok(None);
    }
    for (number, step) in (0..).zip(planned.plan.stages.iter().flat_map(|stage| &stage.steps)) {
        if let Some(origin) = &step.origin {
            let file = origin.file.rsplit('/').next().unwrap_or(&origin.file);
            let prefix = format!("{file}:{}", origin.line);
            session
                .reporter
                .set_prefix(nd_report::StepId(number), prefix);
        }
    }
    let finished = pipeline::build(&workshop, &places, &prepared, &planned, &wish).map_err(fail)?;
    text::failures(session, &finished.reports);
    Ok(Some(finished))
}
