//! Files from a description: what they hold, what real programs say to them, how folders get them.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Output,
};

use cvmfs_sync::server::{
    Action, ConfigFile, Content, Description, Family, NEURODESK, Role, Syntax, check_syntax, files,
    plan_move, steps,
};
use insta::assert_snapshot;
use nd_host::{Environment, SystemPrograms};
use nd_report::{Cancel, FileId, Sink};
use nd_terminal::{DiagnosticStyle, Sources, render_diagnostics};
use nd_testkit::{TestEnv, peer};
use serde_json::Value;

pub(crate) const SERVERS: &str = include_str!("../data/servers.toml");

pub(crate) fn described(text: &str) -> Description {
    let mut found = Sink::new();
    let description = Description::parse(text, FileId(0), &mut found);
    assert!(found.diagnostics().is_empty(), "{:?}", found.diagnostics());
    description.unwrap()
}

/// The description with the public key in a file.
pub(crate) fn with_key(text: &str, key: &Path) -> String {
    let key = fs_err::read_to_string(key).unwrap();
    let parts: Vec<&str> = text.split("\"\"\"").collect();
    format!("{}\"\"\"\n{key}\"\"\"{}", parts[0], parts[2])
}

/// The same servers on Debian.
pub(crate) fn on_debian() -> String {
    SERVERS
        .replace("packages = \"dnf\"", "packages = \"apt\"")
        .replace(
            "https://packages.example.org/cvmfs/release-latest.noarch.rpm",
            "/root/release.deb",
        )
}

fn rendered(description: &Description, role: Role) -> String {
    let mut text = String::new();
    for file in files(description, role, None).unwrap() {
        let content = file.content.over(None);
        write!(text, "==> {} ({:o})\n{content}", file.path, file.mode).unwrap();
    }
    text
}

#[test]
fn the_files_of_every_role() {
    let description = described(SERVERS);
    for role in [Role::Stratum0, Role::Stratum1, Role::Proxy, Role::Client] {
        assert_snapshot!(role.name(), rendered(&description, role));
        // And each of them is a step.
        let steps = steps(&description, role, None).unwrap();
        let written = steps
            .iter()
            .filter(|step| matches!(step.action, Action::File(_)));
        assert_eq!(
            written.count(),
            files(&description, role, None).unwrap().len()
        );
        let ids: BTreeSet<&str> = steps.iter().map(|step| &*step.id).collect();
        assert_eq!(ids.len(), steps.len());
    }
}

#[test]
fn the_projects_own_servers() {
    let description = described(NEURODESK);
    assert_snapshot!("neurodesk-client", rendered(&description, Role::Client));
    assert!(files(&description, Role::Proxy, None).is_err());
    let secret = ["LICENSE_KEY", "LICENCE", "PRIVATE KEY"];
    assert!(!secret.iter().any(|word| NEURODESK.contains(word)));
}

