//! What is called, for machines and environments that the tests make up.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use nd_launcher::{
    Account, Call, Command, Form, Kind, LaunchFile, Note, PlanError, Policy, Start, Unfit, What,
    plan, plan_native,
};

use crate::files::Fake;

/// Everything that a plan depends on, as text.
struct Case<'a> {
    launch: LaunchFile<'static>,
    policy: &'a str,
    environment: Vec<(&'a str, &'a str)>,
    cwd: Option<&'a str>,
    files: Fake,
}

impl Default for Case<'_> {
    fn default() -> Self {
        let mut launch = LaunchFile::new("abc_1.0_20240131", "abc_1.0_20240131.simg", Form::Sif);
        launch.commands.push(Command::new("mk"));
        Self {
            launch,
            policy: "",
            environment: vec![("PATH", "/usr/bin:/bin"), ("HOME", "/home/user")],
            cwd: Some("/home/user"),
            files: Fake::usual(),
        }
    }
}

impl Case<'_> {
    fn plan(&self) -> Result<Call, PlanError> {
        self.plan_of(What::Command(OsStr::new("mk")))
    }

    fn plan_of(&self, what: What<'_>) -> Result<Call, PlanError> {
        let mut policy = Policy::default();
        policy.read_more(self.policy.as_bytes()).unwrap();
        let environment: Vec<(&OsStr, &OsStr)> = self
            .environment
            .iter()
            .map(|(name, value)| (OsStr::new(*name), OsStr::new(*value)))
            .collect();
        plan(
            &Start {
                launch: &self.launch,
                folder: Path::new("/sw/abc_1.0_20240131"),
                policy: &policy,
                environment: &environment,
                cwd: self.cwd.map(Path::new),
                what,
                arguments: &[OsStr::new("-x"), OsStr::new("a b"), OsStr::new("")],
            },
            &self.files,
        )
    }

    fn line(&self) -> String {
        String::from_utf8(self.plan().unwrap().to_shell()).unwrap()
    }

    /// The options between `--cleanenv` and `--pwd`.
    fn options(&self) -> Vec<String> {
        let words: Vec<String> = self
            .plan()
            .unwrap()
            .argv
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect();
        let from = words.iter().position(|word| word == "--cleanenv").unwrap();
        let to = words.iter().position(|word| word == "--pwd").unwrap();
        words[from + 1..to].to_vec()
    }
}

#[test]
fn the_plain_call() {
    assert_eq!(
        Case::default().line(),
        "/usr/bin/apptainer --silent exec --cleanenv --pwd /home/user \
         /sw/abc_1.0_20240131/abc_1.0_20240131.simg mk -x 'a b' ''"
    );
    let call = Case::default().plan_of(What::Shell).unwrap();
    assert_eq!(call.argv[2], "shell");
    assert_eq!(
        call.argv.last().unwrap(),
        "/sw/abc_1.0_20240131/abc_1.0_20240131.simg"
    );
    let call = Case::default()
        .plan_of(What::Program(OsStr::new("/bin/ls")))
        .unwrap();
    assert_eq!(call.argv[7], "/bin/ls");
}

#[test]
fn errors_name_what_is_missing_and_have_the_statuses_of_shells() {
    let mut case = Case::default();
    let unknown = case.plan_of(What::Command(OsStr::new("no"))).unwrap_err();
    assert_eq!(
        (unknown.to_string().as_str(), unknown.status()),
        (
            "`no` is no command of the container `abc_1.0_20240131`",
            125
        )
    );
    case.files.remove("/usr/bin/apptainer");
    let none = case.plan().unwrap_err();
    assert_eq!(none.status(), 127);
    assert!(
        none.to_string().contains("`apptainer` or `singularity`"),
        "{none}"
    );
    case.files
        .remove("/sw/abc_1.0_20240131/abc_1.0_20240131.simg");
    assert!(matches!(case.plan(), Err(PlanError::NoImage { .. })));
}

