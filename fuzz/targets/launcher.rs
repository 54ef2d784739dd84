//! Any bytes, read as a launch file and as a policy: an error or a file, which is written and read again
//! as the same, and planned for every command without a panic.
#![no_main]

use std::{ffi::OsStr, path::Path};

use libfuzzer_sys::fuzz_target;
use nd_launcher::{Demand, Files, Kind, LaunchFile, PlanError, Policy, Start, What, plan, script};

/// A machine on which everything is a file.
struct Full;

impl Files for Full {
    fn kind(&self, _: &Path) -> Option<Kind> {
        Some(Kind::File)
    }

    fn same(&self, _: &Path, _: &Path) -> bool {
        false
    }

    fn executable(&self, _: &Path) -> bool {
        true
    }
}

fuzz_target!(|data: &[u8]| {
    // A policy and a launch file, divided by a line of its own.
    let divided = data.windows(3).position(|window| window == b"\n%\n");
    let (file, text) = divided.map_or((data, data), |at| (&data[..at], &data[at + 3..]));
    let mut policy = Policy::default();
    let _ = policy.read_more(text);
    let Ok(launch) = LaunchFile::parse(file) else {
        return;
    };
    let bytes = launch.to_bytes();
    assert_eq!(LaunchFile::parse(&bytes).as_ref(), Ok(&launch));
    let environment = [
        (OsStr::new("PATH"), OsStr::new("/usr/bin")),
        (OsStr::new("APPTAINER_BIND"), OsStr::new("/a,b:c\\:d")),
        (
            OsStr::new("neurodesk_singularity_opts"),
            launch.image.as_ref(),
        ),
    ];
    for command in &launch.commands {
        let start = Start {
            launch: &launch,
            folder: Path::new("/folder"),
            policy: &policy,
            environment: &environment,
            cwd: Some(Path::new("/work")),
            what: What::Command(&command.name),
            arguments: &[],
        };
        match plan(&start, &Full) {
            Ok(call) => drop(call.to_shell()),
            Err(PlanError::NoDigest { .. }) => {
                assert!(policy.demand_digest != Demand::Nothing && launch.sha256.is_none());
            }
            Err(error) => panic!("everything is there: {error}"),
        }
        script(&launch, start.folder, command);
    }
});
