//! Shell wrappers, as shells read and run them.

use std::{ffi::OsStr, path::Path};

use nd_launcher::{Command, Form, LAUNCH_FILE, LaunchFile, script};

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
        "option two words\nenv SITE=$(touch ran)'\nsearch /opt/a b\nbind /usr/lib:/mnt/y\n",
    )
}

/// The same, with the policy of the fixture.
fn ruled(mut launch: LaunchFile<'static>) -> LaunchFile<'static> {
    launch.policy = Some(OsStr::new("policy").into());
    launch
}

#[test]
fn a_script_says_what_the_launcher_would_say() {
    let fixture = Fixture::recording();
    let (launch, text) = hostile();
    let launch = ruled(launch);
    fixture.policy(text);
    fixture.write(&launch);
    let command = Command::new("args");
    program(
        &fixture.path("wrapper"),
        std::str::from_utf8(&script(&launch, &fixture.folder, &command)).unwrap(),
    );
    fs_err::create_dir(fixture.path("scratch")).unwrap();
    fs_err::write(fixture.path("authority"), "").unwrap();
    let run = |wrapper: &Path, cwd: &Path| {
        let text = output(
            fixture
                .program(wrapper)
                .current_dir(cwd)
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
    for cwd in [
        &fixture.path("work"),
        Path::new("/opt"),
        Path::new("/usr/share"),
    ] {
        assert_eq!(
            run(&fixture.path("wrapper"), cwd),
            run(&fixture.folder.join("args"), cwd),
            "{}",
            cwd.display()
        );
    }
    assert!(!fixture.path("work/ran").exists());
}

#[test]
fn a_script_survives_a_move_and_passes_shellcheck() {
    let fixture = Fixture::recording();
    let (launch, text) = hostile();
    let launch = ruled(launch);
    fixture.policy(text);
    let wrapper = fixture.folder.join("written");
    let bytes = script(&launch, &fixture.folder, &Command::new("args"));
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
    let launch = ruled(LaunchFile::new("abc", "abc_1.0_20240131.simg", Form::Sif));
    let text = script(&launch, &fixture.folder, &Command::new("args"));
    program(
        &fixture.path("wrapper"),
        std::str::from_utf8(&text).unwrap(),
    );
    // What is written stays, and the policy changes.
    let run = |text: &str| {
        fixture.policy(text);
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
    assert!(said("pass HO*\n").contains("APPTAINERENV_HOME="));
    assert!(said("# a comment\n\n  bind /usr/lib:/mnt/y  \n").contains("</usr/lib:/mnt/y>"));
    assert!(said("option --a\noption b c\n").contains("<--a>\n<b c>\n"));
    let devices = fixture.path("devices");
    fs_err::create_dir_all(devices.join("dev/dri")).unwrap();
    fs_err::create_dir_all(devices.join("usr/lib64")).unwrap();
    fs_err::write(devices.join("dev/kfd"), "").unwrap();
    let of = |more: &str| said(&format!("device-root {}\n{more}", devices.display()));
    assert!(of("").contains("<--rocm>") && !of("gpu nvidia\n").contains("<--rocm>"));
    fs_err::write(devices.join("dev/nvidiactl"), "").unwrap();
    fs_err::write(devices.join("usr/lib64/libcuda.so.1"), "").unwrap();
    assert!(of("").contains("<--nv>") && !of("").contains("<--rocm>"));
    assert!(!of("gpu off\n").contains("<--nv>"));
    for bad in ["gpu maybe\n", "x11 perhaps\n", "tmp here\n", "bind a\\nb\n"] {
        assert_eq!(run(bad).status.code(), Some(125), "{bad}");
    }
    // What is demanded is not left out because nothing here compares it.
    for demanded in [
        "demand-digest on\n",
        "demand-digest files\n",
        "demand-digest on\ndemand-digest off\n",
    ] {
        let ran = run(demanded);
        assert_eq!(ran.status.code(), Some(125), "{demanded}");
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(said.contains("the policy demands a digest"), "{said}");
    }
    assert_eq!(run("demand-digest off\n").status.code(), Some(0));
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
    fixture.policy("demand-digest files\n");
    let text = script(
        &launch,
        &fixture.folder,
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