#[test]
fn the_description_of_the_guide_is_one() {
    let guide = include_str!("../../../../docs/book/src/guides/cvmfs-servers.md");
    let (_, rest) = guide.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let key = SERVERS.split("\"\"\"").nth(1).unwrap();
    let (before, rest) = text.split_once("\"\"\"\n").unwrap();
    let (_, after) = rest.split_once("\"\"\"\n").unwrap();
    let text = format!("{before}\"\"\"{key}\"\"\"\n{after}").replace('…', "packages.example.org");
    let description = described(&text);
    for role in [Role::Stratum0, Role::Stratum1, Role::Proxy, Role::Client] {
        assert!(!files(&description, role, None).unwrap().is_empty());
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let mut all = String::new();
    for (right, wrong) in [
        ("owner = \"cvmfs\"\ntags", "ownr = \"cvmfs\"\ntags"),
        (
            "\"http://near.example.org\"",
            "\"http://near.example.org;http://evil\"",
        ),
        ("\"10.1.0.0/16\"", "\"10.1.0.0/16 all\""),
        ("device = \"/dev/vdb\"", "device = \"/dev/vdb x\""),
        ("2 weeks ago", "2 weeks ago\\\"; rm"),
        ("MIIBIjANBgkqhkiG", "MIIBIjANBgkq\\\"\\nX"),
        (
            "clients = [\"10.1.0.0/16\", \"2001:db8::/32\"]",
            "clients = []",
        ),
        ("ports = [80, 8000]", "ports = [80, 8080]"),
        ("release-latest.noarch.rpm", "release-latest.deb"),
        ("version = 1", "version = 2"),
    ] {
        let text = SERVERS.replacen(right, wrong, 1);
        assert_ne!(text, SERVERS, "{right}");
        let mut found = Sink::new();
        assert!(
            Description::parse(&text, FileId(0), &mut found).is_none(),
            "{wrong}"
        );
        let sources = Sources::new().with(FileId(0), "servers.toml", text);
        all += &render_diagnostics(found.diagnostics(), &sources, DiagnosticStyle::PLAIN);
    }
    assert_snapshot!("mistakes", all);
}

fn checked(file: &ConfigFile) -> Option<String> {
    let environment = Environment::of_process().unwrap();
    let programs = SystemPrograms::new(&environment);
    let folder = tempfile::tempdir().unwrap();
    check_syntax(
        file,
        Family::Apt,
        folder.path(),
        &programs,
        &Cancel::default(),
    )
    .unwrap()
}

#[test]
fn squid_and_apache_read_every_file_that_is_for_them_and_refuse_what_is_wrong() {
    let (Some(_), Some(_)) = (peer("squid"), peer("apache2")) else {
        return;
    };
    let description = described(&on_debian());
    let mut read = 0;
    for role in [Role::Stratum0, Role::Stratum1, Role::Proxy, Role::Client] {
        for file in files(&description, role, None).unwrap() {
            assert_eq!(checked(&file), None, "{}", file.path);
            if file.syntax == Syntax::Plain {
                continue;
            }
            read += 1;
            let text = file.content.over(None);
            // The last directive that takes a value, with a letter too many.
            let line = text
                .lines()
                .rfind(|line| line.contains(' ') && !line.contains('<'));
            let line = line.unwrap().trim_start();
            let content = Content::Whole(text.replace(line, &format!("x{line}")));
            let wrong = checked(&ConfigFile { content, ..file }).unwrap();
            let word = line.split(' ').next().unwrap();
            assert!(wrong.contains(&format!("x{word}")), "{wrong}");
        }
    }
    assert_eq!(read, 4);
}

/// Runs the program in an environment with the description at `servers.toml`.
fn sync(env: &TestEnv, words: &[&str]) -> (i32, String, String) {
    fs_err::write(
        env.work().join("servers.toml"),
        on_debian().replace("geo = \"/root/geo\"\n", ""),
    )
    .unwrap();
    let output = env
        .command(env!("CARGO_BIN_EXE_cvmfs-sync"))
        .args(words)
        .args(["--description", "servers.toml"])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn read(folder: &Path, path: &str) -> String {
    fs_err::read_to_string(folder.join(path)).unwrap()
}

#[test]
fn a_folder_is_rendered_checked_applied_and_left_alone_afterwards() {
    let (Some(_), Some(_)) = (peer("squid"), peer("apache2")) else {
        return;
    };
    let env = TestEnv::new().unwrap();
    let root = env.work().join("root");
    fs_err::create_dir(&root).unwrap();
    let at = ["--root", "root"];
    let verb = |verb: &'static str| [&["server", verb, "stratum1"][..], &at].concat();

    let (code, out, err) = sync(&env, &verb("check"));
    assert_eq!(code, 3, "{err}");
    assert!(out.contains("+cache_peer 127.0.0.1 parent 8080"), "{out}");
    let (code, _, err) = sync(&env, &verb("apply"));
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("steps need the machine itself"), "{err}");
    assert_eq!(
        fs_err::read_link(root.join("srv/cvmfs")).unwrap(),
        Path::new("/storage/cvmfs-storage/srv/cvmfs")
    );
    assert!(root.join("storage/cvmfs-storage/srv/cvmfs").is_dir());
    assert_eq!(
        read(&root, "etc/fstab"),
        "/dev/vdb /storage auto defaults,nofail 0 2\n"
    );
    let (code, out, err) = sync(&env, &verb("check"));
    assert_eq!((code, &*out), (0, ""), "{err}");
    let (code, out, _) = sync(&env, &[&verb("plan")[..], &["--json", "--check"]].concat());
    assert_eq!(code, 0, "{out}");
    let plan: Value = serde_json::from_str(&out).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    assert!(
        steps.len() > 6 && steps.iter().all(|step| step["state"] == "done"),
        "{out}"
    );

    // What somebody wrote is not overwritten unless that is wanted, and can be had back then.
    fs_err::write(root.join("etc/squid/squid.conf"), "http_port 1\n").unwrap();
    let (code, _, err) = sync(&env, &verb("apply"));
    assert_eq!(code, 6, "{err}");
    assert!(err.contains("--replace"), "{err}");
    assert_eq!(read(&root, "etc/squid/squid.conf"), "http_port 1\n");
    let (code, _, err) = sync(&env, &[&verb("apply")[..], &["--replace"]].concat());
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        read(&root, "var/lib/cvmfs-sync/replaced/etc/squid/squid.conf"),
        "http_port 1\n"
    );

    let (code, _, err) = sync(&env, &["server", "render", "client", "--root", "clients"]);
    assert_eq!(code, 0, "{err}");
    let client = read(
        &env.work(),
        "clients/etc/cvmfs/config.d/software.example.org.conf.cdn.europe",
    );
    assert!(client.contains("CVMFS_SERVER_URL=\"http://cdn.example.org:8080/cvmfs/@fqrn@\"\n"));
}

