//! Plans for the tree that upstream's job leaves.

use std::os::unix::fs::PermissionsExt as _;

use nd_testkit::TestEnv;
use serde_json::Value;

use super::upstream::{self, MOUNT};

/// A catalogue of a few builds, with names as odd as they are.
const LOG: &str = "abc_1.0_20240131 categories:visualization,data organisation,\n\
    abc_1.0_20250131 categories:cryo EM,\n\
    myabc_1.0_20240131 categories:visualization,\n\
    plain_2.1.0_arm64_20240101 categories:\n\
    tool_gpu_3.2_20230303 categories:other,\n";

struct Case {
    env: TestEnv,
}

impl Case {
    fn new(log: &str) -> Self {
        let env = TestEnv::new().unwrap();
        upstream::publish(&env.work().join("tree"), log);
        Self { env }
    }

    fn output(&self, log: &str, more: &[&str]) -> (Option<i32>, Value, String) {
        fs_err::write(self.env.work().join("log.txt"), log).unwrap();
        let mut command = self.env.command(env!("CARGO_BIN_EXE_cvmfs-sync"));
        command.args(["plan", "tree", "--catalogue", "log.txt", "--json"]);
        let repository = MOUNT.strip_prefix("/cvmfs/").unwrap();
        command.args(["--repository", repository]).args(more);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let plan = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), plan, said)
    }

    fn plan(&self, log: &str, more: &[&str]) -> Value {
        let (code, plan, said) = self.output(log, more);
        assert_eq!(code, Some(0), "{said}");
        plan
    }
}

/// `ACTION IMAGE` of each step, then paths of modules.
fn told(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap().iter();
    let steps = steps.map(|step| {
        let text = |key: &str| step[key].as_str().unwrap();
        format!("{} {}", text("action"), text("image"))
    });
    let modules = plan["modules"].as_array().unwrap().iter();
    let modules = modules.map(|edit| edit["path"].as_str().unwrap().to_owned());
    steps.chain(modules).collect()
}

#[test]
fn the_first_plan_is_empty() {
    let case = Case::new(LOG);
    assert_eq!(told(&case.plan(LOG, &["--check"])), [""; 0]);
    // The same for the whole catalogue of upstream, where it is at hand.
    let Some(corpus) = nd_testkit::corpus() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let log = fs_err::read_to_string(corpus.join("neurocommand/log.txt")).unwrap();
    let case = Case::new(&log);
    assert_eq!(told(&case.plan(&log, &["--check"])), [""; 0]);
    let catalogue = corpus.join("neurocommand/apps.json");
    let catalogue = catalogue.to_str().unwrap();
    let mut command = case.env.command(env!("CARGO_BIN_EXE_cvmfs-sync"));
    command.args(["plan", "tree", "--repository", "test.example.org"]);
    command
        .args(["--catalogue", catalogue, "--check"])
        .assert()
        .success();
}

#[test]
fn what_differs_is_planned() {
    let case = Case::new(LOG);
    let root = case.env.work().join("tree");
    let containers = root.join("containers");
    // One withdrawn earlier and listed again, one interrupted, one whose module names an old build.
    fs_err::remove_dir_all(containers.join("tool_gpu_3.2_20230303/tool_gpu_3.2_20230303.simg"))
        .unwrap();
    fs_err::remove_file(containers.join("myabc_1.0_20240131/commands.txt")).unwrap();
    let module = containers.join("modules/abc/1.0.lua");
    let text = fs_err::read_to_string(&module).unwrap();
    fs_err::write(&module, text.replace("20250131", "20240131")).unwrap();
    fs_err::create_dir_all(containers.join("half_1.0_20240101")).unwrap();
    let log = LOG.replace(
        "plain_2.1.0_arm64_20240101 categories:\n",
        "new_1_20260101 categories:x,\n",
    );
    let plan = case.plan(&log, &[]);
    assert_eq!(
        told(&plan),
        [
            "add myabc_1.0_20240131",
            "add new_1_20260101",
            "restore tool_gpu_3.2_20230303",
            "disable plain_2.1.0_arm64_20240101",
            "containers/modules/abc/1.0.lua",
        ]
    );
    assert_eq!(plan["modules"][0]["action"], "write");
    assert_eq!(plan["cost"]["unknown"], 3);
    assert_eq!(case.output(&log, &["--check"]).0, Some(3));
    let only = case.plan(&log, &["--only", "new_1_20260101"]);
    assert_eq!(told(&only), ["add new_1_20260101"]);
    let removed = case.plan(&log, &["--stale", "remove"]);
    assert!(told(&removed).contains(&"remove plain_2.1.0_arm64_20240101".to_owned()));
    assert!(told(&removed).contains(&"containers/modules/plain_2.1.0/arm64.lua".to_owned()));
}

#[test]
fn a_catalogue_that_is_hostile_or_cut_plans_nothing() {
    let case = Case::new(LOG);
    let lines: Vec<&str> = LOG.lines().collect();
    for (log, code, text) in [
        (String::new(), 6, "lists no image"),
        (format!("{}\n", lines[0]), 6, "would be taken away"),
        (LOG.trim_end().to_owned(), 1, "was cut off"),
        (LOG.replace("plain", "../x"), 1, "image name"),
        (LOG.replace("other", "../../etc"), 1, "name of a folder"),
        ("{\"list\": [".to_owned(), 1, "cannot be read"),
    ] {
        let (found, _, said) = case.output(&log, &[]);
        assert_eq!(found, Some(code), "{log}: {said}");
        assert!(said.contains(text), "{text}: {said}");
    }
    let plan = case.plan(&format!("{}\n", lines[0]), &["--allow-shrink"]);
    assert_eq!(plan["steps"].as_array().unwrap().len(), 4);
    // A link out of the tree is not followed.
    let outside = case.env.work().join("outside");
    fs_err::create_dir_all(&outside).unwrap();
    fs_err::write(outside.join("commands.txt"), "x\n").unwrap();
    fs_err::set_permissions(&outside, std::fs::Permissions::from_mode(0o755)).unwrap();
    let link = case.env.work().join("tree/containers/out_1_20240101");
    fs_err::os::unix::fs::symlink(&outside, link).unwrap();
    assert_eq!(told(&case.plan(LOG, &[])), [""; 0]);
}
