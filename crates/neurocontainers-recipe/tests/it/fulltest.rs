//! Test suites: reading, variables, and what is wrong with them.

use nd_report::{FileId, Sink};
use nd_terminal::{DiagnosticStyle, Sources, render_diagnostics};
use neurocontainers_recipe::{
    Compat, LoadOptions,
    fulltest::{Check, ExpectedExit, Places, TestBody, check_contract, parse_suite},
};

const SUITE: &str = r#"name: demo
version: ${tool_version}
tool_version: 1.10
required_files:
  - dataset: ds000001
    files: [sub-01/anat/sub-01_T1w.nii.gz]
test_data:
  t1w: ds000001/sub-01/anat/sub-01_T1w.nii.gz
  output_dir: test_output
  threads: "2"
env:
  OMP_NUM_THREADS: "$threads"
default_timeout: 60
matlab_runtime: {runner: run.sh, path: /opt/mcr}
setup:
  script: mkdir -p ${output_dir}
tests:
  - name: reports its version
    command: demo --version $tool_version $tool_versions
    expected_output_contains: ["${version}", 1.10]
  - name: smooths
    script: smooth('${t1w}')
    timeout: 300
    expected_exit_code_not: 1
    validate:
      - output_exists: ${output_dir}/s.nii.gz
      - same_dimensions: ["${t1w}", "${output_dir}/s.nii.gz"]
      - output_dir_not_empty: ${output_dir}
    depends_on: reports its version
"#;

#[test]
fn suites_are_read_and_expanded() {
    let mut sink = Sink::new();
    let suite = parse_suite(SUITE, FileId(0), &LoadOptions::default(), &mut sink).unwrap();
    assert_eq!(sink.diagnostics(), []);
    check_contract(&suite, "demo", "1.10", Compat::Improved, &mut sink);
    assert_eq!(sink.diagnostics(), []);
    let suite = suite.expand(&Places {
        work: "/work",
        compat: Compat::Improved,
    });
    assert_eq!(suite.version.as_deref(), Some("1.10"));
    assert_eq!(suite.script_runner.as_deref(), Some("run.sh /opt/mcr"));
    assert_eq!(suite.script_ext, ".m");
    assert_eq!(suite.env["OMP_NUM_THREADS"], "2");
    assert_eq!(
        suite.setup_script.as_deref(),
        Some("mkdir -p /work/test_output")
    );
    let [first, second] = &suite.tests[..] else {
        panic!("two tests expected");
    };
    let body = TestBody::Command("demo --version 1.10 $tool_versions".into());
    assert_eq!(first.body, Some(body));
    assert_eq!(first.expected_output, ["1.10", "1.10"]);
    assert_eq!(
        (first.exit, suite.timeout(first), first.line),
        (ExpectedExit::Code(0), 60, 18)
    );
    assert_eq!(second.exit, ExpectedExit::Not(1));
    let t1w = "/work/demo/ds000001/sub-01/anat/sub-01_T1w.nii.gz".to_owned();
    assert_eq!(
        second.body.as_ref().unwrap().text(),
        format!("smooth('{t1w}')")
    );
    let smoothed = "/work/test_output/s.nii.gz".to_owned();
    assert_eq!(
        second.checks,
        [
            Check::OutputExists(smoothed.clone()),
            Check::SameDimensions(t1w, smoothed),
            Check::OutputDirNotEmpty("/work/test_output".into()),
        ]
    );
}

#[test]
fn upstream_replaces_variables_inside_longer_names() {
    let mut sink = Sink::new();
    let options = LoadOptions {
        compat: Compat::Upstream,
        ..LoadOptions::default()
    };
    let suite = parse_suite(SUITE, FileId(0), &options, &mut sink).unwrap();
    let suite = suite.expand(&Places {
        work: "/work",
        compat: Compat::Upstream,
    });
    assert_eq!(
        suite.tests[0].body.as_ref().unwrap().text(),
        "demo --version 1.10 1.10s"
    );
}

#[test]
fn mistakes_in_suites_are_shown() {
    let text = r"name: other
version: ${missing}
time_out: 3
paths: {a: b}
unknown: [a]
test_data:
  output_dir: /etc
tests:
  - name: a
    comand: demo
  - name: a
    command: demo
    ignore_exit_code: true
    tags: [x]
    depends_on: [b, a]
    validate:
      - output_exist: x
      - same_dimensions: [x]
    timeout: soon
";
    let mut sink = Sink::new();
    let suite = parse_suite(text, FileId(0), &LoadOptions::default(), &mut sink).unwrap();
    check_contract(&suite, "demo", "1.0", Compat::Improved, &mut sink);
    let sources = Sources::new().with(FileId(0), "recipes/demo/fulltest.yaml", text);
    let shown = render_diagnostics(sink.diagnostics(), &sources, DiagnosticStyle::PLAIN);
    insta::assert_snapshot!(shown);
}
