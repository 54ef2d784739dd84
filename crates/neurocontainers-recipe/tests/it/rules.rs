//! Each rule on the smallest recipe that breaks it, and on one that does not.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nd_names::Architecture;
use nd_report::{Code, Diagnostic, FileId, Severity, Sink, apply_safe_fixes};
use nd_terminal::{DiagnosticStyle, Sources, render_diagnostics};
use neurocontainers_recipe::{
    Folder, LoadOptions, MemoryFiles, Profile, Request,
    codes::{LICENCE, RULES},
    compile, load, rules,
};

const FILE: FileId = FileId(0);

/// What the rules say about a text.
fn found(text: &str) -> Vec<Diagnostic> {
    let mut sink = Sink::new();
    let root = nd_yaml::parse(
        text.as_bytes(),
        FILE,
        &nd_yaml::Limits::default(),
        &mut sink,
    );
    if let Some(root) = &root {
        rules::check(&rules::Subject { text, root }, &mut sink);
    }
    sink.into_diagnostics()
}

fn codes(text: &str) -> Vec<Code> {
    found(text).iter().map(|found| found.code).collect()
}

/// A recipe around a piece of one, put where its first key belongs.
fn around(piece: &str) -> String {
    let indented = |spaces: &str| {
        let mut text = String::new();
        for (at, line) in piece.lines().enumerate() {
            let start = if at == 0 {
                spaces.replacen("  ", "", 1) + "- "
            } else {
                spaces.to_owned()
            };
            let _ = writeln!(text, "{start}{line}");
        }
        text
    };
    let key = piece.split(':').next().unwrap_or_default();
    match key {
        "environment" | "run" => format!("build:\n  directives:\n{}", indented("    ")),
        "url" => format!(
            "options: {{gpu: {{version_suffix: .gpu}}}}\nfiles:\n{}",
            indented("    ").replacen("- ", "- name: x\n    ", 1)
        ),
        "base-image" => format!("build:\n  {piece}"),
        "directives" => format!(
            "build:\n  base-image: ubuntu:24.04\n  {}\n",
            piece.trim_end().replace('\n', "\n  ")
        ),
        _ => piece.to_owned(),
    }
}

fn icon(width: u32, height: u32, cut: usize) -> String {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let pixels = vec![7; (width * height) as usize];
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels))
        .expect("memory takes an image");
    bytes.truncate(bytes.len() - cut);
    format!("icon: data:image/png;base64,{}\n", STANDARD.encode(bytes))
}

#[test]
fn every_page_shows_a_mistake_that_is_found_and_a_repair_that_is_none() {
    for words in rules::codes::EXPLANATIONS {
        if words.wrong.is_empty() || words.code == rules::codes::ICON_TYPE {
            continue;
        }
        let wrong = around(words.wrong);
        assert!(
            codes(&wrong).contains(&words.code),
            "{}:\n{wrong}",
            words.code
        );
        let right = around(words.right);
        assert!(
            !codes(&right).contains(&words.code),
            "{}:\n{right}",
            words.code
        );
    }
}

#[test]
fn each_mistake_is_shown_at_its_place() {
    let mut text = String::new();
    for words in rules::codes::EXPLANATIONS {
        if words.wrong.is_empty() || words.code == rules::codes::ICON_TYPE {
            continue;
        }
        let recipe = around(words.wrong);
        let sources = Sources::new().with(FILE, "build.yaml", recipe.clone());
        let mut of_this = found(&recipe);
        of_this.retain(|found| found.code == words.code);
        let _ = writeln!(
            text,
            "{}",
            render_diagnostics(&of_this, &sources, DiagnosticStyle::PLAIN)
        );
    }
    insta::assert_snapshot!(text);
}

