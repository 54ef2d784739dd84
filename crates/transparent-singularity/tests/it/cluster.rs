//! The whole way of a user of a cluster: install, load, run under Slurm and MPI, move, run, remove.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nd_testkit::peer;

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
            "ClusterName=test\nSlurmctldHost={name}(127.0.0.1)\nAuthType=auth/none\nCredType=cred/none\nProctrackType=proctrack/pgid\nTaskPlugin=task/none\nSlurmUser=root\nStateSaveLocation={}\nSlurmdSpoolDir={}\nSlurmctldPidFile={}\nSlurmdPidFile={}\nSlurmctldLogFile={}\nSlurmdLogFile={}\nSlurmctldPort={}\nSlurmdPort={}\nReturnToService=2\nMpiDefault=none\nNodeName={name} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\nPartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE\n",
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
