//! How long reading, checking, compiling and rendering a folder of recipes takes, in one thread.
//!
//! `cargo run --release -p neurocontainers-recipe --example speed -- DIR [ROUNDS]` where DIR holds
//! `recipes/` and `macros/`. Prints milliseconds of processor time of each round, the files
//! being in the page cache.

#![expect(
    clippy::print_stdout,
    reason = "a program for developers, which prints its result"
)]

#[path = "corpus/directory.rs"]
#[expect(
    dead_code,
    reason = "shared with the comparison, which needs more of it"
)]
mod directory;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use directory::Directory;
use nd_names::Architecture;
use nd_report::Sink;
use neurocontainers_recipe::{Compat, LoadOptions, Profile, Request, compile, load};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(root) = arguments.next().map(PathBuf::from) else {
        println!("usage: speed DIR [ROUNDS]");
        return ExitCode::from(2);
    };
    let rounds: usize = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    let Ok(entries) = fs_err::read_dir(root.join("recipes")) else {
        println!("no recipes in {}", root.display());
        return ExitCode::FAILURE;
    };
    let mut recipes: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    recipes.sort();
    for round in 0..rounds {
        let (begin, cpu) = (Instant::now(), processor_time());
        let (mut read, mut compiled, mut rendered) = (0.0, 0.0, 0.0);
        let (mut bytes, mut failed) = (0, 0);
        for recipe in &recipes {
            let files = Directory {
                recipe: recipe.clone(),
                include: root.clone(),
            };
            let mut sink = Sink::new();
            let mut last = Instant::now();
            let mut lap = |total: &mut f64| {
                *total += last.elapsed().as_secs_f64() * 1e3;
                last = Instant::now();
            };
            let options = LoadOptions {
                compat: Compat::Improved,
                profile: Profile::Strict,
                rules: true,
                ..LoadOptions::default()
            };
            let loaded = load(&files, "recipe", &options, &mut sink);
            lap(&mut read);
            let result = loaded.and_then(|recipe| {
                let mut request = Request::new(Architecture::X86_64);
                request.ignore_architectures = true;
                compile(&recipe, &request, &files, &mut sink)
            });
            lap(&mut compiled);
            match result {
                Some(result) => {
                    bytes += result
                        .dockerfile(Compat::Improved)
                        .map_or(0, |text| text.len());
                }
                None => failed += 1,
            }
            lap(&mut rendered);
        }
        let wall = begin.elapsed().as_secs_f64() * 1e3;
        let used = processor_time().zip(cpu).map(|(end, begin)| end - begin);
        println!(
            "round {round}: {:.1} ms for {} recipes ({failed} with errors, {bytes} bytes): \
             on the clock {wall:.1}, of which read and check {read:.1}, compile {compiled:.1}, \
             render {rendered:.1}",
            used.unwrap_or(wall),
            recipes.len(),
        );
    }
    if let Some(peak) = peak_memory() {
        println!("peak memory: {peak:.0} MB");
    }
    ExitCode::SUCCESS
}

/// Milliseconds that this process had a processor, where the kernel says it.
fn processor_time() -> Option<f64> {
    let status = fs_err::read_to_string("/proc/self/schedstat").ok()?;
    let nanoseconds: f64 = status.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e6)
}

/// The largest resident size of this process so far, in MB, where the kernel says it.
fn peak_memory() -> Option<f64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
