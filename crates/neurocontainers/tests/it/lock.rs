//! Locks of real builds: what steps installed, refused drift, and builds from nothing but the lock.

use nd_testkit::peer;

use crate::{build::Fixture, downloads::Server, support::busybox_layout_with};

const STATUS: &str =
    "Package: base-thing\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\n";

/// What a step of package managers leaves behind.
const STEP: &str = r#"    - run:
        - mkdir -p /opt/v/lib/python3/site-packages/numpy-2.0.dist-info /opt/app/node_modules/left-pad /opt/conda/conda-meta /var/lib/rpm
        - printf 'Name\072 numpy\nVersion\072 2.0\n' > /opt/v/lib/python3/site-packages/numpy-2.0.dist-info/METADATA
        - printf '{"name":"left-pad","version":"1.3.0"}' > /opt/app/node_modules/left-pad/package.json
        - printf '{"name":"zlib","version":"1.3","build":"h1_0"}' > /opt/conda/conda-meta/zlib-1.3-h1_0.json
        - printf 'Package\072 new-thing\nStatus\072 install ok installed\nArchitecture\072 all\nVersion\072 7\n\n' >> /var/lib/dpkg/status
        - echo x > /var/lib/rpm/rpmdb.sqlite
"#;

struct Locked {
    fixture: Fixture,
    server: Server,
}

impl Locked {
    fn new() -> Option<Self> {
        let mut fixture = Fixture::new()?;
        let folder = fixture.env.root().join("with-dpkg");
        fixture.base = busybox_layout_with(&folder, &[("var/lib/dpkg/status", STATUS)])?;
        let server = Server::start(&[("/one.txt", b"the first file\n")]);
        let path = fixture.env.work().join("recipes/demo/build.yaml");
        let text = fs_err::read_to_string(&path).unwrap();
        let file = format!(
            "    - file: {{name: one, url: \"{}\"}}\n    - run: [\"cp {{{{ get_file('one') }}}} /opt/one\"]\n{STEP}",
            server.url("/one.txt")
        );
        let text = text.replace(
            "    - copy: [data.txt",
            &format!("{file}    - copy: [data.txt"),
        );
        fs_err::write(path, text).unwrap();
        Some(Self { fixture, server })
    }

