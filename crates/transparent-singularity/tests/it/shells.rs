//! Commands in shells without modules.

use std::os::unix::fs::PermissionsExt;

use nd_testkit::peer;

use crate::fixture::Desk;

const STEM: &str = "tool_1.0_20240131";

/// How each shell evaluates what is printed, and shows its search path.
const SHELLS: [(&str, &str, &str); 4] = [
    ("bash", "bash", "eval \"$(%)\""),
    ("zsh", "zsh", "eval \"$(%)\""),
    ("fish", "fish", "% | source"),
    ("tcsh", "csh", "% >! do.csh; source do.csh"),
];

#[test]
fn shells_take_commands_in_and_put_everything_back() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    for (program, name, eval) in SHELLS {
        let Some(shell) = peer(program) else { continue };
        let call = |verb: &str| {
            let words = format!(
                "'{}' --prefix '{}' {verb} tool --shell {name}",
                crate::fixture::PROGRAM,
                desk.prefix.display()
            );
            eval.replace('%', &words)
        };
        let lines = [
            "printenv PATH".to_owned(),
            call("activate"),
            call("activate"),
            "printenv PATH".to_owned(),
            "which show".to_owned(),
            call("deactivate"),
            "printenv PATH".to_owned(),
        ];
        let mut command = desk.env.command(shell);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/a b/c");
        if program == "tcsh" {
            command.arg("-f");
        }
        let out = command.arg("-c").arg(lines.join("\n")).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let folder = desk.prefix.join(STEM).display().to_string();
        assert_eq!(lines.len(), 4, "{program}: {said}");
        assert_eq!(lines[1], format!("{folder}:{}", lines[0]), "{program}");
        assert_eq!(lines[2], format!("{folder}/show"), "{program}");
        assert_eq!(lines[3], lines[0], "{program}");
    }
}

#[test]
fn start_up_files_get_one_block_and_lose_it() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let file = desk.env.root().join("home/.bashrc");
    let old = "# tool_1.0_20240131 is mine\nalias x=y";
    fs_err::write(&file, old).unwrap();
    let mode = || fs_err::metadata(&file).unwrap().permissions().mode() & 0o777;
    fs_err::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let write = ["shell-init", "tool", "--write", "--shell", "bash"];
    desk.run(&write);
    desk.run(&write);
    let text = fs_err::read_to_string(&file).unwrap();
    assert_eq!(text.matches(">>> neurodesk >>>").count(), 1, "{text}");
    assert_eq!(mode(), 0o600);
    let out = desk
        .env
        .command("/bin/bash")
        .args(["-c", "source ~/.bashrc; command -v show"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(out.stdout).unwrap(),
        format!("{}\n", desk.prefix.join(STEM).join("show").display())
    );
    desk.run(&["shell-init", "--remove", "--shell", "bash"]);
    assert_eq!(fs_err::read_to_string(&file).unwrap(), format!("{old}\n"));
    assert_eq!(mode(), 0o600);
}
