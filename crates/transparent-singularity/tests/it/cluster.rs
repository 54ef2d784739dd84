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
/// Longer than anything takes that comes at all.
const PATIENCE: Duration = Duration::from_secs(180);

/// A cluster of one node: this machine. It ends with the value.
///
/// Its scheduler looks once a second at what it can start, and gives a whole node to each job unless it is told
/// to divide nodes: then five hundred tasks take more than as many seconds. So jobs get processors, of
/// which the node has more than it has.
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
            "ClusterName=test\nSlurmctldHost={name}(127.0.0.1)\nAuthType=auth/none\nCredType=cred/none\nProctrackType=proctrack/pgid\nTaskPlugin=task/none\nSlurmUser=root\nStateSaveLocation={}\nSlurmdSpoolDir={}\nSlurmctldPidFile={}\nSlurmdPidFile={}\nSlurmctldLogFile={}\nSlurmdLogFile={}\nSlurmctldPort={}\nSlurmdPort={}\nReturnToService=2\nSelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\nSlurmdParameters=config_overrides\nSchedulerParameters=batch_sched_delay=0,sched_min_interval=1000\nMpiDefault=none\nNodeName={name} NodeAddr=127.0.0.1 CPUs=16 State=UNKNOWN\nPartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE\n",
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
            assert!(begun.elapsed() < PATIENCE, "the cluster does not come up");
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
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
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
    // One that ends well: MPI ends all when one does not, and the others may not have begun.
    let said = loaded(
        &desk,
        &slurm,
        "mpirun --allow-run-as-root --oversubscribe -n 2 busybox echo '<a b>'",
    );
    assert_eq!(said.matches("<a b>").count(), 2, "{said}");
    let array = "sbatch --quiet --wait --array=0-2 --output=out.%a --wrap 'show $SLURM_ARRAY_TASK_ID'; cat out.?";
    let said = loaded(&desk, &slurm, array);
    for n in 0..3 {
        assert!(said.contains(&format!("<show><{n}>")), "{said}");
    }
    let said = loaded(&desk, &slurm, "printf '%s\\n' x y z | xargs -n 1 -P 3 show");
    assert_eq!(said.matches("<show>").count(), 3, "{said}");
    // What ends the job ends the program.
    let said = loaded(
        &desk,
        &slurm,
        "srun --quiet timeout 2 busybox sleep 3600; echo code $?",
    );
    assert!(said.contains("code 124"), "{said}");

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

/// A desk and a cluster whose jobs are an ordinary user's, without a runtime.
struct Cluster {
    desk: Desk,
    slurm: Slurm,
    user: OrdinaryUser,
}

impl Cluster {
    fn new(policy: &str) -> Option<Self> {
        let desk = Desk::installed(STEM)?;
        let apptainer = peer("apptainer")?;
        let slurm = Slurm::start(&desk.env.work())?;
        let user = OrdinaryUser::new(desk.env.root(), &apptainer)?;
        for name in ["home", "run"] {
            user.make_folder(&desk.env.root().join(name));
        }
        let policy = format!("runtime native\npass SLURM_*\n{policy}");
        fs_err::write(desk.prefix.join(".state/launcher.conf"), policy).unwrap();
        Some(Self { desk, slurm, user })
    }

    /// The script of a job: lines of a shell of the user, in which `$1` is the folder of commands.
    fn script(&self, name: &str, lines: &str) -> PathBuf {
        let root = self.desk.env.root();
        let mut command = self.user.command(UserProcess::OfShell, "/bin/sh");
        command.args(["-c", lines, "sh"]);
        command.arg(self.desk.prefix.join(STEM));
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")))
            .collect();
        let path = root.join(name);
        let script = format!(
            "#!/bin/sh\ncd '{}'\nexport HOME=\"$PWD\" XDG_RUNTIME_DIR='{}' ND_LAUNCHER_VERBOSE=1 SHOW_EXIT=0 APPTAINERENV_SHOW_EXIT=0\nexec {} 2>&1\n",
            root.join("home").display(),
            root.join("run").display(),
            words.join(" ")
        );
        fs_err::write(&path, script).unwrap();
        path
    }

    /// Submits a job and waits for its end; what the tasks print goes to `out.NAME`.
    fn submit(&self, script: &Path, words: &[&str], name: &str) -> Command {
        // Of the plain kind: these are started beside each other.
        let mut command = Command::new("sbatch");
        command
            .env("PATH", search_path())
            .env("SLURM_CONF", &self.slurm.settings)
            .args(["--quiet", "--wait", "--export=ALL"])
            .args(words)
            .arg(format!(
                "--output={}/out.{name}",
                self.desk.env.work().display()
            ))
            .arg(script)
            .current_dir(self.desk.env.work());
        command
    }

