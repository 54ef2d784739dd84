//! An image to a registry of this machine and back: `downstream-registry 127.0.0.1:5000 group/app:1`.

use std::{collections::BTreeMap, error::Error, path::Path, process::ExitCode, sync::Arc};

use nd_fetch::{
    FetchOptions, Fetcher,
    nd_names::Architecture,
    nd_oci::{Compression, Image, ImageSpec, LayerOptions, Layout},
    nd_report::{Cancel, Silent},
    nd_store::Store,
    registry::{Registries, RegistryOptions, parse_reference},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [registry, name] = &arguments[..] else {
        println!("usage: downstream-registry ADDRESS:PORT NAME");
        return ExitCode::SUCCESS;
    };
    match there_and_back(registry, name) {
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

/// Pushes an image, pulls it into a store that has nothing of it, and compares.
fn there_and_back(registry: &str, name: &str) -> Result<String, Box<dyn Error>> {
    let architecture = Architecture::of_this_program().ok_or("an architecture without images")?;
    let reference = parse_reference(&format!("{registry}/{name}"))?;
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("store"))?;
    let fetcher = Fetcher::new(FetchOptions::default(), store, Arc::new(Silent));
    let options = RegistryOptions {
        plain_http: vec![registry.to_owned()],
        ..RegistryOptions::default()
    };
    let registries = Registries::new(fetcher, options);
    let never = Cancel::default();

    let (layout, image) = image(&folder.path().join("layout"), architecture)?;
    let pushed = registries.push_blocking(&layout, &image, &reference, None, &never)?;
    let pulled = registries.pull_blocking(&reference, architecture, &never)?;
    if pulled.digest != image.digest {
        return Err(format!("{} came back as {}", image.digest, pulled.digest).into());
    }
    let (sent, layers) = (pushed.sent, pulled.image.layers.len());
    Ok(format!(
        "{} from {}: {layers} layers, {sent} blobs were sent",
        pulled.digest, pulled.from
    ))
}

/// An image with one layer that holds nothing.
fn image(folder: &Path, architecture: Architecture) -> Result<(Layout, Image), Box<dyn Error>> {
    let layout = Layout::create(folder)?;
    let mut no_files = |_: &_| Err(std::io::ErrorKind::NotFound.into());
    let options = LayerOptions {
        compression: Compression::Gzip,
        clamp: None,
    };
    let layer = layout.write_layer(&[], &mut no_files, options)?;
    let config = format!(
        r#"{{"architecture": "{}", "os": "linux", "rootfs": {{"type": "layers", "diff_ids": ["{}"]}}}}"#,
        architecture.oci(),
        layer.diff_id.oci()
    );
    let image = layout.write_image(&ImageSpec {
        config: serde_json::from_str(&config)?,
        layers: vec![layer.descriptor()],
        annotations: BTreeMap::new(),
        reference: None,
    })?;
    Ok((layout, image))
}