    /// Runs a command on the recipe: exit code, standard output, standard error.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let base = self.fixture.base.to_str().unwrap();
        let words = [words, &["demo", "--base", base]].concat();
        let output = self.fixture.command(&words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    fn edit(&self, from: &str, to: &str) {
        let path = self.fixture.env.work().join("recipes/demo/build.yaml");
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs_err::write(path, text.replace(from, to)).unwrap();
    }

    fn lock(&self) -> String {
        let path = self.fixture.env.work().join("recipes/demo/recipe.lock");
        fs_err::read_to_string(path).unwrap()
    }
}

#[test]
fn a_lock_says_what_every_step_installed_and_drift_is_refused() {
    let Some(locked) = Locked::new() else { return };
    let (code, _, said) = locked.run(&["build", "--no-test", "--locked"]);
    assert_eq!(code, 1);
    assert!(said.contains("neurocontainers lock"), "{said}");

    // What others build is not read, and `--check` is the trial.
    for other in ["--engine=buildah", "--dry-run"] {
        assert_eq!(locked.run(&["lock", other]).0, 2, "{other}");
    }
    let (code, _, said) = locked.run(&["lock"]);
    assert_eq!(code, 0, "{said}");
    let text = locked.lock();
    for line in [
        "    { name = \"new-thing\", version = \"7\", architecture = \"all\" },",
        "    { name = \"numpy\", version = \"2.0\" },",
        "    { name = \"left-pad\", version = \"1.3.0\" },",
        "    { name = \"zlib\", version = \"1.3 h1_0\" },",
        "unread = [\"the rpm database `var/lib/rpm/rpmdb.sqlite`\"]",
        "size = 15",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(
        !text.contains("base-thing"),
        "a base that is not bootstrapped has no list:\n{text}"
    );
    let recipe = locked.fixture.env.work().join("recipes/demo/build.yaml");
    let recipe = fs_err::read_to_string(recipe).unwrap();
    let line = recipe
        .lines()
        .position(|line| line.contains("name: one"))
        .unwrap()
        + 1;
    assert!(
        text.contains(&format!("line = \"recipes/demo/build.yaml:{line}\"")),
        "{text}"
    );

    // Written once, and the same again; nothing is asked of anybody.
    let (code, _, said) = locked.run(&["lock"]);
    assert_eq!(code, 1);
    assert!(said.contains("--update"), "{said}");
    locked.server.asked();
    let (code, out, said) = locked.run(&["lock", "--check", "--offline"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("as locked"), "{out}");
    let (code, _, said) = locked.run(&["build", "--locked", "--network", "none", "--no-test"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(locked.server.asked(), 0);

    // Another version: the check says so, a locked build refuses it, an update shows and takes it.
    locked.edit("\\072 2.0", "\\072 2.1");
    let (code, _, said) = locked.run(&["lock", "--check"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("installs pip numpy: 2.0 -> 2.1"), "{said}");
    let (code, _, said) = locked.run(&["build", "--locked", "--no-test"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("installs pip numpy: 2.0 -> 2.1"), "{said}");
    let (code, out, said) = locked.run(&["lock", "--update"]);
    assert_eq!(code, 0, "{said}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        matches!(lines[..], [one] if one.contains("numpy: 2.0 -> 2.1")),
        "{out}"
    );
    assert!(locked.lock().contains("version = \"2.1\""));
}

#[test]
fn another_address_and_what_cannot_be_kept_are_named_before_anything_is_done() {
    let Some(locked) = Locked::new() else { return };
    let (code, _, said) = locked.run(&["lock"]);
    assert_eq!(code, 0, "{said}");
    // Without the steps' results, the packages of other managers would need a network.
    fs_err::remove_dir_all(locked.fixture.env.cache().join("store/records")).unwrap();
    let fetched = locked
        .fixture
        .command(&["fetch", "demo", "--locked"])
        .output()
        .unwrap();
    assert!(fetched.status.success());
    let told = String::from_utf8_lossy(&fetched.stderr).into_owned();
    assert!(told.contains("npm left-pad 1.3.0"), "{told}");
    let (code, _, said) = locked.run(&["build", "--locked", "--offline", "--no-test"]);
    assert_eq!(code, 1, "{said}");
    for part in ["pip numpy 2.0", "npm left-pad 1.3.0", "conda zlib 1.3 h1_0"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    locked.edit("/one.txt", "/two.txt");
    locked.server.asked();
    let (code, _, said) = locked.run(&["build", "--locked", "--no-test"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/two.txt: asked for"), "{said}");
    assert!(said.contains("- recipes/demo/build.yaml:"), "{said}");
    assert_eq!(locked.server.asked(), 0);
}

/// A real base and a real package: locked, fetched into an empty cache, built from that alone. Takes
/// minutes.
#[test]
fn a_locked_container_is_built_from_an_empty_cache_without_a_network() {
    if std::env::var_os("ND_SLOW_TESTS").is_none() || peer("mmdebstrap").is_none() {
        return;
    }
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.install_from_debian("bookworm", "hello");
    let run = |words: &[&str]| {
        let output = fixture.command(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let digests = |words: &[&str]| {
        let said = run(words);
        let summary: serde_json::Value =
            serde_json::from_str(said.lines().last().unwrap()).unwrap();
        (
            summary["image_digest"].clone(),
            summary["sif"]["digest"].clone(),
        )
    };
    run(&["lock", "demo"]);
    let first = digests(&["build", "demo", "--no-test", "--json"]);
    for folder in [fixture.env.cache(), fixture.env.work().join("build")] {
        fs_err::remove_dir_all(folder).unwrap();
    }
    run(&["fetch", "--locked", "demo"]);
    let words = [
        "build",
        "--locked",
        "demo",
        "--network",
        "none",
        "--no-test",
        "--json",
    ];
    assert_eq!(digests(&words), first);
}
