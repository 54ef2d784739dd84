//! Menus, judged by the programs that read them.

use std::{path::Path, process::Command};

use nd_testkit::{TestEnv, corpus, peer};

use crate::support::{APPS, files_below, good, read, run, write};

/// Where the test's user keeps things.
fn home(env: &TestEnv) -> std::path::PathBuf {
    env.root().join("home")
}

#[test]
fn launchers_and_entries_say_what_the_catalogue_says() {
    let env = TestEnv::new().unwrap();
    write(&env, "apps.json", APPS);
    good(&env, &["menu", "build", "--prefix", "out"]);
    let prefix = env.work().join("out").display().to_string();
    let launcher = read(&env, "out/bin/cat12gui-cat12-12_9.sh");
    assert!(launcher.starts_with("#!/usr/bin/env bash\n "), "{launcher}");
    assert!(
        launcher.ends_with(" run cat12 12.9 bash run.sh /opt/mcr/v93/ \"$@\"\n"),
        "{launcher}"
    );
    let launcher = read(&env, "out/bin/viewgui-abc-1_0.sh");
    assert!(
        launcher.ends_with(" run abc 1.0 abcview --big 'a b' \"$@\"\n"),
        "{launcher}"
    );
    let entry = read(&env, "out/applications/viewgui-abc-1_0.desktop");
    assert_eq!(
        entry,
        format!(
            "[Desktop Entry]\nName=viewGUI 1.0\nGenericName=viewGUI 1.0\nComment=viewGUI-abc 1.0\n\
             Exec=/bin/bash {prefix}/bin/viewgui-abc-1_0.sh\nIcon={prefix}/icons/viewGUI-abc.png\nType=Application\n\
             Categories=X-neurodesk-abc;\nTerminal=true\nKeywords=visualization;data organisation;\n\n"
        )
    );
    let entry = read(&env, "out/applications/writergui-office-7_0.desktop");
    assert!(
        entry.contains(".sh %F\n")
            && entry.contains("Terminal=false\nMimeType=application/vnd.oasis"),
        "{entry}"
    );
    let there = files_below(&env.work().join("out"));
    for hidden in [
        "applications/lite-20260428.desktop",
        "applications/hiddengui-office-7_0.desktop",
    ] {
        assert!(!there.iter().any(|path| path == hidden), "{hidden}");
    }
    // Launchers are written for hidden ones, too.
    assert!(there.iter().any(|path| path == "bin/lite-20260428.sh"));
    // A second time nothing is written.
    let said = good(&env, &["menu", "build", "--prefix", "out"]);
    assert!(said.err.contains(" 0 files written"), "{}", said.err);
    // What is no longer in the catalogue goes away, and files of others stay.
    write(&env, "out/bin/mine.sh", "");
    write(&env, "apps.json", &APPS.replace("cat12 12.9", "cat12 12.8"));
    good(&env, &["menu", "build", "--prefix", "out"]);
    let there = files_below(&env.work().join("out"));
    assert!(
        !there.iter().any(|path| path.contains("12_9"))
            && there.iter().any(|path| path == "bin/mine.sh")
    );
    write(
        &env,
        "apps.json",
        "{\"abc\": {\"apps\": {\"abc 1\": {\"version\": \"20240101\"}}}}",
    );
    assert_eq!(run(&env, &["menu", "build", "--prefix", "out"]).code, 6);
    good(&env, &["menu", "remove", "--prefix", "out"]);
    assert_eq!(files_below(&env.work().join("out")), ["bin/mine.sh"]);
}

#[test]
fn a_terminal_of_mate_gets_words_and_no_nested_quotes() {
    let env = TestEnv::new().unwrap();
    write(&env, "apps.json", APPS);
    good(
        &env,
        &["menu", "build", "--prefix", "out", "--desktop", "mate"],
    );
    let entry = read(&env, "out/applications/viewgui-abc-1_0.desktop");
    assert!(
        entry.contains("Exec=mate-terminal --window --title \"viewGUI-abc 1.0\" -x /bin/bash /"),
        "{entry}"
    );
    assert!(!entry.contains("Terminal="));
    good(
        &env,
        &["menu", "build", "--prefix", "cli", "--desktop", "cli"],
    );
    let there = files_below(&env.work().join("cli"));
    assert!(
        there
            .iter()
            .all(|path| path.starts_with("bin/") || path.starts_with('.')),
        "{there:?}"
    );
}

