//! The example of the guide, on the image of the guide: Python with scientific packages of Debian.

use std::{path::Path, process::Command};

use nd_oci::{Compression, Layout};

use super::support::{Bench, finish, told};

/// The lines of the guide that a reader types.
fn example() -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/guides/minify.md");
    let text = fs_err::read_to_string(guide).unwrap();
    let begin = text.find("```sh\nneurodocker minify").unwrap();
    let block = &text[begin + 6..];
    let block = &block[..block.find("```").unwrap()];
    // A shell knows what its words are.
    let print = block.replacen("neurodocker minify", "printf '%s\\n'", 1);
    let output = Command::new("sh").args(["-c", &print]).output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    words.lines().map(str::to_owned).collect()
}

/// The suite that this machine has, whose keys it knows.
fn suite() -> String {
    let text = fs_err::read_to_string("/etc/os-release").unwrap();
    let suite = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    suite.unwrap_or("stable").trim_matches('"').to_owned()
}

/// The files that say where this machine gets its packages.
fn archives() -> Vec<std::path::PathBuf> {
    let mut files = vec![std::path::PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs_err::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let is_list = |ending: &std::ffi::OsStr| ending == "list" || ending == "sources";
    files.retain(|file| file.is_file() && file.extension().is_some_and(is_list));
    files.sort();
    files
}

#[test]
fn the_example_of_the_guide_does_what_the_guide_says() {
    let words = example();
    assert!(words.iter().any(|word| word.contains("scipy")), "{words:?}");
    let slow = std::env::var_os("ND_SLOW_TESTS").is_some();
    let Some(mmdebstrap) = nd_testkit::peer("mmdebstrap").filter(|_| slow) else {
        return;
    };
    let bench = Bench::new();
    let tar = bench.path("tree.tar");
    let output = Command::new(mmdebstrap)
        .args(["--quiet", "--variant=minbase", "--skip=output/dev"])
        .args(["--include=python3-scipy", &suite()])
        .arg(&tar)
        .args(archives())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let open = || fs_err::File::open(&tar).unwrap();
    let limits = nd_oci::Limits::default();
    let indexed = nd_oci::index_layer(open(), Compression::None, limits).unwrap();
    let layout = Layout::create(bench.path("python")).unwrap();
    layout.put_blob(open()).unwrap();
    let layer = nd_oci::WrittenLayer {
        diff_id: indexed.diff_id,
        uncompressed: indexed.uncompressed,
        digest: indexed.digest,
        size: indexed.size,
        compression: Compression::None,
        index: indexed.index,
    };
    finish(&layout, &layer);
    fs_err::remove_file(tar).unwrap();

    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let report = bench.minify(&words);
    let (before, gone) = (&report["bytes"], &report["removed_bytes"]);
    let (before, gone) = (before.as_u64().unwrap(), gone.as_u64().unwrap());
    println!(
        "{before} bytes before, {} after; {}",
        before - gone,
        report["milliseconds"]
    );
    assert!(gone > before / 2, "{report}");
    // The command still works in the result, others do not.
    let at = words.iter().position(|word| *word == "-c").unwrap() + 1;
    let output = report["output"]["path"].as_str().unwrap().to_owned();
    let again = bench.minify(&[&output, "-c", words[at], "-d", "/usr", "-o", "again"]);
    assert_eq!(again["removed_files"], 0, "{again}");
    bench.refused(1, &[&output, "-c", "perl -v", "-d", "/usr", "-o", "perl"]);
}