#[test]
fn a_demanded_digest_is_one_that_can_be_compared() {
    let image = "/sw/abc_1.0_20240131/abc_1.0_20240131.simg";
    let path = || image.into();
    let plan = |policy, form, kind, sha256: Option<&'static str>| {
        let mut case = Case {
            policy,
            ..Case::default()
        };
        case.launch.form = form;
        case.launch.sha256 = sha256.map(|text| OsStr::new(text).into());
        case.files.put(image, kind);
        case.plan().map(drop)
    };
    let (all, files) = ("demand-digest on", "demand-digest files");
    for policy in [all, files] {
        assert_eq!(plan(policy, Form::Sif, Kind::File, Some("00")), Ok(()));
        // A file stays one, whatever the launch file says of it.
        for form in [Form::Sif, Form::Folder] {
            assert_eq!(
                plan(policy, form, Kind::File, None),
                Err(PlanError::NoDigest { path: path() })
            );
        }
    }
    let folder = |policy, sha256| plan(policy, Form::Folder, Kind::Folder, sha256);
    assert_eq!(folder(files, None), Ok(()));
    for sha256 in [None, Some("00")] {
        let error = folder(all, sha256).unwrap_err();
        assert_eq!(error, PlanError::FolderDigest { path: path() });
        assert_eq!(error.status(), 125);
    }
}

#[test]
fn takes_singularity_with_its_own_variables_and_never_a_wrapper() {
    let mut case = Case::default();
    case.files.remove("/usr/bin/apptainer");
    case.files.file("/sw/abc_1.0_20240131/apptainer");
    case.files.file("/bin/singularity");
    case.environment = vec![("PATH", "/sw/abc_1.0_20240131::.:/bin"), ("DISPLAY", ":0")];
    let call = case.plan().unwrap();
    assert_eq!(call.program, Path::new("/bin/singularity"));
    assert_eq!(call.set, [("SINGULARITYENV_DISPLAY".into(), ":0".into())]);
    case.policy = "runtime apptainer";
    assert!(case.plan().is_err());
    case.files.file("/opt/ce/singularity-4");
    case.policy = "runtime /opt/ce/singularity-4";
    assert_eq!(
        case.plan().unwrap().program,
        Path::new("/opt/ce/singularity-4")
    );
}

#[test]
fn a_gpu_needs_its_device_and_its_driver() {
    let mut case = Case {
        policy: "device-root /fake",
        ..Case::default()
    };
    case.files.put("/fake/dev/nvidiactl", Kind::Other);
    assert!(case.options().is_empty(), "a device without a driver");
    case.files.file("/fake/usr/lib64/libcuda.so.1");
    assert_eq!(case.options(), ["--nv"]);
    case.environment.push(("CUDA_VISIBLE_DEVICES", "1"));
    case.environment.push(("OTHER", "1"));
    assert_eq!(
        case.plan().unwrap().set,
        [("APPTAINERENV_CUDA_VISIBLE_DEVICES".into(), "1".into())]
    );
    for policy in ["gpu off", "gpu rocm"] {
        let text = format!("device-root /fake\n{policy}\n");
        let case = Case {
            policy: &text,
            files: Fake::usual(),
            ..Case::default()
        };
        assert!(case.options().is_empty());
    }
    case.environment
        .push(("neurodesk_singularity_opts", "--rocm"));
    assert_eq!(case.options(), ["--rocm"], "the user decides");
    case.environment.pop();
    case.launch.gpu = Some(nd_launcher::Gpu::Off);
    assert!(
        case.options().is_empty(),
        "the image can do nothing with it"
    );

    let mut case = Case {
        policy: "device-root /fake\ngpu auto\n",
        ..Case::default()
    };
    case.files.put("/fake/dev/kfd", Kind::Other);
    case.files.put("/fake/dev/dri", Kind::Folder);
    assert_eq!(case.options(), ["--rocm"]);
}

