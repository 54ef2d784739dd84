//! `cargo xtask bench neurodocker`, its second table: what recording and checking cost beside a plain
//! run of the same commands.
//!
//! `bench_minify PROGRAM` where PROGRAM is `neurodocker`. The image is busybox with many small files and a
//! large one, made here. Each row is the median of several runs; the first, which unpacks the image, is
//! not counted.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for the people who work on this, which runs other programs"
)]

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use nd_oci::{Compression, ImageSpec, LayerOptions, Layout, read_directory};
use nd_rootfs::LayerEntry;
use nd_terminal::{Align, Table};
use serde_json::{Value, json};

/// Runs of each row that count.
const ROUNDS: usize = 5;
/// Small files of the image.
const FILES: usize = 4000;
/// Bytes of its large file.
const LARGE: usize = 64 << 20;

/// What is run, and what it stands for.
const ROWS: [(&str, &str); 3] = [
    ("computes", "gzip -9 < /opt/large | wc -c"),
    (
        "reads 4000 files",
        "find /opt/small -type f -exec cat {} + | md5sum; gzip -1 < /opt/large | wc -c",
    ),
    (
        "asks for 100000 paths",
        "i=0; while [ $i -lt 100000 ]; do [ -e /opt/large ]; i=$((i+1)); done; echo $i",
    ),
];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let program = PathBuf::from(words.get(1).unwrap());
    let Some(busybox) = nd_testkit::peer("busybox") else {
        println!("no busybox, so nothing can be made smaller here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    image(&busybox, folder.path());
    let mut table = Table::new([
        ("minify of what", Align::Left),
        ("plain", Align::Right),
        ("recorded", Align::Right),
        ("checked", Align::Right),
        ("times plain", Align::Right),
        ("limit", Align::Left),
        ("pass over image", Align::Right),
    ]);
    for (what, line) in ROWS {
        let mut runs: Vec<[u64; 5]> = (0..=ROUNDS)
            .map(|round| minify(&program, folder.path(), line, round))
            .skip(1)
            .collect();
        runs.sort_by_key(|run| run[1] + run[2]);
        let [plain, record, verify, read, write] = runs[runs.len() / 2];
        table.row([
            what.to_owned(),
            format!("{plain} ms"),
            format!("{record} ms"),
            format!("{verify} ms"),
            format!("{:.1}", (record + verify) as f64 / plain.max(1) as f64),
            "3".to_owned(),
            format!("{} ms", read + write),
        ]);
    }
    println!("{}", table.render_for_terminal().trim_end());
}

/// Milliseconds of one run: plain, recorded, checked, reading, writing.
fn minify(program: &Path, folder: &Path, line: &str, round: usize) -> [u64; 5] {
    let out = folder.join(format!("out-{round}"));
    let output = Command::new(program)
        .args(["minify", "image", "--command", line, "--dir", "/opt/unused"])
        .args(["--yes", "--json", "--output"])
        .arg(&out)
        .current_dir(folder)
        .env("ND_CACHE_DIR", folder.join("cache"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    fs_err::remove_dir_all(out).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    ["plain", "record", "verify", "read", "write"]
        .map(|part| report["milliseconds"][part].as_u64().unwrap())
}

/// The image, as a layout `image`.
fn image(busybox: &Path, folder: &Path) {
    let tree = folder.join("tree");
    for dir in ["bin", "tmp", "opt/small", "opt/unused"] {
        fs_err::create_dir_all(tree.join(dir)).unwrap();
    }
    fs_err::copy(busybox, tree.join("bin/busybox")).unwrap();
    for tool in ["sh", "cat", "find", "gzip", "wc", "md5sum"] {
        symlink("busybox", tree.join("bin").join(tool)).unwrap();
    }
    for number in 0..FILES {
        let path = tree.join(format!("opt/small/{number}"));
        fs_err::write(path, number.to_string().repeat(200)).unwrap();
        fs_err::write(tree.join(format!("opt/unused/{number}")), "unused").unwrap();
    }
    // Bytes that compress a little, as those of programs do.
    let large: Vec<u8> = (0..LARGE as u64)
        .map(|at| (at.wrapping_mul(at >> 7) >> 3) as u8)
        .collect();
    fs_err::write(tree.join("opt/large"), large).unwrap();

    let (index, _) = read_directory(&tree).unwrap();
    let entries: Vec<_> = index
        .into_entries()
        .into_iter()
        .map(LayerEntry::Entry)
        .collect();
    let layout = Layout::create(folder.join("image")).unwrap();
    let options = LayerOptions {
        compression: Compression::Gzip,
        clamp: None,
    };
    let open = &mut |entry: &nd_rootfs::Entry| -> std::io::Result<Box<dyn std::io::Read>> {
        let path = std::str::from_utf8(entry.path.as_bytes()).unwrap();
        Ok(Box::new(fs_err::File::open(tree.join(path))?))
    };
    let layer = layout.write_layer(&entries, open, options).unwrap();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id.oci()] },
    });
    layout
        .write_image(&ImageSpec {
            config: serde_json::from_value(config).unwrap(),
            layers: vec![layer.descriptor()],
            annotations: std::collections::BTreeMap::new(),
            reference: Some("1.0".into()),
        })
        .unwrap();
    fs_err::remove_dir_all(tree).unwrap();
}
