//! Reads a whole repository with the independent client crate `cvmfs` and prints SHA-256 and path of
//! each file: what tests compare our repositories with.

use cvmfs::{fetcher::Fetcher, repository::Repository};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, url, cache] = &words[..] else {
        return Err("usage: cvmfs-reader URL CACHE".into());
    };
    let repository = Repository::new(Fetcher::new(url, cache, true)?)?;
    let mut waiting = vec![String::new()];
    while let Some(dir) = waiting.pop() {
        for entry in repository.list_directory(&dir)? {
            let path = format!("{dir}/{}", entry.name);
            if entry.is_directory() {
                waiting.push(path);
            } else if entry.is_file() && !entry.is_symlink() && entry.mode & 0o170000 == 0o100000 {
                let mut hex = digest(&repository, &path);
                // The crate fetches chunks ahead on threads of its own, and may meet one half written.
                for _ in 0..10 {
                    if hex.is_err() {
                        std::thread::sleep(std::time::Duration::from_millis(100));
                        hex = digest(&repository, &path);
                    }
                }
                let hex = hex?;
                println!("{hex}  {path}");
            }
        }
    }
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
fn digest(repository: &Repository, path: &str) -> Result<String, Box<dyn std::error::Error>> {
    let file = repository.get_file(path)?;
    let (mut digest, mut offset) = (Sha256::new(), 0);
    let mut bytes = vec![0; 1 << 20];
    while offset < file.file_size() {
        let read = file.read_at(offset, &mut bytes)?;
        if read == 0 {
            return Err(format!("`{path}` ends at {offset}").into());
        }
        digest.update(&bytes[..read]);
        offset += read as u64;
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
