//! Images of a registry: the one that Debian ships, on this machine alone, filled by skopeo.

use nd_testkit::{Registry, peer, skopeo};

use super::{LEFT, RUN, below_opt, support::Bench};

/// Says in the home of `bench` that the registry at `address` has no encryption.
fn trust(bench: &Bench, address: &str) {
    let conf = bench.path(".config/containers");
    fs_err::create_dir_all(&conf).unwrap();
    let text = format!("[[registry]]\nlocation = \"{address}\"\ninsecure = true\n");
    fs_err::write(conf.join("registries.conf"), text).unwrap();
}

#[test]
fn an_image_of_a_registry_is_fetched_and_made_smaller() {
    let peers = ["busybox", "skopeo"].map(peer);
    let ([Some(_), Some(_)], Some(registry)) = (peers, Registry::start()) else {
        return;
    };
    for bench in [Bench::new(), Bench::of_an_ordinary_user()] {
        trust(&bench, registry.address());
        let image = format!("oci:{}:1.0", bench.image("image").display());
        let name = format!("{}/group/app:1.0", registry.address());
        let to = format!("docker://{name}");
        skopeo(&["copy", "--dest-tls-verify=false", &image, &to]);
        let of_layout = bench.minify(&["image", "-c", RUN, "-d", "/opt", "-o", "layout"]);

        for given in [name.clone(), format!("docker://{name}")] {
            let out = format!("out-{}", given.len());
            let report = bench.minify(&[&given, "-c", RUN, "-d", "/opt", "-o", &out]);
            assert_eq!(below_opt(&bench.path(&out)), LEFT);
            // It is the same image, and becomes the same bytes.
            let manifest = &of_layout["output"]["manifest"];
            assert_eq!(&report["output"]["manifest"], manifest);
        }
        let missing = format!("{}/group/app:2.0", registry.address());
        let text = bench.refused(1, &[&missing, "-c", RUN, "-d", "/opt", "-o", "no"]);
        assert!(text.contains("is not in its registry"), "{text}");
        assert!(!bench.path("no").exists());
    }
}