#[test]
fn icons_are_decoded() {
    assert_eq!(codes(&icon(64, 64, 0)), []);
    assert_eq!(codes(&icon(64, 74, 0)), [rules::codes::ICON_SHAPE]);
    assert_eq!(codes(&icon(1, 1, 0)), [rules::codes::ICON_SIZE]);
    assert_eq!(codes(&icon(64, 64, 3)), [rules::codes::ICON_BROKEN]);
    assert_eq!(
        codes("icon: data:image/svg+xml;base64,PHN2Zy8+\n"),
        [rules::codes::ICON_TYPE]
    );
    assert_eq!(
        codes("icon: data:image/png;base64,PHN2Zy8+\n"),
        [rules::codes::ICON_BROKEN]
    );
    let as_jpeg = icon(64, 64, 0).replace("image/png", "image/jpeg");
    assert_eq!(codes(&as_jpeg), [rules::codes::ICON_BROKEN]);
}

#[test]
fn licences_are_spdx_expressions() {
    let of = |licence: &str| codes(&format!("copyright:\n  - license: {licence}\n"));
    for good in [
        "MIT",
        "MIT OR Apache-2.0",
        "LicenseRef-Own",
        "NOASSERTION",
        "GPL-2.0-only WITH Classpath-exception-2.0",
    ] {
        assert_eq!(of(good), [], "{good}");
    }
    for bad in ["mit", "GPL-3.0", "GPLv9", "LGPL-2.1+", "\"my own\""] {
        assert_eq!(of(bad), [LICENCE], "{bad}");
    }
}

#[test]
fn safe_edits_repair_and_leave_the_rest() {
    let text = "# of `http://github.com`\ncopyright:\n  - license: LGPL-2.1+ # as they say\nfiles:\n  - name: a # http\n    url: http://github.com/a/b.zip   # here\n    sha256: x\n  - {name: c, url: 'http://example.org/c', sha256: y}\n";
    let fixed = apply_safe_fixes(text, FILE, &found(text));
    assert_eq!((fixed.applied, fixed.refused), (2, 0));
    let expected = text
        .replace("LGPL-2.1+", "LGPL-2.1-or-later")
        .replace("url: http://github", "url: https://github");
    assert_eq!(fixed.text, expected);
    assert_eq!(codes(&fixed.text), [rules::codes::PLAIN_HTTP]);
}

#[test]
fn what_cannot_be_judged_is_not_reported() {
    for silent in [
        // Digest, archive, nothing known.
        "build: {base-image: 'ubuntu@sha256:abc'}",
        "build: {base-image: 'debian:bookworm', bootstrap: 'debian:bookworm'}",
        "build: {base-image: '{{ context.base }}'}",
        // A home folder that goes away again, and one that is no home folder.
        "build: {directives: [{run: ['rm -rf /root/.cache']}, {environment: {A: /homework/x}}]}",
        // A variable that the recipe set before, and one for the module system.
        "build: {directives: [{environment: {UID: '7', B: 'x$UID', DEPLOY_ENV_C: '~/c'}}]}",
        // Checked after it was fetched.
        "build: {directives: [{run: ['curl -O https://x.org/a', 'echo 1 a | sha256sum -c']}]}",
        // Exported for the command after it.
        "build: {directives: [{run: ['export A=b', 'make']}]}",
        "build: {directives: [{run: ['pip install -r requirements.txt .', 'echo pip install numpy']}]}",
        "deploy: {path: [/opt/tool/bin, /usr/local/bin], bins: [tool]}",
    ] {
        let loud: Vec<_> = found(silent)
            .into_iter()
            .filter(|f| f.code != rules::codes::REPLACED_VARIABLE)
            .collect();
        assert_eq!(loud, [], "{silent}");
    }
}

/// Whatever the shapes of values are, rules say something or nothing and do not fail.
#[test]
fn odd_shapes_do_no_harm() {
    for odd in [
        "[]",
        "7",
        "build: 7",
        "build: {directives: 7, base-image: []}",
        "build: {directives: [7, [], {run: {a: b}}]}",
        "deploy: [{path: 7}]",
        "files: {url: 7}",
        "icon: 7",
        "copyright: {license: [7]}",
        "build: {directives: [{environment: [HOME]}, {copy: []}, {template: 7}, {group: {a: 7}}, {entrypoint: [/root/x]}]}",
        "options: [7]",
        "build: {directives: [{run: ['\"', '{{', \"'\", '<<', '$', '${', 'pip install', 'pip']}]}",
    ] {
        let found = found(odd);
        assert!(
            found.iter().all(|found| found.severity < Severity::Error),
            "{odd}"
        );
    }
}

