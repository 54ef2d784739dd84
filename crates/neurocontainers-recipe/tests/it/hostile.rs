//! Recipes that mean harm: a diagnostic soon, no panic, nothing read outside the folder.

use std::{borrow::Cow, cell::RefCell, fmt::Write as _, time::Instant};

use nd_names::Architecture;
use nd_report::Sink;
use neurocontainers_recipe::{
    Compat, FileKind, Folder, LoadOptions, MemoryFiles, ReadError, RecipeFiles, Request, compile,
    is_confined, load,
};
use proptest::prelude::*;

/// Files that note what they are asked for.
struct Watched {
    files: MemoryFiles,
    asked: RefCell<Vec<String>>,
}

impl RecipeFiles for Watched {
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        self.asked.borrow_mut().push(path.to_owned());
        self.files.read(folder, path, limit)
    }

    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind> {
        self.asked.borrow_mut().push(path.to_owned());
        self.files.kind(folder, path)
    }
}

fn recipe(directives: &str, extra: &str) -> String {
    format!(
        "name: demo\nversion: 1.2.3\narchitectures: [x86_64]\ncategories: [workflows]\nreadme: x\n\
         build:\n  kind: neurodocker\n  base-image: debian:12\n  pkg-manager: apt\n  directives:\n\
         {directives}\n{extra}\n"
    )
}

/// Reads and compiles in both modes; says whether any error was found in the improved one.
fn survives(name: &str, build: &[u8]) -> bool {
    let mut refused = false;
    for compat in [Compat::Upstream, Compat::Improved] {
        let files = Watched {
            files: MemoryFiles::new()
                .with(Folder::Recipe, "build.yaml", build)
                .with(
                    Folder::Include,
                    "macros/openrecon/neurodocker.yaml",
                    "directives:\n  - include: macros/openrecon/neurodocker.yaml\n",
                ),
            asked: RefCell::default(),
        };
        let begin = Instant::now();
        let mut sink = Sink::new();
        let options = LoadOptions {
            compat,
            rules: compat == Compat::Improved,
            ..LoadOptions::default()
        };
        if let Some(recipe) = load(&files, "demo", &options, &mut sink) {
            let request = Request::new(Architecture::X86_64);
            compile(&recipe, &request, &files, &mut sink);
        }
        let took = begin.elapsed();
        // The promise is one second; unoptimised code on a busy machine gets some more.
        assert!(took.as_secs() < 5, "{name} took {took:?}");
        for path in files.asked.into_inner() {
            assert!(is_confined(&path), "{name} asked for {path:?}");
        }
        refused = sink.has_errors();
    }
    refused
}

#[test]
fn hostile_recipes_get_diagnostics() {
    let deep = format!("{}run{}", "[".repeat(10_000), "]".repeat(10_000));
    let mut nested = String::from("    - group:\n");
    for level in 0..300 {
        nested += &" ".repeat(8 + 2 * level);
        nested += "- group:\n";
    }
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let names = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{names}]").unwrap();
    }
    let mut doubling = String::new();
    for at in 1..60 {
        let last = at - 1;
        writeln!(doubling, "  v{at}: \"{{{{ v{last} }}}}{{{{ v{last} }}}}\"").unwrap();
    }
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no yaml", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()),
        ("huge", vec![b'#'; 100 << 20]),
        ("deep", deep.into_bytes()),
        ("nested groups", recipe(&nested, "").into_bytes()),
        ("anchor bomb", (recipe("    - run: [make]", "") + &bomb).into_bytes()),
        ("nul", recipe("    - run: [\"a\\0b\", \"{{ \\0 }}\"]", "").replace("\\0", "\0").into_bytes()),
        ("no utf-8", [recipe("    - run: [make]", "readme_url: ").as_bytes(), b"\xff\xfe"].concat()),
        ("self include", recipe("    - include: macros/openrecon/neurodocker.yaml", "").into_bytes()),
        (
            "recursive template",
            recipe("    - run: [\"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}\"]", "").into_bytes(),
        ),
        (
            "endless loop",
            recipe("    - run: [\"{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}\"]", "").into_bytes(),
        ),
        ("doubling variables", recipe("    - run: [make]", &format!("variables:\n  v0: xxxxxxxxxxxxxxxx\n{doubling}")).into_bytes()),
        ("outside file", recipe("    - copy: [../../etc/passwd, /x]", "files:\n  - {name: a, filename: ../../../etc/passwd}\n  - {name: /etc/passwd, contents: x}").into_bytes()),
        ("outside include", recipe("    - include: ../../../etc/passwd", "").into_bytes()),
        ("outside copy by template", recipe("    - copy: [\"{{ '..' }}/x\", /x]", "").into_bytes()),
    ];
    for (name, build) in cases {
        assert!(survives(name, &build), "{name} was accepted");
    }
}