#[test]
fn options_come_from_the_installation_the_policy_and_the_user() {
    let mut case = Case {
        policy: "option --hostname\noption a b\n",
        ..Case::default()
    };
    case.launch
        .options
        .push(OsStr::new("--writable-tmpfs").into());
    case.environment.push((
        "neurodesk_singularity_opts",
        " --overlay '/tmp/my overlay' ",
    ));
    assert_eq!(
        case.options(),
        [
            "--writable-tmpfs",
            "--hostname",
            "a b",
            "--overlay",
            "/tmp/my overlay"
        ]
    );
}

#[test]
fn binds_of_both_families_add_up_and_missing_ones_are_said_once() {
    let mut case = Case {
        policy: "bind /also-gone:/x\n",
        ..Case::default()
    };
    for path in ["/a", "/b", "/c,d", "/img"] {
        case.files.put(path, Kind::Folder);
    }
    case.environment.extend([
        ("APPTAINER_BINDPATH", "/a:/one:ro,/gone,,/c\\,d:/two"),
        (
            "SINGULARITY_BIND",
            "/b:/one,/b:/b:ro,/img:/data:image-src=/,ro",
        ),
        ("SINGULARITY_BINDPATH", ",/a"),
    ]);
    let call = case.plan().unwrap();
    assert_eq!(
        case.options()
            .iter()
            .filter(|word| *word != "--bind")
            .collect::<Vec<_>>(),
        [
            "/a:/one:ro",
            "/c\\,d:/two",
            "/b:/b:ro",
            "/img:/data:image-src=/,ro",
            "/a"
        ]
    );
    assert_eq!(
        call.notes,
        [Note::MissingBinds(vec![
            "/gone".into(),
            "/also-gone".into()
        ])]
    );
    assert_eq!(
        call.unset,
        [
            "APPTAINER_BINDPATH",
            "SINGULARITY_BIND",
            "SINGULARITY_BINDPATH"
        ]
    );
}

#[test]
fn the_working_directory_is_bound_when_nothing_else_covers_it() {
    let bound = |case: &Case<'_>| case.options();
    let mut case = Case {
        cwd: Some("/data/study"),
        ..Case::default()
    };
    assert_eq!(bound(&case), ["--bind", "/data/study"]);
    assert_eq!(case.plan().unwrap().notes, []);
    case.policy = "cwd warn";
    assert_eq!(
        case.plan().unwrap().notes,
        [Note::Uncovered("/data/study".into())]
    );
    case.policy = "covered /data";
    assert!(bound(&case).is_empty());
    case.policy = "";
    case.files.put("/data", Kind::Folder);
    case.environment.push(("SINGULARITY_BINDPATH", "/data"));
    assert_eq!(bound(&case), ["--bind", "/data"]);
    case.environment.pop();
    case.environment
        .push(("neurodesk_singularity_opts", "-B /x:/data"));
    assert_eq!(bound(&case), ["-B", "/x:/data"]);

    for covered in [
        "/",
        "/home/user/a",
        "/tmp/x",
        "/usr/share",
        "/etc",
        "/proc/1",
        "/opt",
    ] {
        let case = Case {
            cwd: Some(covered),
            ..Case::default()
        };
        assert!(bound(&case).is_empty(), "{covered}");
    }
    for options in [
        "--no-home",
        "--contain",
        "--no-mount tmp,home",
        "--no-mount=home",
    ] {
        let mut case = Case::default();
        case.environment
            .push(("neurodesk_singularity_opts", options));
        assert_eq!(bound(&case)[..2], ["--bind", "/home/user"], "{options}");
    }
    let gone = Case {
        cwd: None,
        ..Case::default()
    };
    let call = gone.plan().unwrap();
    assert_eq!(call.notes, [Note::NoWorkingDirectory]);
    assert!(!call.argv.contains(&OsString::from("--pwd")));
}

#[test]
fn odd_working_directories_are_one_bind() {
    let mut case = Case {
        cwd: Some("/d/a:b,c\\d e"),
        ..Case::default()
    };
    case.files.put("/d/a:b,c\\d e", Kind::Folder);
    assert_eq!(case.options(), ["--bind", "/d/a\\:b\\,c\\d e"]);
}

