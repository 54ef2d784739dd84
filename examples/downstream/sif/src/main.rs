//! The objects of a SIF.

use std::{fs::File, process::ExitCode};

use nd_sif::Sif;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        println!("usage: downstream-sif FILE");
        return ExitCode::SUCCESS;
    };
    let sif = File::open(path)
        .map_err(|error| error.to_string())
        .and_then(|file| Sif::open(file).map_err(|error| error.to_string()));
    match sif {
        Ok(sif) => {
            for object in sif.descriptors() {
                println!("{} {} {} bytes", object.id, object.name, object.size);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
