//! Any text, rendered as a template: text or an error whose place lies in the template.
#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use nd_jinja::{Engine, Undefined, Value};

thread_local! {
    static ENGINE: OnceCell<(Engine, Value)> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    ENGINE.with(|cell| {
        let (engine, context) = cell.get_or_init(|| {
            let context = Value::from_iter([
                ("version", Value::from("1.10")),
                ("arch", Value::from("x86_64")),
                ("parallel_jobs", Value::from(4)),
                ("list", Value::from_iter(["a", "b"])),
            ]);
            (Engine::new(Undefined::Strict), context)
        });
        let _ = engine.check(text);
        let _ = engine.render(text, context);
        let _ = engine.condition(text, context);
    });
});
