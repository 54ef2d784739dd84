//! Lists one directory of an image, its whole tree, and its tree with digests; says how long each
//! took.
//!
//! `bench_read IMAGE [DIRECTORY] [THREADS]`

use std::{sync::Arc, time::Instant};

use nd_report::Cancel;
use nd_squashfs::{Digests, FileRange, Limits, Reader};

#[expect(clippy::print_stdout, reason = "an example that measures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let image = arguments.first().ok_or("no image is named")?;
    let dir = arguments.get(1).map_or("usr/bin", |dir| dir);
    let threads = arguments.get(2).map_or(Ok(0), |text| text.parse())?;
    let start = Instant::now();
    let file = fs_err::File::open(image)?.into_file();
    let reader = Arc::new(Reader::open(FileRange::whole(file)?, Limits::default())?);
    let names = reader.list(dir.as_bytes())?.len();
    println!("{names} names of `{dir}`: {:?}", start.elapsed());
    for digests in [Digests::Skip, Digests::Read { threads }] {
        let start = Instant::now();
        let (index, _) = reader.tree(digests, &Cancel::default())?;
        println!(
            "{} entries, {digests:?}: {:?}",
            index.len(),
            start.elapsed()
        );
    }
    Ok(())
}
