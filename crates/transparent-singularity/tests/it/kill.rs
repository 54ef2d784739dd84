//! A kill at any moment leaves the old state or the new one, and the next run cleans up.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    fixture::{Desk, PROGRAM, search_path},
    served::{Bench, Server, hex, objects, part, plain},
};

const OLD: &str = "tool_1.0_20240131";
const NEW: &str = "tool_1.0_20250101";

/// What users see: the image that the module names, and whether all its commands are there.
fn state(desk: &Desk) -> String {
    let text = fs_err::read_to_string(desk.prefix.join("modules/tool/1.0.lua")).unwrap();
    let stem = [OLD, NEW]
        .into_iter()
        .find(|stem| text.contains(&format!("whatis(\"{stem}.simg\")")));
    let stem = stem.unwrap();
    let folder = desk.prefix.join(stem);
    let commands = fs_err::read_to_string(folder.join("commands.txt")).unwrap();
    for command in commands.lines() {
        assert!(folder.join(command).is_file(), "{stem} lacks {command}");
    }
    assert!(
        folder.join(format!("{stem}.simg")).is_file(),
        "{stem} lacks its image"
    );
    stem.to_owned()
}

#[test]
fn a_kill_leaves_the_old_build_or_the_new_one() {
    let Some(desk) = Desk::installed(OLD) else {
        return;
    };
    let from = desk.env.work().join("some.sif");
    let begun = Instant::now();
    desk.run(&["install", NEW, "--from", from.to_str().unwrap()]);
    desk.run(&["install", OLD, "--from", from.to_str().unwrap()]);
    // As long as one takes on a machine that may be busy, and a little more.
    let usual = begun.elapsed().mul_f64(0.6);
    let mut seen = std::collections::BTreeSet::new();
    let mut current = OLD;
    let rounds = 40_u32;
    for round in 0..rounds {
        let next = if current == OLD { NEW } else { OLD };
        let mut child = std::process::Command::new(PROGRAM)
            .env("PATH", search_path())
            .env("ND_CACHE_DIR", desk.env.cache())
            .args(["--prefix"])
            .arg(&desk.prefix)
            .args(["install", next, "--from"])
            .arg(&from)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From the first instruction to beyond the end of a run; the last one ends by itself, since how long it
        // takes is the machine's business.
        if round + 1 < rounds {
            std::thread::sleep(usual / rounds * round);
            child.kill().unwrap();
        }
        child.wait().unwrap();
        let now = state(&desk);
        assert!([OLD, NEW].contains(&now.as_str()), "{now}");
        current = if now == OLD { OLD } else { NEW };
        seen.insert(now);
    }
    assert_eq!(
        seen.len(),
        2,
        "an install that was not killed changed nothing"
    );
    desk.run(&["gc"]);
    desk.run(&["verify"]);
    let listed = desk.run(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["images"].as_array().unwrap().len(), 1, "{listed}");
    let state = desk.prefix.join(".state");
    assert_eq!(fs_err::read_dir(state.join("staging")).unwrap().count(), 0);
    assert!(
        desk.listing()
            .iter()
            .all(|path| path.starts_with(current) || path.starts_with("modules/"))
    );
    desk.run(&["uninstall", "tool"]);
    assert_eq!(fs_err::read_dir(&desk.prefix).unwrap().count(), 0);
}

#[test]
fn what_users_load_stays_when_a_killed_run_is_made_good() {
    let Some(desk) = Desk::installed(OLD) else {
        return;
    };
    let records = desk.prefix.join(".state/images");
    let aside = desk.env.work().join("aside");
    fs_err::create_dir(&aside).unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let mut command = std::process::Command::new("cp");
        assert!(
            command
                .arg("-a")
                .args([from, to])
                .status()
                .unwrap()
                .success()
        );
    };
    let keep = |stem: &str| {
        copy(&desk.prefix.join(stem), &aside);
        copy(&records.join(format!("{stem}.json")), &aside);
    };
    let bring_back = |stem: &str| {
        copy(&aside.join(stem), &desk.prefix);
        copy(&aside.join(format!("{stem}.json")), &records);
    };
    keep(OLD);
    let from = desk.env.work().join("some.sif");
    let install = |stem: &str| drop(desk.run(&["install", stem, "--from", from.to_str().unwrap()]));
    install(NEW);
    keep(NEW);
    // Killed after the new build was committed, before the old one was removed.
    bring_back(OLD);
    install("other_1_20240101");
    assert_eq!(state(&desk), NEW);
    assert!(!desk.prefix.join(OLD).exists());
    // Killed when the new build had its place and no module.
    install(OLD);
    bring_back(NEW);
    install("another_1_20240101");
    assert_eq!(state(&desk), OLD);
    assert!(!desk.prefix.join(NEW).exists());
    desk.run(&["verify"]);
}

