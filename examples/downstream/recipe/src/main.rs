//! What a recipe says, and what is wrong with it, without any process, network, clock or environment.

use std::process::ExitCode;

use neurocontainers_recipe::{
    Folder, LoadOptions, MemoryFiles, Request, compile, load, nd_names::Architecture,
    nd_report::Sink,
};

const RECIPE: &str = r#"name: demo
version: "1.0"
architectures: [x86_64]
categories: [workflows]
readme: "{{ context.version }}"
build:
  kind: neurodocker
  base-image: debian:12
  pkg-manager: apt
  directives:
    - install: git
"#;

fn main() -> ExitCode {
    let files = MemoryFiles::new().with(Folder::Recipe, "build.yaml", RECIPE);
    let mut sink = Sink::new();
    let recipe = load(&files, "recipes/demo", &LoadOptions::default(), &mut sink);
    let compiled = recipe.and_then(|recipe| {
        let request = Request::new(Architecture::X86_64);
        compile(&recipe, &request, &files, &mut sink)
    });
    for diagnostic in sink.diagnostics() {
        eprintln!("{}", diagnostic.message);
    }
    let Some(compiled) = compiled else {
        return ExitCode::FAILURE;
    };
    let stages = &compiled.definition.stages;
    let steps: usize = stages.iter().map(|stage| stage.body.len()).sum();
    println!("{}: {steps} instructions", compiled.identity.tag());
    ExitCode::SUCCESS
}