#[test]
fn the_last_variable_names_the_temporary_folder() {
    let mut case = Case::default();
    case.files.put("/scratch/1", Kind::Folder);
    case.files.put("/scratch/2", Kind::Folder);
    case.environment.push(("TMP", "/scratch/1"));
    assert_eq!(case.options(), ["--bind", "/scratch/1:/tmp"]);
    case.environment.push(("TEMP", "/scratch/2"));
    assert_eq!(case.options(), ["--bind", "/scratch/2:/tmp"]);
    case.environment.push(("DISPLAY", ":0"));
    case.files.put("/tmp/.X11-unix", Kind::Folder);
    assert_eq!(
        case.options(),
        ["--bind", "/scratch/2:/tmp", "--bind", "/tmp/.X11-unix"],
        "the folder would hide the socket"
    );
    case.cwd = Some("/tmp/work");
    case.files.put("/tmp/work", Kind::Folder);
    assert_eq!(
        case.options()[4..],
        ["--bind", "/tmp/work"],
        "and this one too"
    );
    case.cwd = Some("/home/user");
    for nothing in ["/gone", "/tmp", "", "relative"] {
        case.environment.push(("TEMPDIR", nothing));
        if !nothing.is_empty() {
            assert!(case.options().is_empty(), "{nothing}");
        }
        case.environment.pop();
    }
    case.policy = "tmp off";
    assert!(case.options().is_empty());
    case.policy = "tmp /scratch/1";
    assert_eq!(case.options()[..2], ["--bind", "/scratch/1:/tmp"]);
}

#[test]
fn displays_reach_the_command() {
    let mut case = Case::default();
    case.files.file("/run/user/1/auth");
    case.files.put("/run/user/1/wayland-0", Kind::Socket);
    case.environment.extend([
        ("DISPLAY", "host:1,0"),
        ("XAUTHORITY", "/run/user/1/auth"),
        ("WAYLAND_DISPLAY", "wayland-0"),
        ("XDG_RUNTIME_DIR", "/run/user/1"),
    ]);
    assert_eq!(
        case.options(),
        [
            "--bind",
            "/run/user/1/auth:/run/user/1/auth:ro",
            "--bind",
            "/run/user/1/wayland-0"
        ]
    );
    assert_eq!(
        case.plan().unwrap().set,
        [
            ("APPTAINERENV_DISPLAY".into(), "host:1,0".into()),
            ("APPTAINERENV_WAYLAND_DISPLAY".into(), "wayland-0".into()),
            ("APPTAINERENV_XAUTHORITY".into(), "/run/user/1/auth".into()),
            ("APPTAINERENV_XDG_RUNTIME_DIR".into(), "/run/user/1".into()),
        ]
    );
    case.policy = "x11 off\nwayland off\n";
    assert!(case.options().is_empty());
    assert!(case.plan().unwrap().set.is_empty());
}

#[test]
fn an_allow_list_decides_which_variables_pass() {
    let mut case = Case {
        policy: "pass SLURM_*\nenv SITE=a=b\n",
        ..Case::default()
    };
    case.launch.pass.push(OsStr::new("SUBJECTS_DIR").into());
    case.environment.extend([
        ("SUBJECTS_DIR", "/a,b"),
        ("SLURM_JOB_ID", "7"),
        ("SLURM_NTASKS", "2"),
        ("SINGULARITYENV_SLURM_NTASKS", "3"),
        ("LD_LIBRARY_PATH", "/x"),
        ("SITE", "no"),
    ]);
    let call = case.plan().unwrap();
    assert_eq!(
        call.set,
        [
            ("APPTAINERENV_SITE".into(), "a=b".into()),
            ("APPTAINERENV_SLURM_JOB_ID".into(), "7".into()),
            ("APPTAINERENV_SUBJECTS_DIR".into(), "/a,b".into()),
        ],
        "what the user handed over stays"
    );
    let inherited = [
        (OsStr::new("A"), OsStr::new("1")),
        (OsStr::new("APPTAINERENV_SITE"), OsStr::new("x")),
    ];
    assert_eq!(call.environment(&inherited).len(), 4);
    case.policy = "clean-environment off";
    assert!(!case.plan().unwrap().argv.contains(&"--cleanenv".into()));
}