#[test]
fn entries_of_the_whole_catalogue_are_valid() {
    let (Some(corpus), Some(validate)) = (corpus(), peer("desktop-file-validate")) else {
        return;
    };
    let env = TestEnv::new().unwrap();
    let apps = corpus.join("neurocommand/apps.json");
    for (folder, desktop) in [
        ("out with 50% $blank", "lxde"),
        ("mate", "mate"),
        ("xfce", "xfce"),
        ("gnome", "gnome"),
        ("kde", "kde"),
    ] {
        good(
            &env,
            &[
                "menu",
                "build",
                "--prefix",
                folder,
                "--desktop",
                desktop,
                "--apps",
                apps.to_str().unwrap(),
            ],
        );
        let folder = env.work().join(folder);
        let entries: Vec<_> = files_below(&folder)
            .into_iter()
            .filter(|path| path.ends_with(".desktop") || path.ends_with(".directory"))
            .map(|path| folder.join(path))
            .collect();
        assert!(entries.len() > 700, "{}", entries.len());
        let output = Command::new(&validate)
            .arg("--no-hints")
            .args(&entries)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}",
            said.lines().take(10).collect::<Vec<_>>().join("\n")
        );
    }
}

/// What pyxdg makes of the menu that is named: folders as `PATH`, entries as `PATH: NAME | EXEC`.
const READER: &str = r#"
import sys, xdg.Menu
def walk(menu, path):
    for entry in menu.getEntries(True):
        if isinstance(entry, xdg.Menu.Menu):
            name = path + "/" + entry.getName()
            print(name)
            walk(entry, name)
        elif isinstance(entry, xdg.Menu.MenuEntry):
            print(path + ": " + entry.DesktopEntry.getName() + " | " + entry.DesktopFileID)
walk(xdg.Menu.parse(sys.argv[1]), "")
"#;

