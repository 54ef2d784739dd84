//! Images of a registry: the one that Debian ships, on this machine alone, filled by skopeo.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    LEFT, RUN, below_opt,
    support::{Bench, told},
};

/// A running registry; ended when dropped.
struct Running {
    child: Child,
    host: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the registry in the folder of `bench`, where `registries.conf` says that it has no
/// encryption; `None` with a printed reason where it is not installed.
fn start(bench: &Bench) -> Option<Running> {
    let program = nd_testkit::peer("docker-registry")?;
    // The port is free now; nobody else takes it in the moment until the registry does.
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = port.local_addr().unwrap().to_string();
    drop(port);
    let config = serde_json::json!({
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": bench.path("registry")}},
        "http": {"addr": host},
    });
    fs_err::write(bench.path("registry.yml"), config.to_string()).unwrap();
    let conf = bench.path(".config/containers");
    fs_err::create_dir_all(&conf).unwrap();
    let text = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    fs_err::write(conf.join("registries.conf"), text).unwrap();
    let child = Command::new(program)
        .arg("serve")
        .arg(bench.path("registry.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running { child, host };
    while TcpStream::connect(&running.host).is_err() {
        let ended = running.child.try_wait().unwrap();
        assert!(ended.is_none(), "the registry ended: {ended:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(running)
}

#[test]
fn an_image_of_a_registry_is_fetched_and_made_smaller() {
    let peers = ["busybox", "skopeo"].map(nd_testkit::peer);
    let [Some(_), Some(skopeo)] = peers else {
        return;
    };
    for bench in [Bench::new(), Bench::of_an_ordinary_user()] {
        let Some(running) = start(&bench) else { return };
        let image = bench.image("image");
        let name = format!("{}/group/app:1.0", running.host);
        let output = Command::new(&skopeo)
            .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:1.0", image.display()))
            .arg(format!("docker://{name}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let of_layout = bench.minify(&["image", "-c", RUN, "-d", "/opt", "-o", "layout"]);

        for given in [name.clone(), format!("docker://{name}")] {
            let out = format!("out-{}", given.len());
            let report = bench.minify(&[&given, "-c", RUN, "-d", "/opt", "-o", &out]);
            assert_eq!(below_opt(&bench.path(&out)), LEFT);
            // It is the same image, and becomes the same bytes.
            let manifest = &of_layout["output"]["manifest"];
            assert_eq!(&report["output"]["manifest"], manifest);
        }
        let missing = format!("{}/group/app:2.0", running.host);
        let text = bench.refused(1, &[&missing, "-c", RUN, "-d", "/opt", "-o", "no"]);
        assert!(text.contains("is not in its registry"), "{text}");
        assert!(!bench.path("no").exists());
    }
}
