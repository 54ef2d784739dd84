//! The binary, with a runtime that tells what it was called with.

use std::{
    ffi::{OsStr, OsString},
    os::unix::{ffi::OsStrExt as _, fs::symlink, process::CommandExt as _},
    process::Stdio,
};

use nd_launcher::LAUNCH_FILE;

use crate::fixture::{Fixture, output, program};

/// The words between `<` and `>` of the recording runtime.
fn words(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix('<')?.strip_suffix('>'))
        .collect()
}

#[test]
fn a_wrapper_is_found_however_it_is_started() {
    let fixture = Fixture::recording();
    let wrapper = fixture.folder.join("pwd");
    let command = |text: &str| words(text).last().map(|word| (*word).to_owned());
    let image = fixture.folder.join("abc_1.0_20240131.simg");

    let plain = output(&mut fixture.wrapper("pwd"));
    assert_eq!(words(&plain)[..3], ["--silent", "exec", "--cleanenv"]);
    assert_eq!(words(&plain)[5], image.to_str().unwrap());
    assert_eq!(command(&plain).unwrap(), "pwd");

    // A link elsewhere finds the command that it leads to, also through another link.
    symlink(&wrapper, fixture.path("work/other-name")).unwrap();
    symlink("other-name", fixture.path("work/third")).unwrap();
    for link in ["./other-name", "./third"] {
        assert_eq!(command(&output(&mut fixture.program(link))).unwrap(), "pwd");
    }
    // As on CVMFS: links beside the launch file, to one program elsewhere.
    let program = fixture.path("launcher");
    nd_testkit::copy_program(&wrapper, &program);
    fs_err::remove_file(fixture.folder.join("ls")).unwrap();
    symlink(&program, fixture.folder.join("ls")).unwrap();
    assert_eq!(command(&output(&mut fixture.wrapper("ls"))).unwrap(), "ls");
    // By name alone, found on `PATH` by a shell, with relative parts and another `argv[0]`.
    let mut shell = fixture.program("sh");
    shell
        .args(["-c", "PATH=\"$PATH:$1\"; args", "sh"])
        .arg(&fixture.folder);
    assert_eq!(command(&output(&mut shell)).unwrap(), "args");
    let mut other = fixture.program("../a prefix/abc_1.0_20240131/pwd");
    assert_eq!(
        command(&output(other.arg0("something else"))).unwrap(),
        "pwd"
    );
    // And all of it after a move.
    let moved = fixture.path("moved");
    fs_err::rename(&fixture.folder, &moved).unwrap();
    let text = output(&mut fixture.program(moved.join("pwd")));
    assert_eq!(
        words(&text)[5],
        moved.join("abc_1.0_20240131.simg").to_str().unwrap()
    );
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let fixture = Fixture::recording();
    program(
        &fixture.path("runtime"),
        "#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done\n",
    );
    fixture.policy(&format!("runtime {}\n", fixture.path("runtime").display()));
    let odd: [&[u8]; 7] = [
        b"",
        b" ",
        b"a b\tc\n",
        b"$(id) `id` ; | & \"'\\",
        b"--help",
        b"--",
        b"\xff\xfe\x01",
    ];
    let mut wrapper = fixture.wrapper("args");
    wrapper.args(odd.map(OsStr::from_bytes));
    let stdout = wrapper.output().unwrap().stdout;
    let expected = odd.iter().fold(b"args\0".to_vec(), |mut all, word| {
        all.extend_from_slice(word);
        all.push(0);
        all
    });
    assert!(
        stdout.ends_with(&expected),
        "{}",
        String::from_utf8_lossy(&stdout)
    );
}

#[test]
fn a_megabyte_of_arguments_and_variables_arrives() {
    let fixture = Fixture::recording();
    program(
        &fixture.path("runtime"),
        "#!/bin/sh\necho $# \"${#LONG}\"\n",
    );
    fixture.policy(&format!("runtime {}\n", fixture.path("runtime").display()));
    let mut wrapper = fixture.wrapper("args");
    wrapper
        .args(std::iter::repeat_n("x".repeat(500), 1000))
        .env("LONG", "y".repeat(100_000))
        .envs((0..1000).map(|number| (format!("V{number}"), "z".repeat(400))));
    assert_eq!(output(&mut wrapper), "1007 100000\n");
}

#[test]
fn more_than_the_kernel_takes_is_its_own_error() {
    let fixture = Fixture::recording();
    // What the launcher adds for the runtime is what is too long, for any one word.
    let folder = "f/".repeat(100);
    let mut launch =
        nd_launcher::LaunchFile::new("abc", "abc_1.0_20240131.simg", nd_launcher::Form::Sif);
    launch
        .options
        .push(OsString::from(format!("--{}", folder.repeat(700))).into());
    fixture.write(&launch);
    let ran = fixture.wrapper("args").output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(126), "{said}");
    assert!(said.contains("cannot execute"), "{said}");
}

