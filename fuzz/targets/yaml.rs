//! Any bytes, read as YAML: nodes and diagnostics, soon; what was read can be dumped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_report::{FileId, Sink};

fuzz_target!(|data: &[u8]| {
    let mut sink = Sink::new();
    if let Some(node) = nd_yaml::parse(data, FileId(0), &nd_yaml::Limits::default(), &mut sink) {
        let _ = nd_yaml::dump(&node);
        let _ = nd_yaml::python_str(&node.value);
    }
    for diagnostic in sink.diagnostics() {
        for label in &diagnostic.labels {
            assert!(label.span.range().end <= data.len(), "{diagnostic:?}");
        }
    }
});