#[test]
fn work_stays_in_proportion() {
    let numbered =
        |count: usize, line: &dyn Fn(usize) -> String| -> String { (0..count).map(line).collect() };
    let variables = numbered(20_000, &|at| format!("  v{at}: x\n"));
    let scopes = numbered(6_000, &|at| {
        format!("    - group: [{{variables: {{a: b}}}}]\n      with: {{w{at}: x}}\n")
    });
    let copies = "one, ".repeat(50_000) + "a, ".repeat(20_000).as_str();
    let gets = "\"{{ get_file('one') }}\", ".repeat(20_000);
    let variants = numbered(30_000, &|at| format!("  w{at}: {{}}\n"));
    let presets = numbered(20_000, &|at| format!("o{at}: true, "));
    let options = numbered(20_000, &|at| format!("  o{at}: {{}}\n"));
    let unknown = numbered(60_000, &|at| format!("key{at}: 1\n"));
    let mistakes = "\"{{ context.verison }}\", ".repeat(20_000);
    let files = "files:\n  - {name: one, contents: x}";
    for (name, build) in [
        (
            "scopes and variables",
            recipe(&scopes, &format!("variables:\n{variables}")),
        ),
        (
            "copies",
            recipe(&format!("    - copy: [{copies}/x]"), files),
        ),
        (
            "mounted files",
            recipe(&format!("    - run: [{gets}]"), files),
        ),
        (
            "variants",
            recipe("    - run: [make]", &format!("variants:\n{variants}")),
        ),
        (
            "presets",
            recipe(
                "    - run: [make]",
                &format!("options:\n{options}variants:\n  v: {{options: {{{presets}}}}}"),
            ),
        ),
        ("unknown keys", recipe("    - run: [make]", &unknown)),
        (
            "mistakes",
            recipe(
                &format!("    - run: [{mistakes}]"),
                &format!("variables:\n{variables}"),
            ),
        ),
    ] {
        survives(name, build.as_bytes());
    }
}

#[test]
fn includes_do_not_multiply() {
    let mut files = MemoryFiles::new().with(
        Folder::Recipe,
        "build.yaml",
        recipe("    - include: m0.yaml", ""),
    );
    for level in 0..8 {
        let next = format!("  - include: m{}.yaml\n", level + 1).repeat(50);
        let name = format!("m{level}.yaml");
        files = files.with(Folder::Include, &name, format!("directives:\n{next}"));
    }
    let mut sink = Sink::new();
    let begin = Instant::now();
    let recipe = load(&files, "demo", &LoadOptions::default(), &mut sink);
    if let Some(recipe) = recipe {
        compile(
            &recipe,
            &Request::new(Architecture::X86_64),
            &files,
            &mut sink,
        );
    }
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    assert!(sink.has_errors());
}

#[test]
fn odd_but_harmless_recipes_compile_or_complain() {
    for (name, build) in [
        (
            "many directives",
            recipe(&"    - run: [make]\n".repeat(30_000), ""),
        ),
        (
            "long line",
            recipe(&format!("    - run: [\"{}\"]", "x".repeat(1 << 20)), ""),
        ),
        (
            "long key",
            recipe("    - run: [make]", &format!("{}: 1", "k".repeat(100_000))),
        ),
        (
            "odd names",
            recipe("    - environment: {\"a\\nb\": \"c\\nd\"}", ""),
        ),
    ] {
        survives(name, build.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_survived(text in "[ -~\n{}%#:\\-\\[\\]'\"]{0,200}") {
        survives("random", text.as_bytes());
        survives("random directive", recipe(&format!("    - run: [{text:?}]"), "").as_bytes());
    }
}
