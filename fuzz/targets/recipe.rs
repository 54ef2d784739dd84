//! Any bytes, read as a recipe in both modes and compiled: a container or diagnostics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_names::Architecture;
use nd_report::Sink;
use neurocontainers_recipe::{Compat, Folder, LoadOptions, MemoryFiles, Request, compile, load};

fuzz_target!(|data: &[u8]| {
    for compat in [Compat::Improved, Compat::Upstream] {
        let files = MemoryFiles::new()
            .with(Folder::Recipe, "build.yaml", data)
            .with(Folder::Include, "macros/itself.yaml", data);
        let options = LoadOptions {
            compat,
            rules: true,
            ..LoadOptions::default()
        };
        let mut sink = Sink::new();
        if let Some(recipe) = load(&files, "recipes/fuzz", &options, &mut sink) {
            let request = Request::new(Architecture::X86_64);
            if compile(&recipe, &request, &files, &mut sink).is_none() {
                assert!(sink.has_errors(), "no container and no reason");
            }
        }
    }
});
