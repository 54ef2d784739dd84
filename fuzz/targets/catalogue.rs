//! Any bytes, read as a catalogue: what is accepted has names that are safe, is the same after it was
//! written and read, and makes lists.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_report::{FileId, Sink};
use neurocommand::{
    catalogue::{ListForm, applist, canonical, decode, diff, log, text},
    json::{Limits, Node, parse},
};

/// The document that `input` is, which is there unless an error says why not.
fn read(input: &str) -> Option<(Node, Sink)> {
    let mut sink = Sink::new();
    let document = parse(input, FileId(0), &Limits::default(), &mut sink);
    if document.is_none() {
        assert!(sink.has_errors(), "no document and no reason");
    }
    Some((document?, sink))
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = std::str::from_utf8(data) else {
        return;
    };
    let Some((document, mut sink)) = read(input) else {
        return;
    };
    let catalogue = decode(&document, &mut sink);
    for (_, app) in catalogue.apps() {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
        assert!(
            app.stem().chars().all(plain),
            "`{}` becomes the name of a file",
            app.stem()
        );
    }
    if sink.has_errors() {
        return;
    }
    let written = text(&canonical(&document));
    let (again, _) = read(&written).expect("what is written is read");
    assert_eq!(text(&canonical(&again)), written);
    assert!(
        diff(&document, &again).is_empty(),
        "writing changes something"
    );
    let Some(lines) = log(&document, &mut sink) else {
        // What would end its line, as a category of two lines.
        assert!(sink.has_errors(), "no list and no reason");
        return;
    };
    let images = catalogue.apps().filter(|(_, app)| app.primary).count();
    assert_eq!(lines.lines().count(), images);
    applist(&lines, Some(&document), ListForm::Improved);
});
