//! `kill -9` at any moment of `menu build`, `install` and `remove`: every file is whole, and the next run completes.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, time::Instant};

use nd_testkit::TestEnv;

use crate::{
    killed::{Moments, killed},
    support::{files_below, good, read, write},
};

/// Containers of the catalogue: enough for a kill to come between two files.
const CONTAINERS: usize = 60;

const BUILD: [&str; 4] = ["menu", "build", "--prefix", "out"];
const INSTALL: [&str; 7] = [
    "menu", "install", "--prefix", "out", "--system", "--root", "root",
];
const REMOVE: [&str; 4] = ["menu", "remove", "--prefix", "out"];

/// The desktop's own menu.
const MENU: &str = "etc/xdg/menus/lxde-applications.menu";
const MENU_TEXT: &str = "<Menu>\n<Name>A</Name>\n</Menu>\n";

/// A catalogue in which all versions, and what all entries run, are of one kind.
fn catalogue(env: &TestEnv, version: &str) {
    let containers: Vec<String> = (0..CONTAINERS)
        .map(|number| {
            format!(
                r#""tool{number}": {{"apps": {{"tool{number} {version}": {{"version": "20240101", "exec": ""}},
                "viewGUI-tool{number} 1": {{"version": "20240101", "exec": "view {version}"}}}},
                "categories": ["statistics"]}}"#
            )
        })
        .collect();
    write(env, "apps.json", &format!("{{{}}}", containers.join(",")));
}

/// Everything that is seen below a folder, with its mode.
fn seen(env: &TestEnv) -> BTreeMap<String, (u32, Vec<u8>)> {
    let out = env.work().join("out");
    let mut names = files_below(&out);
    names.retain(|name| !name.split('/').any(|part| part.starts_with('.')));
    let about = |name: &String| {
        let path = out.join(name);
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        (mode, fs_err::read(path).unwrap())
    };
    names
        .into_iter()
        .map(|name| {
            let about = about(&name);
            (name, about)
        })
        .collect()
}

/// Names that nobody has finished.
fn unfinished(env: &TestEnv) -> Vec<String> {
    let mut names = files_below(&env.work());
    let known = [
        "out/.menu-files.json",
        "out/.menu-lock",
        "out/.menu-installed.json",
    ];
    names.retain(|name| {
        let hidden = name.split('/').any(|part| part.starts_with('.'));
        hidden && !known.contains(&name.as_str())
    });
    names
}

fn menu_of_desktop(env: &TestEnv) {
    write(env, &format!("root/{MENU}"), MENU_TEXT);
    let settings = format!("system_menu = \"/{MENU}\"\nedit_system_menu = true\n");
    write(env, "neurodesk.toml", &settings);
}

#[test]
fn a_menu_is_of_whole_files_at_any_moment_and_the_next_run_completes_it() {
    let env = TestEnv::new().unwrap();
    let versions = ["1.0", "2.0"];
    let whole = versions.map(|version| {
        catalogue(&env, version);
        good(&env, &BUILD);
        seen(&env)
    });
    let began = Instant::now();
    catalogue(&env, versions[0]);
    good(&env, &BUILD);
    let mut moments = Moments::within(began.elapsed());
    for round in 0..Moments::rounds() {
        let to = (round as usize + 1) % 2;
        catalogue(&env, versions[to]);
        killed(&env, &BUILD, moments.next());
        for (name, about) in seen(&env) {
            let known = whole.iter().any(|whole| whole.get(&name) == Some(&about));
            assert!(known, "round {round}: `{name}` is half-written");
        }
        // Back or on, without anything to allow; and nothing of the killed one stays.
        let to = if round % 4 < 2 { to } else { 1 - to };
        catalogue(&env, versions[to]);
        good(&env, &BUILD);
        assert!(seen(&env) == whole[to], "round {round}");
        assert_eq!(unfinished(&env), [""; 0], "round {round}");
    }
}

#[test]
fn what_a_killed_run_made_known_is_taken_back_whole() {
    let env = TestEnv::new().unwrap();
    catalogue(&env, "1.0");
    menu_of_desktop(&env);
    let ours = || {
        let mut names = files_below(&env.work());
        names.retain(|name| name.starts_with("out/") || name.starts_with("root/"));
        names
    };
    let time = |words: &[&str]| {
        let began = Instant::now();
        good(&env, words);
        Moments::within(began.elapsed())
    };
    let mut building = time(&BUILD);
    let mut installing = time(&INSTALL);
    let mut removing = time(&REMOVE);
    for round in 0..Moments::rounds() {
        match round % 3 {
            0 => {
                killed(&env, &BUILD, building.next());
            }
            1 => {
                good(&env, &BUILD);
                killed(&env, &INSTALL, installing.next());
            }
            _ => {
                good(&env, &BUILD);
                good(&env, &INSTALL);
                killed(&env, &REMOVE, removing.next());
            }
        }
        // The desktop's own menu is always one.
        let text = read(&env, &format!("root/{MENU}"));
        assert!(text.ends_with("</Menu>\n"), "round {round}: {text}");
        if round % 2 == 0 {
            good(&env, &BUILD);
            good(&env, &INSTALL);
            assert!(read(&env, &format!("root/{MENU}")).contains("<MergeFile>"));
            assert_eq!(unfinished(&env), [""; 0], "round {round}");
        }
        good(&env, &REMOVE);
        assert_eq!(ours(), [format!("root/{MENU}")], "round {round}");
        assert_eq!(read(&env, &format!("root/{MENU}")), MENU_TEXT);
        assert!(!env.work().join("out").exists(), "round {round}");
    }
}

#[test]
fn a_run_that_was_cut_off_counts_no_entries() {
    let env = TestEnv::new().unwrap();
    catalogue(&env, "1.0");
    good(&env, &BUILD);
    let list = read(&env, "out/.menu-files.json");
    // As it is after a kill between the list and the last file of a catalogue with other versions.
    let files = (0..CONTAINERS).map(|number| format!("\"bin/tool{number}-2_0.sh\","));
    let cut = list.replacen(
        "\"files\":[",
        &format!(
            "\"entries\":{},\"files\":[{}",
            2 * CONTAINERS,
            files.collect::<String>()
        ),
        1,
    );
    assert_ne!(cut, list);
    write(&env, "out/.menu-files.json", &cut);
    good(&env, &BUILD);
    assert_eq!(read(&env, "out/.menu-files.json"), list);
}