/// What reading and compiling the default container say about a recipe around a piece of one.
fn codes_of_whole(piece: &str) -> Vec<Code> {
    const DIRECTIVES: [&str; 10] = [
        "install",
        "instal",
        "run",
        "copy",
        "workdir",
        "entrypoint",
        "environment",
        "template",
        "include",
        "test",
    ];
    let key = piece.split(':').next().unwrap_or_default();
    let directive = DIRECTIVES.contains(&key);
    let mut text = String::new();
    if !directive {
        text.push_str(piece);
    }
    for line in [
        "name: demo",
        "version: '1'",
        "architectures: [x86_64]",
        "categories: [body]",
        "readme: x",
    ] {
        let start = line.split_inclusive(':').next().unwrap_or_default();
        let given = text.lines().any(|line| line.starts_with(start));
        let readme = start == "readme:" && key == "readme_url";
        if !(given || readme) {
            let _ = writeln!(text, "{line}");
        }
    }
    if !text.contains("icon:") {
        text.push_str(&icon(64, 64, 0));
    }
    text.push_str("build:\n  kind: neurodocker\n  base-image: ubuntu:24.04\n  pkg-manager: apt\n  directives:\n");
    if directive {
        let _ = writeln!(text, "    - {}", piece.trim_end().replace('\n', "\n      "));
    } else {
        text.push_str("    - workdir: /opt\n");
    }
    let files = MemoryFiles::new().with(Folder::Recipe, "build.yaml", text);
    let files = files.with_remote("https://example.org/readme", "text");
    let options = LoadOptions {
        profile: Profile::Strict,
        rules: true,
        ..LoadOptions::default()
    };
    let mut sink = Sink::new();
    if let Some(recipe) = load(&files, "recipes/demo", &options, &mut sink) {
        recipe.variants(&mut sink);
        let mut request = Request::new(Architecture::X86_64);
        request.architecture = Some(Architecture::X86_64);
        compile(&recipe, &request, &files, &mut sink);
    }
    sink.diagnostics().iter().map(|found| found.code).collect()
}

#[test]
fn every_example_of_a_code_gives_it_and_its_repair_does_not() {
    let mut missing = Vec::new();
    for rule in RULES {
        let (wrong, right) = rules::example(rule.code);
        if wrong.is_empty() {
            continue;
        }
        if !codes_of_whole(wrong).contains(&rule.code) {
            missing.push(format!(
                "{}: {:?} for\n{wrong}",
                rule.code,
                codes_of_whole(wrong)
            ));
        }
        if codes_of_whole(right).contains(&rule.code) && !right.is_empty() {
            missing.push(format!("{}: still in\n{right}", rule.code));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn included_files_are_looked_at_as_well() {
    let text = "name: demo\nversion: '1'\narchitectures: [x86_64]\ncategories: [body]\nreadme: x\n\
                build:\n  kind: neurodocker\n  base-image: ubuntu:24.04\n  pkg-manager: apt\n  directives:\n\
                \x20   - include: macros/openrecon/neurodocker.yaml\n";
    let macros = "builder: neurodocker\ndirectives:\n  - run: pip install numpy\n";
    let files = MemoryFiles::new()
        .with(Folder::Recipe, "build.yaml", text)
        .with(Folder::Include, "macros/openrecon/neurodocker.yaml", macros);
    let options = LoadOptions {
        rules: true,
        ..LoadOptions::default()
    };
    let mut sink = Sink::new();
    assert!(load(&files, "recipes/demo", &options, &mut sink).is_some());
    let of_macros = |found: &&Diagnostic| found.labels.iter().any(|at| at.span.file == FileId(1));
    let found: Vec<Code> = sink
        .diagnostics()
        .iter()
        .filter(of_macros)
        .map(|found| found.code)
        .collect();
    assert_eq!(found, [rules::codes::UNPINNED_PIP]);
}