    fn output(&self, name: &str) -> String {
        fs_err::read_to_string(self.desk.env.work().join(format!("out.{name}"))).unwrap()
    }

    /// The holders end, and nothing of them is left.
    fn nothing_stays(&self) {
        let places = self.desk.env.root().join("run/neurodesk");
        let begun = Instant::now();
        let left = || {
            let files = fs_err::read_dir(&places).unwrap();
            let names = files.map(|entry| entry.unwrap().path());
            // That an image was read stays known.
            let names = names.filter(|path| path.extension().is_none_or(|end| end != "checked"));
            names.count() + holders(&places)
        };
        while left() > 0 {
            assert!(begun.elapsed() < PATIENCE, "{}", places.display());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Holders whose sockets are in a folder.
fn holders(places: &Path) -> usize {
    let entries = fs_err::read_dir("/proc").unwrap();
    let here = entries.filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        fs_err::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == places)
            && fs_err::read(path.join("cmdline")).is_ok_and(|it| it.starts_with(b"nd-holder"))
    });
    here.count()
}

#[test]
fn tasks_of_a_job_start_without_a_runtime() {
    // Every byte of the image is compared, and what that found is remembered.
    let Some(cluster) = Cluster::new("keep 2\ndemand-digest on\n") else {
        return;
    };
    let lines = "\"$1/show\" \"$SLURM_ARRAY_TASK_ID\"";
    let task = cluster.script("task.sh", lines);
    let count = tasks();
    let array = format!("--array=0-{}", count - 1);
    let done = cluster.submit(&task, &[&array], "%a").output().unwrap();
    assert!(done.status.success(), "{done:?}");
    for number in 0..count {
        let text = cluster.output(&number.to_string());
        let first = text.lines().next();
        assert_eq!(first, Some(&*format!("<show><{number}>")), "{text}");
        assert!(!text.contains("left to"), "{text}");
    }
    cluster.nothing_stays();

    // The whole prefix's image with a byte more starts nothing.
    let image = cluster.desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    let mut file = fs_err::OpenOptions::new().append(true).open(image).unwrap();
    std::io::Write::write_all(&mut file, b"x").unwrap();
    let done = cluster
        .submit(&task, &["--array=0"], "%a")
        .output()
        .unwrap();
    assert!(!done.status.success(), "{done:?}");
    let text = cluster.output("0");
    assert!(text.contains("the policy demands the digest"), "{text}");
}

#[test]
fn a_job_that_ends_does_not_disturb_another_one() {
    // Longer than any of the jobs: holders must end by themselves with what they were made for.
    let Some(cluster) = Cluster::new("keep 600\n") else {
        return;
    };
    let marks = cluster.desk.env.root().join("home");
    let first = "\"$1/show\" first; : > first";
    // One command that goes on reading the image while the first job ends, and new ones after it.
    let second = "\"$1/busybox\" sh -c 'until [ -e ended ]; do cat /bin/busybox > /dev/null; sleep 0.05; done; show after'\n\
                  \"$1/show\" anew";
    let first = cluster.script("first.sh", first);
    let second = cluster.script("second.sh", second);
    let mut long = cluster
        .submit(&second, &["--job-name=long"], "second")
        .spawn()
        .unwrap();
    let short = cluster
        .submit(&first, &["--job-name=short"], "first")
        .output()
        .unwrap();
    assert!(short.status.success(), "{short:?}");
    assert!(marks.join("first").exists());
    let text = cluster.output("first");
    assert!(text.starts_with("<show><first>\n"), "{text}");
    // The first job and its mount are gone, not only its command.
    let places = cluster.desk.env.root().join("run/neurodesk");
    let begun = Instant::now();
    while holders(&places) > 1 {
        assert!(begun.elapsed() < PATIENCE, "the first job's holder stays");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(long.try_wait().unwrap().is_none());
    fs_err::write(marks.join("ended"), "").unwrap();
    assert!(long.wait().unwrap().success());
    let text = cluster.output("second");
    assert!(text.starts_with("<show><after>\n"), "{text}");
    assert!(text.contains("<show><anew>\n"), "{text}");
    assert!(!text.contains("neurodesk:"), "{text}");
    cluster.nothing_stays();
}
