//! A GPU without a runtime, beside the real Apptainer's `--nv`: libraries that a real linker's cache names, and a
//! program, on a machine that has no GPU.

use std::process::Command;

use nd_launcher::Form;

use crate::{
    fixture::{Fixture, program},
    room::on_machine,
    user::User,
};

/// A machine with the cache and the program of a driver.
const MACHINE: &str = r#"mount --bind "$1/driver/cache" /etc/ld.so.cache
mount --bind "$1/driver/bin" /usr/local/sbin
shift
"#;

/// What a command sees of it.
const VIEW: &str = r#"ls /.singularity.d/libs; cat /.singularity.d/libs/* | busybox md5sum
/usr/bin/nvidia-smi; busybox stat -c '%n %A %s' /usr/bin/nvidia-smi /.singularity.d/libs/*
env | sort; (: > /.singularity.d/libs/libcuda.so.1) 2> /dev/null || echo not written
while read -r _ _ _ _ target options _; do
    case $target in */nvidia-smi | */libcuda*) for word in ro nosuid nodev; do
        case ,$options, in *,"$word",*) echo "${target##*/} $word" ;; esac; done ;; esac
done < /proc/self/mountinfo | sort"#;

#[expect(
    clippy::disallowed_methods,
    reason = "this is what starts programs in tests"
)]
fn run(name: &str, arguments: &[&str]) {
    let ran = Command::new(name).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{name} {arguments:?}: {ran:?}");
}

/// The driver's files: real libraries, of which one is none that a list names, and a real cache of them.
fn driver(fixture: &Fixture) {
    let at = |name: &str| fixture.path(&format!("driver/{name}"));
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    for name in ["lib", "bin"] {
        fs_err::create_dir_all(at(name)).unwrap();
    }
    fs_err::write(at("empty.c"), "int of_a_driver;\n").unwrap();
    for name in [
        "libcuda.so.1",
        "libnvidia-ml.so.1",
        "libGLX_nvidia.so.0",
        "libamdcomgr64.so.2",
        "libother.so.1",
    ] {
        let soname = format!("-Wl,-soname,{name}");
        let out = text(&format!("lib/{name}"));
        run(
            "cc",
            &[
                "-shared",
                "-nostdlib",
                &soname,
                "-o",
                &out,
                &text("empty.c"),
            ],
        );
    }
    fs_err::write(at("conf"), format!("{}\n", text("lib"))).unwrap();
    run(
        "/sbin/ldconfig",
        &["-X", "-C", &text("cache"), "-f", &text("conf")],
    );
    program(&at("bin/nvidia-smi"), "#!/bin/sh\necho a driver\n");
    // What says that there is a GPU.
    for folder in ["root/dev", "root/usr/lib64"] {
        fs_err::create_dir_all(at(folder)).unwrap();
    }
    fs_err::create_dir_all(at("root/dev/dri")).unwrap();
    fs_err::write(at("root/dev/kfd"), "").unwrap();
    fs_err::write(at("root/dev/nvidiactl"), "").unwrap();
    fs_err::write(at("root/usr/lib64/libcuda.so.1"), "").unwrap();
}

#[test]
fn a_gpu_is_offered_as_apptainer_does() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    for form in [Form::Folder, Form::Sif] {
        let Some(fixture) = Fixture::real(form) else {
            return;
        };
        let Some(user) = User::new(&fixture) else {
            return;
        };
        driver(&fixture);
        let root = fixture.path("driver/root");
        let seen = |policy: &str| {
            fixture.policy(&format!("device-root {}\nkeep 1\n{policy}", root.display()));
            let mut wrapper = user.wrapper(&fixture, "sh");
            wrapper.args(["-c", VIEW]);
            let place = fixture.path("");
            let mut command = on_machine(&fixture, MACHINE, &[place.as_os_str()], &wrapper);
            // The runtime asks `ldconfig`, which it finds on `PATH`.
            let mut variables = command.get_envs();
            let path = variables.find_map(|(name, value)| value.filter(|_| name == "PATH"));
            let path = format!("{}:/usr/local/sbin:/usr/sbin", path.unwrap().display());
            let ran = command
                .env("PATH", path)
                .env("CUDA_VISIBLE_DEVICES", "0,1")
                .output()
                .unwrap();
            (
                String::from_utf8(ran.stdout).unwrap(),
                String::from_utf8(ran.stderr).unwrap(),
            )
        };
        let native = seen("runtime native\n");
        let apptainer = seen("runtime apptainer\n");
        assert_eq!(native, apptainer, "{form:?}");
        assert_eq!(native.1, "");
        // Beside what the machine has by itself, if it has windows.
        for name in ["libGLX_nvidia.so.0", "libcuda.so.1", "libnvidia-ml.so.1"] {
            assert!(native.0.contains(&format!("{name}\n")), "{}", native.0);
        }
        assert!(!native.0.contains("libother"), "{}", native.0);
        assert!(native.0.contains("\na driver\n"), "{}", native.0);
        // AMD's.
        let native = seen("runtime native\ngpu rocm\n");
        assert_eq!(
            native.0,
            seen("runtime apptainer\ngpu rocm\n").0,
            "{form:?}"
        );
        assert!(native.0.contains("libamdcomgr64.so.2\n"), "{}", native.0);
        // Where the user asks for it by the runtime's option.
        let asked = seen("runtime native\ngpu off\noption --nv\n");
        assert!(asked.0.contains("libcuda.so.1\n"), "{asked:?}");
        assert_eq!(asked.1, "");
        let without = seen("runtime native\ngpu off\n");
        assert!(!without.0.contains("libcuda"), "{without:?}");
    }
}
