//! The program against Debian's registry, on loopback.

use std::process::Command;

use nd_testkit::Registry;

#[test]
fn an_image_goes_there_and_comes_back() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_downstream-registry"))
            .args([registry.address(), "group/app:1"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let first = run();
    assert!(
        first.contains("/group/app: 1 layers, 2 blobs were sent"),
        "{first}"
    );
    assert!(run().contains("1 layers, 0 blobs were sent"));
}