#[test]
fn many_at_once_install_once() {
    let desk = Desk::new();
    let Some(from) = desk.image("some.sif") else {
        return;
    };
    let children: Vec<_> = (0..6)
        .map(|_| {
            std::process::Command::new(PROGRAM)
                .env("PATH", search_path())
                .env("ND_CACHE_DIR", desk.env.cache())
                .arg("--prefix")
                .arg(&desk.prefix)
                .args(["install", OLD, "--from"])
                .arg(&from)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    desk.run(&["verify"]);
}

#[test]
fn an_empty_prefix_is_not_taken_from_under_an_installation() {
    let desk = Desk::new();
    let Some(from) = desk.image("some.sif") else {
        return;
    };
    let words = |stem: &'static str| {
        let mut command = std::process::Command::new(PROGRAM);
        command
            .env("PATH", search_path())
            .env("ND_CACHE_DIR", desk.env.cache())
            .arg("--prefix")
            .arg(&desk.prefix);
        command
            .args(["install", stem, "--from"])
            .arg(&from)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    for _ in 0..10 {
        desk.run(&["install", OLD, "--from", from.to_str().unwrap()]);
        let child = words("other_1_20240101").spawn().unwrap();
        desk.run(&["uninstall", OLD]);
        let out = child.wait_with_output().unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        desk.run(&["verify", "other"]);
        desk.run(&["uninstall", "other"]);
        assert_eq!(fs_err::read_dir(&desk.prefix).unwrap().count(), 0);
    }
}

#[test]
fn a_kill_in_a_download_leaves_nothing_to_see_and_the_next_run_goes_on() {
    let Some(bench) = Bench::new() else { return };
    let image = Arc::new([bench.image.clone(), vec![7; 12 << 20]].concat());
    let sum = hex(&image);
    let sums = Server::start(move |_, _| plain(200, sum.clone()));
    // Whoever gives nothing from there on lets it be killed between pieces; where they start is written down.
    let giver = |end: u64, starts: &Arc<Mutex<Vec<u64>>>| {
        let (image, starts) = (image.clone(), starts.clone());
        Server::start(move |_, headers| {
            let range = headers
                .iter()
                .find_map(|line| line.strip_prefix("range: bytes="));
            let start = range
                .and_then(|text| text.split_once('-'))
                .map_or(0, |(start, _)| start.parse().unwrap());
            starts.lock().unwrap().push(start);
            if start >= end {
                loop {
                    std::thread::park();
                }
            }
            part(headers, &image)
        })
    };
    let checksum = format!("checksum = \"{}{{stem}}\"\n", sums.url());
    let sources = |end| {
        let starts = Arc::default();
        let (first, second) = (giver(end, &starts), giver(end, &starts));
        bench.sources(&(objects("one", &first.url()) + &checksum + &objects("two", &second.url())));
        starts
    };
    sources(8 << 20);
    let start = || {
        let mut command = std::process::Command::new(PROGRAM);
        command
            .env("PATH", search_path())
            .env("ND_CACHE_DIR", bench.desk.env.cache())
            .arg("--prefix")
            .arg(&bench.desk.prefix)
            .arg("--settings")
            .arg(&bench.settings)
            .args(["install", OLD])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let partials = bench.desk.prefix.join(".state/store/partials");
    let came = || -> u64 {
        let mut open = vec![partials.clone()];
        let mut bytes = 0;
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let about = entry.metadata().unwrap();
                if about.is_dir() {
                    open.push(entry.path());
                } else {
                    bytes += about.len();
                }
            }
        }
        bytes
    };
    let mut child = start();
    let begun = Instant::now();
    while came() < 1 << 20 {
        assert!(begun.elapsed() < Duration::from_secs(180), "nothing comes");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = came();
    assert!(
        left < image.len() as u64,
        "the download was over before the kill"
    );
    assert_eq!(bench.desk.listing(), [""; 0]);
    // Others, since what is still on its way to those is the first run's.
    let starts = sources(u64::MAX);
    let (code, said) = bench.install(&[OLD]);
    assert_eq!(code, 0, "{said}");
    bench.desk.run(&["verify"]);
    let starts = starts.lock().unwrap();
    assert!(!starts.is_empty());
    for start in starts.iter() {
        assert!(*start >= left, "{start} of {left}");
    }
    bench.desk.run(&["uninstall", OLD]);
    assert_eq!(fs_err::read_dir(&bench.desk.prefix).unwrap().count(), 0);
}
