//! `render`.

use nd_terminal::Failure;
use neurocontainers_recipe::Compat;

use super::{
    args::{RenderArgs, RenderFormat},
    session::{Session, sources},
};
use crate::pipeline::{self, Dating, Wish};

pub(super) fn run(session: &Session, args: &RenderArgs) -> Result<(), Failure> {
    let places = session.places_of(&args.recipe.recipe, &args.recipe.places)?;
    let wish = Wish {
        dating: Dating::Today,
        compat: if args.compat {
            Compat::Upstream
        } else {
            Compat::Improved
        },
        ..args.recipe.wish()
    };
    let prepared = pipeline::prepare(&session.desk(), &places, &wish)
        .map_err(|error| session.failure(error))?;
    session.show(&prepared.warnings, &sources(&prepared.sources));
    match args.format {
        RenderFormat::Docker => session.printer.data(&prepared.dockerfile),
        RenderFormat::Apptainer => session.printer.data(&prepared.definition),
        RenderFormat::Json => {
            let text = serde_json::to_string_pretty(&prepared.compiled.definition)?;
            session.printer.data(&format!("{text}\n"))
        }
    }
}
