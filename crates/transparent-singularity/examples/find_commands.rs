//! How long finding the commands of an image takes: `find_commands IMAGE [ROUNDS]`.

use std::time::Instant;

use transparent_singularity::{Excludes, OpenImage, expose, read_environment};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args_os().skip(1);
    let path = words.next().ok_or("which image?")?;
    let rounds: usize = words
        .next()
        .and_then(|word| word.to_str()?.parse().ok())
        .unwrap_or(20);
    let excludes = Excludes::built_in();
    let (mut took, mut count) = (Vec::new(), 0);
    for _ in 0..rounds.max(1) {
        let begun = Instant::now();
        let mut image = OpenImage::open(path.as_ref())?;
        let environment = read_environment(&mut image)?.map_err(|needs| needs.script)?;
        count = expose(&mut image, environment, &excludes)?.commands.len();
        took.push(begun.elapsed());
    }
    took.sort();
    let line = format!("{count} commands, median {:?}\n", took[took.len() / 2]);
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}