/// What `pyxdg` makes of the menus of a user; `None` after saying why when it is not installed.
#[expect(clippy::print_stdout, reason = "a test says why it is skipped")]
pub(crate) fn read_menu(env: &TestEnv) -> Option<String> {
    // The package is for the Python of the distribution, which need not be the first on the path.
    let python = "/usr/bin/python3";
    if !Path::new("/usr/lib/python3/dist-packages/xdg/Menu.py").exists() {
        let reason = "`python3-xdg` is not installed; `cargo xtask setup` installs it";
        assert!(
            std::env::var_os("ND_REQUIRE_PEERS").is_none_or(|value| value != "1"),
            "{reason}"
        );
        println!("skipped: {reason}");
        return None;
    }
    let data = home(env).join(".local/share");
    let config = home(env).join(".config");
    let menu = "<!DOCTYPE Menu PUBLIC \"-//freedesktop//DTD Menu 1.0//EN\" \"http://www.freedesktop.org/standards/menu-spec/1.0/menu.dtd\">\n\
        <Menu><Name>Applications</Name><DefaultAppDirs/><DefaultDirectoryDirs/><DefaultMergeDirs/></Menu>\n";
    fs_err::write(config.join("menus/applications.menu"), menu).unwrap();
    let output = env
        .command(python)
        .env("XDG_DATA_HOME", &data)
        .env("XDG_CONFIG_HOME", &config)
        .env("XDG_DATA_DIRS", env.root())
        .env("XDG_CONFIG_DIRS", env.root())
        .args(["-c", READER])
        .arg(config.join("menus/applications.menu"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn an_independent_reader_finds_every_entry_in_its_folders() {
    let env = TestEnv::new().unwrap();
    write(&env, "apps.json", APPS);
    good(&env, &["menu", "build"]);
    good(&env, &["menu", "install"]);
    good(&env, &["menu", "install"]);
    let Some(said) = read_menu(&env) else { return };
    for line in [
        "/Neurodesk: Help | neurodesk-help.desktop",
        "/Neurodesk/Visualization/Abc: viewGUI 1.0 | neurodesk-viewgui-abc-1_0.desktop",
        "/Neurodesk/Data Organisation/Abc: abc 1.0 | neurodesk-abc-1_0.desktop",
        "/Neurodesk/All Applications/Office: writerGUI 7.0 | neurodesk-writergui-office-7_0.desktop",
        "/Neurodesk/Structural Imaging/Cat12: cat12GUI 12.9 | neurodesk-cat12gui-cat12-12_9.desktop",
    ] {
        assert!(
            said.lines().any(|found| found == line),
            "{line} is not in\n{said}"
        );
    }
    assert!(!said.contains("lite") && !said.contains("hidden"), "{said}");
    good(&env, &["menu", "remove"]);
    let left = files_below(&home(&env));
    assert_eq!(left, [".config/menus/applications.menu"]);
}

#[test]
fn an_invented_project_shows_nothing_of_another() {
    let env = TestEnv::new().unwrap();
    write(&env, "apps.json", APPS);
    write(
        &env,
        "plasma.toml",
        "brand = \"Plasma Physics\"\nhelp_url = \"https://plasma.example/\"\nsystem_menu = \"/etc/xdg/menus/lxde-applications.menu\"\nedit_system_menu = true\n",
    );
    write(
        &env,
        "root/etc/xdg/menus/lxde-applications.menu",
        "<Menu>\n<Name>A</Name>\n</Menu>\n",
    );
    let here = env.root().display().to_string();
    let with = ["--deployment", "plasma.toml", "--prefix", "out"];
    good(&env, &[&["menu", "build"], &with[..]].concat());
    let said = good(
        &env,
        &[
            &["menu", "install", "--system", "--root", "root"],
            &with[..],
        ]
        .concat(),
    );
    assert!(
        !said.err.to_lowercase().contains("neurodesk"),
        "{}",
        said.err
    );
    for folder in ["out", "root"] {
        for path in files_below(&env.work().join(folder)) {
            assert!(!path.to_lowercase().contains("neurodesk"), "{path}");
            let bytes = fs_err::read(env.work().join(folder).join(&path)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes)
                .replace(&here, "")
                .to_lowercase();
            assert!(!text.contains("neurodesk"), "{folder}/{path}: {text}");
        }
    }
    let menu = read(&env, "root/etc/xdg/menus/lxde-applications.menu");
    assert!(
        menu.contains("<MergeFile>plasma-physics-applications.menu</MergeFile>"),
        "{menu}"
    );
    let link = env
        .work()
        .join("root/usr/share/applications/plasma-physics");
    assert_eq!(
        fs_err::read_link(link).unwrap(),
        env.work().join("out/applications")
    );
    good(&env, &[&["menu", "remove"], &with[..]].concat());
    assert_eq!(
        files_below(&env.work().join("root")),
        ["etc/xdg/menus/lxde-applications.menu"]
    );
    assert_eq!(
        read(&env, "root/etc/xdg/menus/lxde-applications.menu"),
        "<Menu>\n<Name>A</Name>\n</Menu>\n"
    );
}

#[test]
fn what_others_put_there_is_not_replaced() {
    let env = TestEnv::new().unwrap();
    write(&env, "apps.json", APPS);
    good(&env, &["menu", "build", "--prefix", "out"]);
    write(&env, "root/usr/share/applications/neurodesk", "theirs");
    let said = run(
        &env,
        &[
            "menu", "install", "--system", "--root", "root", "--prefix", "out",
        ],
    );
    assert_eq!(said.code, 6, "{}", said.err);
    assert_eq!(
        files_below(&env.work().join("root")),
        ["usr/share/applications/neurodesk"]
    );
    // A list that names files elsewhere is not believed.
    write(&env, "precious", "x");
    write(
        &env,
        "out/.menu-files.json",
        "{\"schema_version\": 1, \"files\": [\"../precious\"]}",
    );
    assert_eq!(run(&env, &["menu", "remove", "--prefix", "out"]).code, 1);
    assert_eq!(read(&env, "precious"), "x");
}
