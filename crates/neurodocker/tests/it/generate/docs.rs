//! Examples of the documentation: what they show is what the program writes.

use std::path::{Path, PathBuf};

use nd_testkit::TestEnv;

#[test]
fn examples_show_what_the_program_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_neurodocker"));
    let folder = program.parent().unwrap().to_str().unwrap();
    let path = format!("{folder}:{}", std::env::var_os("PATH").unwrap().display());
    let env = TestEnv::new().unwrap();
    let mut examples = 0;
    for page in ["README.md", "docs/book/src/guides/generate-recipes.md"] {
        let text = fs_err::read_to_string(root.join(page)).unwrap();
        for block in text.split("```console\n").skip(1) {
            let (block, _) = block.split_once("```").unwrap();
            let Some((line, wanted)) = block
                .strip_prefix("$ neurodocker ")
                .and_then(|block| block.split_once('\n'))
            else {
                continue;
            };
            let mut command = env.command("sh");
            command
                .env("PATH", &path)
                .args(["-c", &format!("neurodocker {line}")]);
            let output = command.output().unwrap();
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                wanted,
                "{page}: {line}"
            );
            examples += 1;
        }
    }
    assert!(examples >= 6, "{examples}");
}