#[test]
fn no_output_shows_a_licence() {
    let Some(_) = peer("squid").and(peer("apache2")) else {
        return;
    };
    let env = TestEnv::new().unwrap();
    fs_err::create_dir(env.work().join("root")).unwrap();
    let geo = env.work().join("geo");
    fs_err::write(
        &geo,
        "CVMFS_GEO_ACCOUNT_ID=1\nCVMFS_GEO_LICENSE_KEY=s3cret\n",
    )
    .unwrap();
    let text = on_debian().replace("/root/geo", geo.to_str().unwrap());
    fs_err::write(env.work().join("licensed.toml"), text).unwrap();
    let run = |words: &[&str]| {
        let mut command = env.command(env!("CARGO_BIN_EXE_cvmfs-sync"));
        let output = command
            .args(words)
            .args(["--description", "licensed.toml"])
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        assert!(
            !String::from_utf8_lossy(&told).contains("s3cret"),
            "{words:?}"
        );
        output.status.code().unwrap()
    };
    let at = ["stratum1", "--root", "root"];
    for json in [&[][..], &["--json"]] {
        assert_eq!(run(&[&["server", "check"], &at[..], json].concat()), 3);
        assert_eq!(run(&[&["server", "plan"], &at[..], json].concat()), 0);
        assert_eq!(run(&[&["server", "render", "stratum1"], json].concat()), 0);
    }
    assert_eq!(
        run(&["server", "render", "stratum1", "--root", "rendered"]),
        0
    );
    assert!(!env.work().join("rendered/etc/cvmfs/server.local").exists());
    assert_eq!(run(&[&["server", "apply"], &at[..]].concat()), 0);
    assert!(read(&env.work(), "root/etc/cvmfs/server.local").contains("s3cret"));
    // Nor does what is wrong with the file.
    fs_err::write(&geo, "CVMFS_GEO_LICENSE_KEY=\"s3cret\n").unwrap();
    assert_eq!(run(&[&["server", "plan"], &at[..]].concat()), 1);
}

#[test]
fn a_kill_at_any_moment_leaves_no_half_file_and_the_next_call_goes_on() {
    let env = TestEnv::new().unwrap();
    let words = ["server", "apply", "client", "--root", "root"];
    for round in 0..10 {
        let root = env.work().join("root");
        fs_err::create_dir(&root).unwrap();
        // Each file waits for the disk, so that these moments lie between them.
        let kill = std::time::Duration::from_millis(3 + 4 * round);
        #[expect(
            clippy::disallowed_methods,
            reason = "the test kills a program that it started"
        )]
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_cvmfs-sync"))
            .args(words)
            .env_clear()
            .env("HOME", env.work())
            .current_dir(env.work())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(kill);
        child.kill().unwrap();
        child.wait().unwrap();
        // No description is given: these are the project's own clients.
        let again = || {
            let mut command = env.command(env!("CARGO_BIN_EXE_cvmfs-sync"));
            command.args(words).output().unwrap()
        };
        let (first, second) = (again(), again());
        let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(first.status.success(), "{}", said(&first));
        assert!(
            said(&second).contains("10 steps were done, 0 are done now"),
            "{}",
            said(&second)
        );
        assert_eq!(hidden(&root), Vec::<PathBuf>::new());
        fs_err::remove_dir_all(root).unwrap();
    }
}

/// Files below a folder whose names begin with a dot.
fn hidden(folder: &Path) -> Vec<PathBuf> {
    let (mut waiting, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = waiting.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path
                .file_name()
                .unwrap()
                .as_encoded_bytes()
                .starts_with(b".")
            {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn links_of_a_folder_lead_to_no_file_of_the_host() {
    let env = TestEnv::new().unwrap();
    let root = env.work().join("root");
    fs_err::create_dir(&root).unwrap();
    let outside = env.work().join("outside");
    fs_err::create_dir(&outside).unwrap();
    for name in ["etc", "var"] {
        std::os::unix::fs::symlink("../outside", root.join(name)).unwrap();
    }
    let (code, _, err) = sync(&env, &["server", "apply", "client", "--root", "root"]);
    assert_eq!(code, 1, "{err}");
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_move_in_an_order_in_which_there_are_never_two_publishers() {
    let description = described(SERVERS);
    let moves = plan_move(
        &description,
        &"old.example.org".parse().unwrap(),
        &"new.example.org".parse().unwrap(),
    )
    .unwrap();
    let mut text = String::new();
    for part in moves {
        writeln!(text, "{:?}: {}", part.place, part.title).unwrap();
        for words in part.commands {
            writeln!(text, "    {}", words.join(" ")).unwrap();
        }
    }
    assert_snapshot!("move", text);
}

#[test]
fn the_module_command_comes_from_lmod_in_every_shell() {
    let (Some(_), Some(check)) = (peer("lmod"), peer("shellcheck")) else {
        return;
    };
    let env = TestEnv::new().unwrap();
    let script = env.work().join("module.sh");
    let files = files(&described(NEURODESK), Role::Client, None).unwrap();
    let file = files
        .iter()
        .find(|file| file.path == "/usr/share/module.sh")
        .unwrap();
    fs_err::write(&script, file.content.over(None)).unwrap();
    env.command(check)
        .args(["-s", "sh"])
        .arg(&script)
        .assert()
        .success();
    for shell in ["sh", "bash", "zsh"] {
        let Some(program) = peer(shell) else { return };
        let output = env
            .command(program)
            .args(["-c", ". ./module.sh && type module"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{shell}: {output:?}");
    }
}
