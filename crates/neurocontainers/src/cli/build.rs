//! `build` and `test`.

use clap::Args;
use nd_names::Sha256;
use nd_oci::Layout;
use nd_records::OutputFile;
use nd_store::Store;
use nd_terminal::{Failure, FailureKind};
use serde_json::json;

use super::{
    args::BuildArgs,
    looking::{ShellOnError, UntilArgs, check_secrets, step},
    session::Session,
    text,
};
use crate::{
    engines::EngineKind,
    output::{Delivery, ImagePlace, deliver},
    pipeline::{self, BuildWish, Finished, Planned, Wish, Workshop},
};

/// Arguments of `build`.
#[derive(Debug, Args)]
pub(super) struct BuildCommand {
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    until: UntilArgs,
    /// Deliver the image to another place, too, when its tests have passed: `oci:DIR`,
    /// `oci-archive:FILE`, `docker-archive:FILE`, `sif:FILE`, `dir:DIR` or `registry:REF`
    #[arg(long = "output", value_name = "KIND:PLACE", conflicts_with_all = ["until", "dry_run"])]
    outputs: Vec<ImagePlace>,
}

/// The command `build`.
pub(super) fn run(session: &Session, args: &BuildCommand) -> Result<(), Failure> {
    let Some(mut finished) = finish(session, &args.build, &args.until)? else {
        return Ok(());
    };
    if verdict(&finished, "").is_ok() {
        deliver_all(session, args, &mut finished)?;
    }
    if session.json() {
        session.printer.json(&finished.summary)?;
    } else {
        session.printer.data(&text::summary(&finished.summary))?;
    }
    verdict(&finished, "the container was built, but tests failed")
}

/// Delivers the image to where else it is wanted.
fn deliver_all(
    session: &Session,
    args: &BuildCommand,
    finished: &mut Finished,
) -> Result<(), Failure> {
    if args.outputs.is_empty() {
        return Ok(());
    }
    let store = session.store()?;
    let workshop = Workshop {
        offline: args.build.offline(),
        ..session.workshop(&store)?
    };
    let summary = &finished.summary;
    let layout = Layout::open(&summary.oci.path)?;
    let image = layout.image(None)?;
    let sif: Sha256 = summary.sif.digest.parse()?;
    let name = format!(
        "{}:{}_{}",
        summary.container, summary.version, summary.build_date
    );
    let mut outputs = Vec::new();
    for place in &args.outputs {
        let place = session.absolute(place);
        let delivery = Delivery {
            blobs: &layout,
            image: &image,
            name: &name,
            sif: Some((summary.sif.path.as_ref(), sif)),
        };
        let delivered = deliver(&workshop, &place, &delivery)?;
        outputs.push(OutputFile {
            path: place.to_string(),
            bytes: delivered.bytes,
            digest: delivered.digest.oci(),
            cached: false,
        });
    }
    finished.summary.outputs = outputs;
    Ok(())
}

/// The command `test`.
pub(super) fn test(session: &Session, args: &BuildArgs) -> Result<(), Failure> {
    let Some(finished) = finish(session, args, &UntilArgs::default())? else {
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

/// Builds and tests; nothing when only the plan, or a part of the steps, was asked for.
fn finish(
    session: &Session,
    args: &BuildArgs,
    until: &UntilArgs,
) -> Result<Option<Finished>, Failure> {
    let places = session.places_of(&args.recipe.recipe, &args.recipe.places)?;
    let store = session.store()?;
    let secrets = args.secrets.read(session)?;
    let shell = ShellOnError(session);
    let workshop = Workshop {
        offline: args.offline(),
        limits: args.limits.limits(),
        budget: args.limits.budget(),
        secrets: &secrets,
        look_in: if until.shell_on_error {
            Some(&shell)
        } else {
            None
        },
        ..session.workshop(&store)?
    };
    let wish = args.wish();
    let asked = Wish {
        locked: args.locked,
        ..args.recipe.wish()
    };
    let (prepared, mut planned) = session.plan(&workshop, &places, &asked, &wish)?;
    check_secrets(&planned, &secrets)?;
    let all = planned.plan.steps().len();
    if wish.engine != EngineKind::Embedded && (until.until.is_some() || until.shell_on_error) {
        let message = "only the embedded engine can be looked into";
        return Err(Failure::new(FailureKind::Usage, message));
    }
    let until = match &until.until {
        Some(text) => Some(step(&planned, text)?),
        None => None,
    };
    if let Some(place) = until {
        planned.plan = planned.plan.until(place);
    }
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
    let fail =
        |error| stopped(session, &store, &planned, &wish).unwrap_or_else(|| session.failure(error));
    if until.is_some() {
        pipeline::steps(&workshop, &prepared, &planned, &wish).map_err(fail)?;
        text::until(session, &store, &planned, &wish, (&args.recipe.recipe, all))?;
        return Ok(None);
    }
    let finished = pipeline::build(&workshop, &places, &prepared, &planned, &wish).map_err(fail)?;
    text::failures(session, &finished.reports);
    Ok(Some(finished))
}

/// What is said when somebody asked to stop.
fn stopped(
    session: &Session,
    store: &Store,
    planned: &Planned,
    wish: &BuildWish,
) -> Option<Failure> {
    if !session.cancel.is_cancelled() {
        return None;
    }
    let known = planned
        .plan
        .known(store, planned.ids, wish.layers.of_layers())
        .ok()?;
    let hint = format!(
        "{} of {} steps are kept: the same command goes on after them",
        known.results.len(),
        known.states.len()
    );
    Some(Failure::new(FailureKind::Interrupted, "stopped").hint(hint))
}
