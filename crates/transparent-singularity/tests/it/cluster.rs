//! The whole way of a user of a cluster: install, load, run under Slurm and MPI, move, run, remove.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nd_testkit::{OrdinaryUser, UserProcess, peer};

use crate::fixture::{Desk, search_path};

const STEM: &str = "tool_1.0_20240131";

/// A cluster of one node: this machine. It ends with the value.
pub(crate) struct Slurm {
    controller: Child,
    node: Child,
    settings: PathBuf,
}

impl Slurm {
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let (controller, node, _) = (peer("slurmctld")?, peer("slurmd")?, peer("srun")?);
        let name = Command::new("hostname").arg("-s").output().unwrap().stdout;
        let name = String::from_utf8(name).unwrap();
        let name = name.trim();
        // Held until the cluster has its own.
        let ports: Vec<TcpListener> = (0..2)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |n: usize| ports[n].local_addr().unwrap().port();
        let at = |name: &str| folder.join(name).display().to_string();
        for name in ["state", "spool"] {
            std::fs::DirBuilder::new()
                .create(folder.join(name))
                .unwrap();
        }
        let text = format!(
            "ClusterName=test\nSlurmctldHost={name}(127.0.0.1)\nAuthType=auth/none\nCredType=cred/none\nProctrackType=proctrack/pgid\nTaskPlugin=task/none\nSlurmUser=root\nStateSaveLocation={}\nSlurmdSpoolDir={}\nSlurmctldPidFile={}\nSlurmdPidFile={}\nSlurmctldLogFile={}\nSlurmdLogFile={}\nSlurmctldPort={}\nSlurmdPort={}\nReturnToService=2\nSchedulerParameters=batch_sched_delay=0,sched_min_interval=1000\nMpiDefault=none\nNodeName={name} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\nPartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE\n",
            at("state"),
            at("spool"),
            at("ctld.pid"),
            at("d.pid"),
            at("ctld.log"),
            at("d.log"),
            port(0),
            port(1)
        );
        drop(ports);
        let settings = folder.join("slurm.conf");
        fs_err::write(&settings, text).unwrap();
        let start = |program: PathBuf| {
            let mut command = Command::new(program);
            command
                .arg("-D")
                .arg("-f")
                .arg(&settings)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let slurm = Self {
            controller: start(controller),
            node: start(node),
            settings: settings.clone(),
        };
        let begun = Instant::now();
        loop {
            let mut ready = Command::new("srun");
            ready
                .env("SLURM_CONF", &settings)
                .args(["--quiet", "--immediate=5", "true"]);
            if ready.output().unwrap().status.success() {
                return Some(slurm);
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the cluster does not come up"
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for child in [&mut self.node, &mut self.controller] {
            // Asked first, so that the daemon ends what it has started.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let begun = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Lines of a shell in which the tool is loaded by Lmod.
fn loaded(desk: &Desk, slurm: &Slurm, lines: &str) -> String {
    loaded_as(desk, slurm, "tool/1.0", lines)
}

/// The same with a module of another name.
pub(crate) fn loaded_as(desk: &Desk, slurm: &Slurm, module: &str, lines: &str) -> String {
    let lmod = peer("lmod").unwrap();
    let script = format!(
        "module() {{ eval \"$({} bash \"$@\")\"; }}\nmodule use '{}'\nmodule load {module}\n{lines}",
        lmod.display(),
        desk.prefix.join("modules").display()
    );
    let mut bash = desk.env.command("/bin/bash");
    bash.env("PATH", search_path())
        .env("SLURM_CONF", &slurm.settings)
        .env("SHOW_EXIT", "0");
    bash.env("APPTAINERENV_SHOW_EXIT", "0");
    let out = bash.arg("-c").arg(script).output().unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

#[test]
fn a_user_of_a_cluster_works_as_with_native_programs() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    if peer("apptainer").is_none() || peer("lmod").is_none() {
        return;
    }
    let Some(slurm) = Slurm::start(&desk.env.work()) else {
        return;
    };
    let Some(_) = peer("mpirun") else { return };
    let said = loaded(&desk, &slurm, "srun --quiet -n 2 show 'a b'");
    assert_eq!(said.matches("<show><a b>").count(), 2, "{said}");
    let said = loaded(
        &desk,
        &slurm,
        "mpirun --allow-run-as-root --oversubscribe -n 2 show 'a b'",
    );
    assert_eq!(said.matches("<show><a b>").count(), 2, "{said}");
    let array = "sbatch --quiet --wait --array=0-2 --output=out.%a --wrap 'show $SLURM_ARRAY_TASK_ID'; cat out.?";
    let said = loaded(&desk, &slurm, array);
    for n in 0..3 {
        assert!(said.contains(&format!("<show><{n}>")), "{said}");
    }
    let said = loaded(&desk, &slurm, "printf '%s\\n' x y z | xargs -n 1 -P 3 show");
    assert_eq!(said.matches("<show>").count(), 3, "{said}");
    // What ends the job ends the program.
    let begun = Instant::now();
    let said = loaded(
        &desk,
        &slurm,
        "srun --quiet timeout 2 busybox sleep 60; echo code $?",
    );
    assert!(said.contains("code 124"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30));

    let moved = Desk {
        prefix: desk.env.root().join("moved here"),
        env: desk.env,
    };
    fs_err::rename(&desk.prefix, &moved.prefix).unwrap();
    moved.run(&["repair"]);
    let said = loaded(&moved, &slurm, "srun --quiet show moved");
    assert!(said.contains("<show><moved>"), "{said}");
    moved.run(&["verify"]);
    moved.run(&["uninstall", "tool"]);
    assert_eq!(fs_err::read_dir(&moved.prefix).unwrap().count(), 0);
}

/// Tasks of the array: 500 when slow tests are asked for.
fn tasks() -> usize {
    if std::env::var_os("ND_SLOW_TESTS").is_some() {
        500
    } else {
        8
    }
}

#[test]
fn tasks_of_a_job_start_without_a_runtime() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    let Some(apptainer) = peer("apptainer") else {
        return;
    };
    let work = desk.env.work();
    let Some(slurm) = Slurm::start(&work) else {
        return;
    };
    let root = desk.env.root();
    let Some(user) = OrdinaryUser::new(root, &apptainer) else {
        return;
    };
    for name in ["home", "run"] {
        user.make_folder(&root.join(name));
    }
    let policy = "runtime native\nkeep 2\npass SLURM_*\n";
    fs_err::write(desk.prefix.join(".state/launcher.conf"), policy).unwrap();
    // Each task is one of the user's, and says which it is from inside the image.
    let show = desk.prefix.join(STEM).join("show");
    let command = user.command(UserProcess::OfShell, &show);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")))
        .collect();
    let task = root.join("task.sh");
    let script = format!(
        "#!/bin/sh\ncd '{}'\nexport HOME=\"$PWD\" XDG_RUNTIME_DIR='{}' ND_LAUNCHER_VERBOSE=1 SHOW_EXIT=0 APPTAINERENV_SHOW_EXIT=0\n\
         exec {} \"$SLURM_ARRAY_TASK_ID\" 2>&1\n",
        root.join("home").display(),
        root.join("run").display(),
        words.join(" ")
    );
    fs_err::write(&task, script).unwrap();
    let count = tasks();
    let done = desk
        .env
        .command("sbatch")
        .env("PATH", search_path())
        .env("SLURM_CONF", &slurm.settings)
        .args(["--quiet", "--wait", "--export=ALL"])
        .arg(format!("--array=0-{}", count - 1))
        .arg(format!("--output={}/out.%a", work.display()))
        .arg(&task)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    for number in 0..count {
        let text = fs_err::read_to_string(work.join(format!("out.{number}"))).unwrap();
        let first = text.lines().next();
        assert_eq!(first, Some(&*format!("<show><{number}>")), "{text}");
        assert!(!text.contains("left to"), "{text}");
    }
    // The holders end by themselves, and with them everything of the jobs.
    let places = root.join("run/neurodesk");
    let begun = Instant::now();
    while fs_err::read_dir(&places).unwrap().count() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{places:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
