//! A checkout of recipes that nobody prepared for these programs, used where it stands.

use std::path::Path;

use nd_testkit::{TestEnv, corpus};

/// Exit code, standard output, standard error of a command in a folder.
fn run(env: &TestEnv, folder: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = env.command(env!("CARGO_BIN_EXE_neurocontainers"));
    let output = command.args(words).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in fs_err::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs_err::write(to, fs_err::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// The recorded recipes laid out as their repository has them.
fn checkout() -> Option<TestEnv> {
    let recorded = corpus()?.join("neurocontainers");
    if !recorded.join("recipes/itksnap").is_dir() {
        println!("skipped: the corpus has no recipe `itksnap`");
        return None;
    }
    let env = TestEnv::new().unwrap();
    let root = env.work().join("checkout");
    for part in ["recipes", "macros", "templates", "releases"] {
        copy(&recorded.join(part), &root.join(part));
    }
    fs_err::write(root.join("pyproject.toml"), "").unwrap();
    Some(env)
}

#[test]
fn an_unmodified_checkout_works_wherever_you_stand() {
    let Some(env) = checkout() else {
        return;
    };
    let work = env.work();
    let root = work.join("checkout");
    let recipe = root.join("recipes/itksnap");
    let given = root.to_string_lossy().into_owned();
    let folder = format!("{given}/recipes");
    let (code, names, err) = run(&env, &root, &["list"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        names.lines().count(),
        fs_err::read_dir(root.join("recipes")).unwrap().count()
    );
    for (from, words) in [
        (recipe.as_path(), vec!["list"]),
        (work.as_path(), vec!["list", "--recipes", &given]),
        (work.as_path(), vec!["list", "--recipes", &folder]),
    ] {
        assert_eq!(run(&env, from, &words).1, names, "{words:?}");
    }
    let path = format!("{folder}/itksnap/build.yaml");
    for command in ["show", "variants", "render", "check"] {
        let (code, wanted, err) = run(&env, &root, &[command, "itksnap"]);
        assert_eq!(code, 0, "{command}: {wanted}{err}");
        for (from, words) in [
            (root.as_path(), vec!["recipes/itksnap"]),
            (recipe.as_path(), vec![]),
            (recipe.as_path(), vec!["build.yaml"]),
            (Path::new("/"), vec!["itksnap", "--recipes", &given]),
            (Path::new("/"), vec!["itksnap", "--recipes", &folder]),
            (Path::new("/"), vec![&path]),
        ] {
            // A check of a path in no repository calls the recipe by its folder.
            if command == "check" && words == [path.as_str()] {
                continue;
            }
            let words: Vec<&str> = [command].into_iter().chain(words).collect();
            let (code, found, err) = run(&env, from, &words);
            assert_eq!((code, &found), (0, &wanted), "{words:?}: {err}");
        }
    }
    let (code, out, err) = run(&env, &root, &["check", "--all", "--compat"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains(" 0 errors"), "{err}");
    let (_, out, err) = run(&env, &work, &["render"]);
    assert_eq!(out, "");
    assert!(err.contains("there are no recipes here"), "{err}");
    let (_, _, err) = run(&env, &root, &["render"]);
    assert!(err.contains("there is no `build.yaml` here"), "{err}");
}

const USES_TEMPLATE: &str = "name: demo
version: 1.2.3
architectures: [x86_64]
categories: [workflows]
readme: x
build:
  kind: neurodocker
  base-image: ubuntu:24.04
  pkg-manager: apt
  directives:
    - template:
        name: ants
        version: 2.4.3
";

/// Whoever edits a checkout's own template means it; the text that the built-in one repairs is no
/// edit.
#[test]
fn an_edited_template_of_a_checkout_counts() {
    let env = TestEnv::new().unwrap();
    let root = env.work().join("checkout");
    fs_err::create_dir_all(root.join("recipes/demo")).unwrap();
    fs_err::create_dir_all(root.join("templates")).unwrap();
    fs_err::create_dir_all(root.join("releases")).unwrap();
    fs_err::write(root.join("recipes/demo/build.yaml"), USES_TEMPLATE).unwrap();
    let template = root.join("templates/ants.yaml");
    let render = |words: &[&str]| {
        let words: Vec<&str> = ["render", "demo"].iter().chain(words).copied().collect();
        run(&env, &root, &words)
    };
    let (code, built_in, err) = render(&[]);
    assert_eq!(code, 0, "{err}");
    let own = "name: ants\nbinaries:\n  arguments:\n    required: [version]\n  urls:\n    \
               2.4.3: https://example.org/own.tar\n  directives:\n    - run: curl {{ self.urls[self.version] }}\n";
    fs_err::write(&template, own).unwrap();
    for words in [&[][..], &["--compat"]] {
        let (code, out, err) = render(words);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("curl https://example.org/own.tar"), "{out}");
    }
    fs_err::write(&template, "name: ants\nbinaries:\n  directives: 5\n").unwrap();
    for words in [&[][..], &["--compat"]] {
        let (code, out, err) = render(words);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(
            err.contains("`templates/ants.yaml`, line 3:"),
            "the problem is not in `{err}`"
        );
    }
    if let Some(corpus) = corpus() {
        let theirs = fs_err::read(corpus.join("neurocontainers/templates/ants.yaml")).unwrap();
        fs_err::write(&template, theirs).unwrap();
        assert_eq!(render(&[]).1, built_in);
        assert_ne!(render(&["--compat"]).1, built_in);
    }
}
