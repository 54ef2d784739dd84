//! Launch files and policies: what reads back, and what is refused where.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStringExt as _,
};

use nd_launcher::{
    Command, Demand, Form, Gpu, LaunchFile, Policy, Problem, RuntimeChoice, Temporary, Text,
    WorkingDirectory,
};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Text<'static>> {
    prop::collection::vec(1_u8.., 1..20).prop_map(|bytes| Cow::Owned(OsString::from_vec(bytes)))
}

fn texts() -> impl Strategy<Value = Vec<Text<'static>>> {
    prop::collection::vec(text(), 0..4)
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        name in text(), image in text(), folder: bool, tree in prop::option::of(text()),
        sha256 in prop::option::of("[0-9a-fA-F]{64}"),
        policy in prop::option::of(text()), options in texts(), binds in texts(), pass in texts(),
        values in texts(), commands in prop::collection::vec((text(), prop::option::of(text())), 0..4),
        gpu in prop::option::of(prop::sample::select(vec![Gpu::Auto, Gpu::Off, Gpu::Nvidia, Gpu::Rocm])),
    ) {
        let file = LaunchFile {
            name,
            image,
            form: if folder { Form::Folder } else { Form::Sif },
            tree,
            sha256: sha256.map(|text| Cow::Owned(text.into())),
            policy,
            gpu,
            options,
            binds,
            pass,
            environment: values.into_iter().map(|value| (Cow::Owned("A".into()), value)).collect(),
            commands: commands.into_iter().map(|(name, target)| Command { name, target }).collect(),
        };
        let bytes = file.to_bytes();
        prop_assert_eq!(LaunchFile::parse(&bytes), Ok(file));
    }

    #[test]
    fn any_bytes_are_a_file_or_an_error(bytes: Vec<u8>, lines in "(neurodesk-launch 1\n)?((name|image|form|command|env|bind|gpu|tmp|runtime) ?[a=\t\\\\x0-9]{0,9}\n){0,9}") {
        let _ = LaunchFile::parse(&bytes);
        let _ = LaunchFile::parse(lines.as_bytes());
        let _ = Policy::default().read_more(&bytes);
        let _ = Policy::default().read_more(lines.as_bytes());
    }
}

#[test]
fn mistakes_are_found_at_their_line() {
    let head = "neurodesk-launch 1\nname a\nimage a.simg\nform sif\n";
    for (text, line, problem) in [
        ("", 0, Problem::Version),
        ("neurodesk-launch 2\n", 1, Problem::Version),
        ("name a\n", 1, Problem::Version),
        (
            "neurodesk-launch 1\nname a\nform sif\n",
            0,
            Problem::Missing("image"),
        ),
        (
            "neurodesk-launch 1\nname a\nimage b\n",
            0,
            Problem::Missing("form"),
        ),
        (&format!("{head}name b\n"), 5, Problem::Repeated),
        (&format!("{head}\n# x\nunknown b\n"), 7, Problem::Key),
        (&format!("{head}command\n"), 5, Problem::NoValue),
        (&format!("{head}command a\\q\n"), 5, Problem::Escape),
        (&format!("{head}command a\\x00\n"), 5, Problem::Nul),
        (&format!("{head}command a\0\n"), 5, Problem::Nul),
        (&format!("{head}env =a\n"), 5, Problem::Value),
        (&format!("{head}gpu yes\n"), 5, Problem::Value),
    ] {
        let error = LaunchFile::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            (error.line, error.problem),
            (line, problem),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn a_later_policy_replaces_values_and_adds_to_lists() {
    let site = b"version 1\nruntime singularity\n gpu off \nbind /a\npass SLURM_*\nenv A=b c\ncovered /work\nfrom-the-future x\n";
    let prefix = b"runtime /opt/apptainer/bin/apptainer\nbind /b:/c\ntmp /scratch\ncwd warn\nx11 off\nclean-environment off\n";
    let mut policy = Policy::default();
    policy.read_more(site).unwrap();
    policy.read_more(prefix).unwrap();
    assert!(
        matches!(&policy.runtime, RuntimeChoice::Program(path) if **path == *OsStr::new("/opt/apptainer/bin/apptainer"))
    );
    assert_eq!(policy.gpu, Some(Gpu::Off));
    assert_eq!(policy.binds, ["/a", "/b:/c"].map(OsStr::new));
    assert_eq!(policy.environment[0].1, OsStr::new("b c"));
    assert!(
        matches!(&policy.temporary, Temporary::Folder(path) if **path == *OsStr::new("/scratch"))
    );
    assert_eq!(policy.cwd, WorkingDirectory::Warn);
    assert_eq!(
        (policy.x11, policy.wayland, policy.clean),
        (false, true, false)
    );
    assert_eq!(policy.unknown, [8]);
    let error = policy.read_more(b"\nruntime docker\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2: the key cannot have this value");
}

#[test]
fn users_choose_a_runtime_where_the_policy_names_none() {
    let after = |policy: &'static str, wanted: RuntimeChoice<'static>| {
        let mut read = Policy::default();
        read.read_more(policy.as_bytes()).unwrap();
        let chosen = read.choose(wanted);
        chosen.map(|()| read.runtime)
    };
    for policy in ["", "runtime auto\n", "runtime native\n"] {
        for wanted in [RuntimeChoice::Native, RuntimeChoice::Apptainer] {
            assert_eq!(after(policy, wanted.clone()), Ok(wanted));
        }
    }
    let same = after("runtime apptainer\n", RuntimeChoice::Apptainer);
    assert_eq!(same, Ok(RuntimeChoice::Apptainer));
    for name in ["apptainer", "singularity", "/opt/run"] {
        let mut policy = Policy::default();
        let text = format!("runtime {name}\n");
        policy.read_more(text.as_bytes()).unwrap();
        let error = policy.choose(RuntimeChoice::Native).unwrap_err();
        let expected = format!("the policy demands the runtime `{name}`");
        assert_eq!(error.to_string(), expected);
    }
    let mut policy = Policy::default();
    policy.read_more(b"keep 0\ndemand-digest files\n").unwrap();
    assert_eq!((policy.keep, policy.demand_digest), (0, Demand::Files));
    // Nobody takes back what was demanded.
    policy.read_more(b"demand-digest on\n").unwrap();
    for less in ["files", "off"] {
        let text = format!("demand-digest {less}\n");
        let mut stricter = policy.clone();
        stricter.read_more(text.as_bytes()).unwrap();
        assert_eq!(stricter.demand_digest, Demand::All);
    }
    for bad in [
        "keep -1\n",
        "keep 1h\n",
        "keep 86401\n",
        "runtime native!\n",
    ] {
        assert!(
            Policy::default().read_more(bad.as_bytes()).is_err(),
            "{bad}"
        );
    }
}
