//! Pulls an image from a registry of this machine: `downstream-registry 127.0.0.1:5000 IMAGE`.

use std::{error::Error, process::ExitCode, sync::Arc};

use nd_fetch::{
    FetchOptions, Fetcher,
    nd_names::Architecture,
    nd_report::{Cancel, Silent},
    nd_store::Store,
    registry::{Reference, Registries, RegistryOptions},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [registry, image] = &arguments[..] else {
        println!("usage: downstream-registry ADDRESS:PORT IMAGE");
        return ExitCode::SUCCESS;
    };
    match pull(registry, image) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn pull(registry: &str, image: &str) -> Result<String, Box<dyn Error>> {
    let reference: Reference = format!("{registry}/{image}").parse()?;
    let architecture = Architecture::of_this_program().ok_or("an architecture without images")?;
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("store"))?;
    let fetcher = Fetcher::new(FetchOptions::default(), store, Arc::new(Silent));
    let options = RegistryOptions {
        plain_http: vec![registry.to_owned()],
        ..RegistryOptions::default()
    };
    let registries = Registries::new(fetcher, options);
    let pulled = registries.pull_blocking(&reference, architecture, &Cancel::default())?;
    let layers = pulled.image.layers.len();
    Ok(format!(
        "{} from {}: {layers} layers",
        pulled.digest, pulled.from
    ))
}
