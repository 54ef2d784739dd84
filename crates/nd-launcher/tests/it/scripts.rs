//! Shell wrappers, as shells read and run them.

use std::{ffi::OsStr, path::Path};

use nd_launcher::{Command, Form, LAUNCH_FILE, LaunchFile, Policy, script};

use crate::fixture::{Fixture, output, program};

/// A container and a policy in which every text is one that an unquoted shell would run.
fn hostile() -> (LaunchFile<'static>, &'static str) {
    let mut launch = LaunchFile::new("a\nrm -rf x", "abc_1.0_20240131.simg", Form::Sif);
    launch
        .options
        .push(OsStr::new("--label=$(touch ran)'\"").into());
    launch
        .binds
        .push(OsStr::new("/usr/share:/mnt/`touch ran`").into());
    launch.binds.push(OsStr::new("/gone:/mnt/x").into());
    launch.pass.push(OsStr::new("SUBJECTS_DIR").into());
    launch.pass.push(OsStr::new("X; touch ran").into());
    (
        launch,
        "option two words\nenv SITE=$(touch ran)'\nsearch /opt/a b\nbind /usr/lib:/mnt/y\ncwd leave\n",
    )
}

#[test]
fn a_script_says_what_the_launcher_would_say() {
    let fixture = Fixture::recording();
    let (launch, text) = hostile();
    let mut policy = Policy::default();
    policy.read_more(text.as_bytes()).unwrap();
    fixture.policy(text);
    fixture.write(&launch);
    let command = Command::new("args");
    program(
        &fixture.path("wrapper"),
        std::str::from_utf8(&script(&launch, &fixture.folder, &policy, &command)).unwrap(),
    );
    fs_err::create_dir(fixture.path("scratch")).unwrap();
    fs_err::write(fixture.path("authority"), "").unwrap();
    let run = |wrapper: &Path| {
        let text = output(
            fixture
                .program(wrapper)
                .args(["a b", "", "$(touch ran)"])
                .env("DISPLAY", ":1,2")
                .env("XAUTHORITY", fixture.path("authority"))
                .env("SUBJECTS_DIR", "/s; touch ran")
                .env("TMPDIR", fixture.path("scratch"))
                .env("neurodesk_singularity_opts", "--overlay /o"),
        );
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // The script sets the variables of both families, and options stand before binds.
        lines.retain(|line| !line.starts_with("SINGULARITYENV_"));
        lines.sort();
        lines
    };
    let mut expected = launch.clone();
    // What does not exist is left out silently by the script.
    expected.binds.pop();
    fixture.write(&expected);
    assert_eq!(
        run(&fixture.path("wrapper")),
        run(&fixture.folder.join("args"))
    );
    assert!(!fixture.path("work/ran").exists());
}

#[test]
fn a_script_survives_a_move_and_passes_shellcheck() {
    let fixture = Fixture::recording();
    let (launch, text) = hostile();
    let mut policy = Policy::default();
    policy.read_more(text.as_bytes()).unwrap();
    let wrapper = fixture.folder.join("written");
    let bytes = script(&launch, &fixture.folder, &policy, &Command::new("args"));
    program(&wrapper, std::str::from_utf8(&bytes).unwrap());
    if let Some(shellcheck) = nd_testkit::peer("shellcheck") {
        let said = fixture
            .program(shellcheck)
            .arg("--severity=warning")
            .arg(&wrapper)
            .output()
            .unwrap();
        assert!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stdout)
        );
    }
    let moved = fixture.path("moved here");
    fs_err::rename(&fixture.folder, &moved).unwrap();
    let text = output(&mut fixture.program(moved.join("written")));
    assert!(
        text.contains(&format!(
            "<{}>",
            moved.join("abc_1.0_20240131.simg").display()
        )),
        "{text}"
    );
}

#[test]
fn a_script_follows_the_policy() {
    let fixture = Fixture::recording();
    let launch = LaunchFile::new("abc", "abc_1.0_20240131.simg", Form::Sif);
    let run = |text: &str| {
        let mut policy = Policy::default();
        policy.read_more(text.as_bytes()).unwrap();
        let text = script(&launch, &fixture.folder, &policy, &Command::new("args"));
        program(
            &fixture.path("wrapper"),
            std::str::from_utf8(&text).unwrap(),
        );
        let mut command = fixture.program(fixture.path("wrapper"));
        command
            .env("DISPLAY", ":1")
            .env("TMPDIR", fixture.path("home"))
            .output()
            .unwrap()
    };
    let said = |text: &str| String::from_utf8(run(text).stdout).unwrap();
    assert!(said("").contains(":/tmp>") && said("").contains("_DISPLAY=:1"));
    assert!(!said("tmp off\nx11 off\n").contains(":/tmp>"));
    assert!(!said("x11 off\n").contains("_DISPLAY"));
    assert!(!said("clean-environment off\n").contains("--cleanenv"));
    assert!(said("env A=b c\n").contains("APPTAINERENV_A=b c"));
    let scratch = fixture.path("work");
    assert!(
        said(&format!("tmp {}\n", scratch.display()))
            .contains(&format!("<{}:/tmp>", scratch.display()))
    );
    let none = run("runtime /no/such\n");
    assert_eq!(none.status.code(), Some(127));
    assert!(
        String::from_utf8(none.stderr)
            .unwrap()
            .starts_with("neurodesk: error: ")
    );
}

#[test]
fn the_real_runtime_runs_a_script() {
    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    let bytes = fs_err::read(fixture.folder.join(LAUNCH_FILE)).unwrap();
    let launch = LaunchFile::parse(&bytes).unwrap();
    let text = script(
        &launch,
        &fixture.folder,
        &Policy::default(),
        launch.command(OsStr::new("args")).unwrap(),
    );
    let wrapper = fixture.path("args");
    program(&wrapper, std::str::from_utf8(&text).unwrap());
    let odd = ["", "a b", "$(id)", "'\"\\"];
    assert_eq!(
        output(fixture.program(&wrapper).args(odd)),
        odd.map(|word| format!("{word}\0")).concat()
    );
}
