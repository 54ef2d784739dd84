//! Sites whose policy demands that images are what was installed.

use crate::fixture::Desk;

const STEM: &str = "tool_1.0_20240131";

/// What each way to start something ends with, and says.
fn starts(desk: &Desk) -> Vec<(&'static str, Option<i32>, String)> {
    let run = |words: &[&str]| {
        let mut program = desk.program(words);
        let out = program
            .env("XDG_RUNTIME_DIR", desk.env.root().join("run"))
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8(said).unwrap())
    };
    let mut all = Vec::new();
    for (name, words) in [
        ("exec", &["exec", "tool", "--", "show", "started"][..]),
        (
            "native",
            &[
                "exec",
                "tool",
                "--runtime",
                "native",
                "--",
                "show",
                "started",
            ],
        ),
        ("shell", &["shell", "tool"]),
    ] {
        let (code, said) = run(words);
        all.push((name, code, said));
    }
    let wrapper = desk.prefix.join(STEM).join("show");
    let out = desk
        .env
        .command(wrapper)
        .env("PATH", crate::fixture::search_path())
        .env("XDG_RUNTIME_DIR", desk.env.root().join("run"))
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    all.push((
        "wrapper",
        out.status.code(),
        String::from_utf8(said).unwrap(),
    ));
    all
}

fn all_start(desk: &Desk) {
    for (name, code, said) in starts(desk) {
        // The tool ends with a status of its own.
        let own = if name == "shell" { 0 } else { 7 };
        assert_eq!(code, Some(own), "{name}: {said}");
    }
}

fn policy(desk: &Desk, text: &str) {
    fs_err::write(desk.prefix.join(".state/launcher.conf"), text).unwrap();
}

fn doctor(desk: &Desk) -> String {
    let out = desk.program(&["doctor"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn an_image_file_with_other_bytes_starts_nothing_in_any_way() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    fs_err::create_dir_all(desk.env.root().join("run")).unwrap();
    policy(&desk, "demand-digest on\nkeep 0\n");
    all_start(&desk);
    assert!(!doctor(&desk).contains("demands a digest"));
    let image = desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    let mut file = fs_err::OpenOptions::new().append(true).open(image).unwrap();
    std::io::Write::write_all(&mut file, b"x").unwrap();
    for (name, code, said) in starts(&desk) {
        assert_eq!(code, Some(125), "{name}: {said}");
        assert!(
            said.contains("that of the image is ") && !said.contains("<show>"),
            "{name}: {said}"
        );
    }
}

#[test]
fn a_folder_starts_where_the_policy_speaks_of_files() {
    let desk = Desk::new();
    let Some(image) = desk.image("some.sif") else {
        return;
    };
    let image = image.to_str().unwrap();
    desk.run(&["install", STEM, "--from", image, "--unpack"]);
    fs_err::create_dir_all(desk.env.root().join("run")).unwrap();
    policy(&desk, "demand-digest files\n");
    all_start(&desk);
    assert!(!doctor(&desk).contains("demands a digest"));
    policy(&desk, "demand-digest on\n");
    let refused = "which nothing compares with a folder";
    for (name, code, said) in starts(&desk) {
        assert_ne!(code, Some(0), "{name}: {said}");
        assert!(
            said.contains(refused) && !said.contains("<show>"),
            "{name}: {said}"
        );
    }
    assert!(desk.fail(&["explain", "show"], 1).contains(refused));
    let said = doctor(&desk);
    let line = format!("note policy: demands a digest, and nothing compares one with: {STEM}\n");
    assert!(said.contains(&line), "{said}");
}