#[test]
fn a_gpu_of_fake_devices_is_offered() {
    let fixture = Fixture::recording();
    let devices = fixture.path("devices");
    fixture.policy(&format!("device-root {}\n", devices.display()));
    let options = || output(&mut fixture.wrapper("env"));
    assert!(!options().contains("<--nv>"));
    fs_err::create_dir_all(devices.join("dev")).unwrap();
    fs_err::create_dir_all(devices.join("usr/lib64")).unwrap();
    fs_err::write(devices.join("dev/nvidiactl"), "").unwrap();
    fs_err::write(devices.join("usr/lib64/libcuda.so.1"), "").unwrap();
    assert!(options().contains("<--nv>"));
    fs_err::remove_file(devices.join("dev/nvidiactl")).unwrap();
    fs_err::create_dir_all(devices.join("dev/dri")).unwrap();
    fs_err::write(devices.join("dev/kfd"), "").unwrap();
    assert!(options().contains("<--rocm>"));
}

#[test]
fn variables_of_both_families_become_one_call() {
    let fixture = Fixture::recording();
    let text = output(fixture.wrapper("env").envs([
        ("APPTAINER_BINDPATH", "/usr/share:/mnt/a"),
        ("SINGULARITY_BINDPATH", "/usr/lib:/mnt/b"),
        ("APPTAINERENV_SUBJECTS_DIR", "/s,1"),
        ("DISPLAY", "a:1,2"),
        ("LD_LIBRARY_PATH", "/nowhere"),
    ]));
    assert!(text.contains("<--bind>\n</usr/share:/mnt/a>\n<--bind>\n</usr/lib:/mnt/b>\n"));
    assert!(
        text.ends_with("APPTAINERENV_DISPLAY=a:1,2\nAPPTAINERENV_SUBJECTS_DIR=/s,1\n"),
        "{text}"
    );
}

#[test]
fn what_is_broken_is_said_with_its_place_and_status() {
    let fixture = Fixture::recording();
    let fails = |status: i32, text: &str| {
        let output = fixture
            .wrapper("pwd")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(
            said.starts_with("neurodesk: error: ") && said.contains(text),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(output.stdout.is_empty());
    };
    fixture.policy("gpu maybe\n");
    fails(125, "policy`: line 1: the key cannot have this value");
    fixture.policy("runtime /no/such/runtime\n");
    fails(127, "found no `/no/such/runtime`");
    program(&fixture.path("not a program"), "\0");
    fixture.policy(&format!(
        "runtime {}\n",
        fixture.path("not a program").display()
    ));
    fails(126, "cannot execute");
    fixture.policy("");
    fs_err::remove_file(fixture.folder.join("abc_1.0_20240131.simg")).unwrap();
    fails(125, "abc_1.0_20240131.simg` does not exist");
    let file = fixture.folder.join(LAUNCH_FILE);
    fs_err::write(&file, "neurodesk-launch 1\nname a\n\nwhat\n").unwrap();
    fails(125, "line 4: unknown key");
    fs_err::remove_file(&file).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &file,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    fails(125, "cannot read");
    fs_err::remove_file(&file).unwrap();
    fails(125, "there is no `.neurodesk-launch` beside");
}

#[test]
fn a_runtime_that_calls_wrappers_ends() {
    let fixture = Fixture::recording();
    // The runtime is a script that calls `env`, which is a command of this container.
    let mut command = fixture.program("sh");
    command
        .args(["-c", "PATH=\"$1:$PATH\"; exec \"$1/pwd\"", "sh"])
        .arg(&fixture.folder);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("is a script that calls commands of this container"),
        "{said}"
    );
}

#[test]
fn signals_and_descriptors_are_left_as_they_were() {
    let fixture = Fixture::recording();
    program(
        &fixture.path("runtime"),
        "#!/bin/sh\ngrep SigIgn /proc/self/status\nls /proc/self/fd | wc -l\n",
    );
    fixture.policy(&format!("runtime {}\n", fixture.path("runtime").display()));
    // Rust's own start-up would ignore SIGPIPE and open closed streams.
    let script = |start: &str| {
        let mut shell = fixture.program("sh");
        shell
            .args(["-c", start, "sh"])
            .arg(fixture.folder.join("env"));
        output(&mut shell)
    };
    let direct = fixture.path("runtime");
    let bare = |start: &str| {
        let mut shell = fixture.program("sh");
        shell.args(["-c", start, "sh"]).arg(&direct);
        output(&mut shell)
    };
    for start in [
        "exec \"$1\"",
        "trap '' PIPE HUP; exec \"$1\"",
        "exec \"$1\" <&-",
        "exec \"$1\" 7</dev/null",
    ] {
        assert_eq!(script(start), bare(start), "{start}");
    }
}
