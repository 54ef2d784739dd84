//! What the README shows is what the commands print.

use std::path::Path;

use nd_testkit::TestEnv;

#[test]
fn examples_of_the_readme_are_real() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = fs_err::read_to_string(root.join("README.md")).unwrap();
    let env = TestEnv::new().unwrap();
    let mut checked = 0;
    for block in readme.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let Some((command, expected)) = block.split_once('\n') else {
            continue;
        };
        let Some(words) = command.strip_prefix("$ neurocontainers ") else {
            continue;
        };
        let mut run = env.command(env!("CARGO_BIN_EXE_neurocontainers"));
        let output = run
            .args(words.split(' '))
            .current_dir(&root)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let expected: Vec<&str> = expected.trim_end().lines().collect();
        let said: Vec<&str> = said.trim_end().lines().collect();
        assert_eq!(
            expected.len(),
            said.len(),
            "`{command}` prints\n{}",
            said.join("\n")
        );
        for (expected, said) in expected.iter().zip(said) {
            // Long lines are cut in the README.
            match expected.strip_suffix('…') {
                Some(start) => assert!(said.starts_with(start), "{said}"),
                None => assert_eq!(*expected, said),
            }
        }
        checked += 1;
    }
    assert_eq!(checked, 2);
}
