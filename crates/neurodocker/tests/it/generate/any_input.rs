//! Whatever is given, there is an answer.

use nd_report::{FileId, Sink};
use neurodocker::reproenv::{Registry, SoftwareTemplate, read_spec};
use proptest::prelude::*;

use super::{Memory, call};

/// A word of a command line, near to what options and values look like.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "generate",
        "docker",
        "apptainer",
        "genfromjson",
        "templates",
        "list",
        "show",
        "-p",
        "apt",
        "-b",
        "-bx",
        "-b=y",
        "debian:12",
        "--from",
        "--as",
        "--copy",
        "--copy-from",
        "--add",
        "--env",
        "A=1",
        "--label",
        "--run",
        "--run-bash",
        "--install",
        "opts=-q",
        "--user",
        "neuro",
        "--workdir",
        "--entrypoint",
        "--jq",
        "version=1.6",
        "method=source",
        "--fsl",
        "--afni",
        "--miniconda",
        "--json",
        "--yes",
        "--help",
        "--",
        "-",
        "--compat",
        "2.1",
        "--template-path",
        "--from-json",
        "--sbom",
        "--no-labels",
        "",
        "=",
        "install_path={{ self.version }}",
        "\\-x",
    ];
    prop_oneof![
        6 => proptest::sample::select(known.map(str::to_owned).to_vec()),
        1 => "[-=a-z{}%#'\"$\\\\ \n]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_command_line_is_answered(more in proptest::collection::vec(word(), 0..14), start: bool) {
        let mut arguments = Vec::new();
        if start {
            arguments.extend(["generate", "docker", "-p", "apt", "-b", "x"].map(str::to_owned));
        }
        arguments.extend(more);
        match call(&mut Memory::default(), &arguments) {
            Ok(outcome) => prop_assert!(outcome.status == 0 || outcome.stdout.is_empty()),
            Err(refused) => {
                prop_assert!(refused.status == 1 || refused.status == 2);
                prop_assert!(!refused.to_string().is_empty());
            }
        }
    }

    #[test]
    fn any_specification_and_template_is_answered(text in "[a-z:\\[\\]{},\"' \\n|-]{0,80}", json: bool) {
        let text = if json {
            format!(r#"{{"pkg_manager": "apt", "instructions": [{text}]}}"#)
        } else {
            format!("name: x\nurl: u\nsource:\n  instructions: a\n  {text}")
        };
        for compat in [false, true] {
            let read = read_spec(text.as_bytes(), &Registry::built_in(), compat);
            prop_assert!(read.is_ok() || !read.unwrap_err().to_string().is_empty());
            let mut sink = Sink::new();
            let read = SoftwareTemplate::parse(text.as_bytes(), FileId(0), !compat, &mut sink);
            prop_assert!(read.is_some() != sink.has_errors(), "{text}: {:?}", sink.diagnostics());
        }
    }
}
