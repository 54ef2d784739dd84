//! How long finding the commands of an image takes: `find_commands [IMAGE [ROUNDS]]`. Without an image,
//! one of 1 GB is made: 20,000 files that do not compress, and 400 programs.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, symlink},
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{Advice, fadvise};
use transparent_singularity::{Excludes, OpenImage, expose, read_environment};

type Failed = Box<dyn std::error::Error>;

/// Files beside the programs, and bytes of each.
const FILES: usize = 20_000;
const BYTES: usize = 50_000;
/// Programs, and links to them.
const PROGRAMS: usize = 400;

fn main() -> Result<(), Failed> {
    let mut words = std::env::args_os().skip(1);
    let folder = tempfile::tempdir()?;
    let path = match words.next() {
        Some(path) => path.into(),
        None => made(folder.path())?,
    };
    let rounds: usize = words
        .next()
        .and_then(|word| word.to_str()?.parse().ok())
        .unwrap_or(21);
    let (mut cold, mut warm, mut count) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds.max(1) {
        let file = File::open(&path)?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        for took in [&mut cold, &mut warm] {
            let begun = Instant::now();
            count = find(&path)?;
            took.push(begun.elapsed());
        }
    }
    println!(
        "finding {count} commands of {} MB: median {:.1} ms, {:.1} ms when the file is not in memory",
        std::fs::metadata(&path)?.len() / 1_000_000,
        median(warm),
        median(cold),
    );
    println!("limit for 1 GB: 50 ms; medians of {rounds}");
    Ok(())
}

fn find(path: &Path) -> Result<usize, Failed> {
    let mut image = OpenImage::open(path)?;
    let environment = read_environment(&mut image)?.map_err(|needs| needs.script)?;
    Ok(expose(&mut image, environment, &Excludes::built_in())?
        .commands
        .len())
}

fn median(mut took: Vec<Duration>) -> f64 {
    took.sort();
    took[took.len() / 2].as_secs_f64() * 1000.0
}

/// An image as large containers are: a squashfs image of many files, most of them no programs.
fn made(folder: &Path) -> Result<std::path::PathBuf, Failed> {
    let root = folder.join("root");
    let env = root.join(".singularity.d/env");
    let bin = root.join("opt/tool/bin");
    for folder in [&env, &bin] {
        fs_err::create_dir_all(folder)?;
    }
    let script =
        "#!/bin/sh\nexport PATH=\"/opt/tool/bin:/bin\"\nexport DEPLOY_PATH=\"/opt/tool/bin\"\n";
    fs_err::write(env.join("10-docker2singularity.sh"), script)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; BYTES];
    let mut fill = |path: &Path, mode: u32| -> Result<(), Failed> {
        for part in bytes.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            part.copy_from_slice(&state.to_le_bytes()[..part.len()]);
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).mode(mode);
        options.open(path)?.write_all(&bytes)?;
        Ok(())
    };
    for n in 0..PROGRAMS {
        fill(&bin.join(format!("program{n}")), 0o755)?;
        symlink(format!("program{n}"), bin.join(format!("link{n}")))?;
    }
    for n in 0..FILES {
        let folder = root.join(format!("opt/tool/share/{}", n % 200));
        fs_err::create_dir_all(&folder)?;
        fill(&folder.join(format!("data{n}")), 0o644)?;
    }
    let image = folder.join("tool_1.0_20240131.simg");
    let (index, mut contents) = nd_oci::read_directory(&root)?;
    let mut out = File::create(&image)?;
    let options = nd_squashfs::WriteOptions::default();
    nd_squashfs::write(&index, &mut contents, &mut out, &options)?;
    fs_err::remove_dir_all(&root)?;
    Ok(image)
}