#[test]
fn a_native_start_is_a_closed_list() {
    let passwd = b"me:x:7:7::/home/user:/bin/sh\nroot:x:0:0::/root:/bin/sh\n";
    let group = b"me:x:7:\n";
    let native = |case: &Case<'_>, what: What<'_>, uid: u32| {
        let mut policy = Policy::default();
        policy.read_more(case.policy.as_bytes()).unwrap();
        let environment: Vec<(&OsStr, &OsStr)> = case
            .environment
            .iter()
            .map(|(name, value)| (OsStr::new(*name), OsStr::new(*value)))
            .collect();
        let start = Start {
            launch: &case.launch,
            folder: Path::new("/sw/abc_1.0_20240131"),
            policy: &policy,
            environment: &environment,
            cwd: case.cwd.map(Path::new),
            what,
            arguments: &[],
        };
        let account = Account::find(uid, &[7], passwd, group).unwrap();
        plan_native(&start, &account, &case.files).unwrap()
    };
    let usual = || {
        let mut case = Case::default();
        case.launch.form = Form::Folder;
        case.files.put("/home/user", Kind::Folder);
        case.files.put("/root", Kind::Folder);
        case
    };
    let command = What::Command(OsStr::new("mk"));
    let text = |case: &Case<'_>| native(case, command, 7).map(|plan| plan.to_string());

    let mut case = usual();
    case.policy = "bind /data:/mnt:ro\ncovered /scratch\n";
    case.files.put("/data", Kind::Folder);
    case.files.put("/scratch", Kind::Folder);
    assert_eq!(
        text(&case).unwrap(),
        "without a runtime, in `/sw/abc_1.0_20240131/abc_1.0_20240131.simg`:\n  \
         /dev at /dev (as on the host)\n  /proc at /proc (as on the host)\n  \
         /sys at /sys (as on the host)\n  /home/user at /home/user (nosuid, nodev)\n  \
         /tmp at /tmp (nosuid, nodev)\n  /var/tmp at /var/tmp (nosuid, nodev)\n  \
         /scratch at /scratch (nosuid, nodev)\n  /data at /mnt (nosuid, nodev, read-only)\n\
         in `/home/user`: mk"
    );
    assert_eq!(native(&case, command, 0), Err(Unfit::Root));
    assert_eq!(native(&case, What::Shell, 7), Err(Unfit::Shell));
    for bind in ["/data:/", "/data:/etc", "/data:/mnt:id=1", "/data:mnt"] {
        let mut case = usual();
        case.files.put("/data", Kind::Folder);
        case.launch.binds.push(OsStr::new(bind).into());
        assert_eq!(native(&case, command, 7), Err(Unfit::Bind(bind.into())));
    }
    let mut case = usual();
    case.launch.options.push(OsStr::new("--nv").into());
    assert_eq!(native(&case, command, 7), Err(Unfit::Gpu));
    case.policy = "option --nv\noption --rocm\n";
    assert_eq!(native(&case, command, 7), Err(Unfit::Option("--nv".into())));
    let mut case = usual();
    case.cwd = None;
    assert_eq!(native(&case, command, 7), Err(Unfit::NoWorkingDirectory));
    let mut case = usual();
    case.environment.push(("SINGULARITYENV_A-B", "1"));
    assert_eq!(
        native(&case, command, 7),
        Err(Unfit::Variable("A-B".into()))
    );
    // A SIF file needs a program that shows it.
    let mut case = usual();
    case.launch.form = Form::Sif;
    assert_eq!(native(&case, command, 7), Err(Unfit::NoServer));
    case.files.file("/usr/bin/squashfuse_ll");
    assert!(native(&case, command, 7).is_ok());
}
