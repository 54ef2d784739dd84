//! Packs a folder, or an image of an OCI layout, and says how long it took and how much memory.
//!
//! `bench_write SOURCE OUTPUT [zstd|gzip] [LEVEL] [BLOCK] [THREADS]`

use std::{io, path::Path, sync::Arc, time::Instant};

use nd_oci::{ImageTree, Layout, Limits, read_directory};
use nd_rootfs::{Contents, Index};
use nd_squashfs::{Compression, WriteOptions, write};

#[expect(clippy::print_stdout, reason = "an example that measures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = |n: usize, default: &str| arguments.get(n).map_or(default.to_owned(), Clone::clone);
    let (source, output) = (at(0, "."), at(1, "/dev/null"));
    let level = at(3, "3").parse()?;
    let options = WriteOptions {
        compression: match at(2, "zstd").as_str() {
            "gzip" => Compression::Gzip(level),
            _ => Compression::Zstd(level),
        },
        block_size: at(4, "131072").parse()?,
        threads: at(5, "0").parse()?,
        ..WriteOptions::default()
    };
    let start = Instant::now();
    let (index, mut contents) = open(Path::new(&source))?;
    let opened = start.elapsed();
    let mut out = fs_err::File::create(&output)?;
    let written = write(&index, &mut *contents, &mut out, &options)?;
    println!(
        "index {:.2} s, all {:.2} s, {} bytes, {} contents of {} bytes, {} inodes, peak {} MiB",
        opened.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        written.bytes,
        written.contents,
        written.content_bytes,
        written.inodes,
        peak()? / 1024,
    );
    for note in written.notes {
        println!("{note}");
    }
    Ok(())
}

fn open(source: &Path) -> Result<(Index, Box<dyn Contents>), Box<dyn std::error::Error>> {
    if !source.join("oci-layout").exists() {
        let (index, contents) = read_directory(source)?;
        return Ok((index, Box::new(contents)));
    }
    let layout = Layout::open(source)?;
    let image = layout.image(None)?;
    let store = nd_store::Store::open(source.with_extension("store"))?;
    let tree = ImageTree::open(&image, Arc::new(layout), Some(&store), Limits::default())?;
    Ok((tree.index, Box::new(tree.contents)))
}

/// The most memory this process has had, in KiB.
fn peak() -> io::Result<u64> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
