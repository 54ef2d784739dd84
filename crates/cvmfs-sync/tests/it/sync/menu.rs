//! The menu of the catalogue, published with its containers.

use super::case::{Case, KINDS, NAME};

const LOG: &str = "a_1.0_20240101 categories:spine,\nb_1.0_20240101 categories:spine,\n";

fn apps(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "\"{name}\": {{\"apps\": {{\"{name} 1.0\": {{\"version\": \"20240101\", \"exec\": \"\"}}, \
             \"showGUI-{name} 1.0\": {{\"version\": \"20240101\", \"exec\": \"show\"}}}}, \
             \"categories\": [\"spine\"]}}"
        )
    };
    let all: Vec<String> = names.iter().map(one).collect();
    format!("{{{}}}", all.join(", "))
}

#[test]
fn a_menu_is_published_with_its_containers_and_again_when_it_is_another_one() {
    for kind in KINDS {
        let case = Case::new(kind);
        case.image("a_1.0_20240101", "a");
        case.image("b_1.0_20240101", "b");
        let write =
            |path: &str, text: &str| fs_err::write(case.env.work().join(path), text).unwrap();
        write("apps.json", &apps(&["a", "b"]));
        write(
            "site.toml",
            "brand = \"Bench\"\nlauncher = [\"start\", \"it\"]\n",
        );
        let menu = [
            "--menu",
            "desktop/menu",
            "--apps",
            "apps.json",
            "--deployment",
            "site.toml",
        ];
        let (code, report, said) = case.output(LOG, &menu);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(
            report["menu"]["reason"], "it is not published",
            "{kind:?} {report}"
        );
        let text = |path: &str| {
            Some(String::from_utf8(case.read(&format!("desktop/menu/{path}"))?).unwrap())
        };
        let launcher = text("bin/showgui-a-1_0.sh").unwrap();
        assert!(launcher.contains("start it a 1.0 show"), "{launcher}");
        let entry = text("applications/showgui-a-1_0.desktop").unwrap();
        let exec = format!("Exec=/bin/bash /cvmfs/{NAME}/desktop/menu/bin/showgui-a-1_0.sh\n");
        assert!(entry.contains(&exec), "{entry}");
        assert!(text("bench-applications.menu").unwrap().contains("Spine"));

        let (_, report, _) = case.output(LOG, &menu);
        assert!(report["menu"].is_null(), "{report}");
        // Another one: what has gone from it goes.
        write("apps.json", &apps(&["a"]));
        let mut plan = case.program();
        plan.arg("plan")
            .arg(case.place())
            .args(["--check", "--repository", NAME]);
        plan.args(["--catalogue", "log.txt"]).args(menu);
        let output = plan.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains("menu     desktop/menu: the catalogue has another one"),
            "{said}"
        );
        let (_, report, said) = case.output(LOG, &menu);
        assert_eq!(report["menu"]["at"], "desktop/menu", "{said}");
        assert_eq!(text("bin/showgui-b-1_0.sh"), None);
        assert!(text("bin/showgui-a-1_0.sh").is_some());
        // Half a menu is none.
        write(
            "apps.json",
            "{\"a\": {\"apps\": {\"a 1.0\": {\"version\": \"someday\"}}}}",
        );
        let (code, _, said) = case.output(LOG, &menu);
        assert_eq!(code, Some(1), "{said}");
        assert!(text("bin/showgui-a-1_0.sh").is_some());
        case.holds(LOG);
    }
}

#[test]
fn a_list_of_images_is_no_reason_for_a_menu() {
    let case = Case::new(KINDS[1]);
    let (code, _, said) = case.output(LOG, &["--menu", "menu"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--apps"), "{said}");
    let outside = ["--menu", "../menu", "--apps", "apps.json"];
    fs_err::write(case.env.work().join("apps.json"), apps(&["a"])).unwrap();
    let (code, _, said) = case.output(LOG, &outside);
    assert_eq!(code, Some(1), "{said}");
    assert!(!case.env.work().join("menu").exists());
}
