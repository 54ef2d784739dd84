//! A new recipe that passes every check.

use std::{
    io,
    path::{Path, PathBuf},
};

use nd_host::write_atomic;

use crate::docs::SCHEMAS;

/// What a new recipe is about.
#[derive(Debug, Clone, Copy)]
pub struct NewRecipe<'a> {
    /// Its name and that of its folder.
    pub name: &'a str,
    /// Version of the tool.
    pub version: &'a str,
    /// Topic of the container.
    pub category: &'a str,
}

/// Why no recipe was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The name cannot be a container's.
    #[error(
        "`{0}` is no name: lower-case letters, digits, `.` and `-`, beginning with a letter or digit"
    )]
    Name(String),
    /// The version cannot be part of a container's name.
    #[error(
        "`{0}` is no version: letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
    )]
    Version(String),
    /// The folder is there.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// The disk refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A ring, until the tool's own icon takes its place.
const ICON: &str = "iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQMAAACQp+OdAAAABlBMVEX///8AgICD+cgVAAAAAnRSTlMA/1uRIrUAAACGSURBVHjalZKxDYAwEAMPUVAyAqMwWhiNUTICJQUi8PlghJBQ+OqK5GPHhj6dswApD7QOM51D9CN2aHBYGR22G4LD/gWpzH8IBWJbYKIAth7bblowKSYTU2nCyea6J8TsshJmaP7fej8qPVIozXJx+5JTea//sZos3gkqXMWtAqgSKslVmwN5a5n1Q64QxgAAAABJRU5ErkJggg==";

/// The files of a new recipe: name and text.
pub fn files(new: &NewRecipe<'_>) -> Result<Vec<(&'static str, String)>, InitError> {
    let ordinary = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let name_fits = new.name.starts_with(ordinary)
        && new
            .name
            .chars()
            .all(|c| ordinary(c) || matches!(c, '.' | '-'));
    if !name_fits {
        return Err(InitError::Name(new.name.to_owned()));
    }
    let version_fits = new.version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && new
            .version
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !version_fits {
        return Err(InitError::Version(new.version.to_owned()));
    }
    let NewRecipe {
        name,
        version,
        category,
    } = new;
    let schema = |file: &str| format!("# yaml-language-server: $schema={SCHEMAS}{file}\n");
    let build = format!(
        "{}name: {name}
version: '{version}'
architectures:
  - x86_64

# licences of what the container holds, as SPDX expressions (https://spdx.org/licenses)
# copyright:
#   - license: MIT
#     url: https://example.org/LICENSE

structured_readme:
  description: |-
    What {name} does, in one or two sentences.
  example: |-
    {name} --help
  documentation: ''
  citation: ''

categories:
  - {category}

build:
  kind: neurodocker
  base-image: debian:bookworm
  bootstrap: debian:bookworm
  pkg-manager: apt
  directives:
    - install:
        - ca-certificates
    - run:
        - mkdir -p /opt/{name}/bin
        - printf '#!/bin/sh\\necho {name} {{{{ context.version }}}}\\n' > /opt/{name}/bin/{name}
        - chmod 755 /opt/{name}/bin/{name}
    - environment:
        PATH: /opt/{name}/bin:$PATH

# files that steps use: `{{{{ get_file(\"archive\") }}}}` in `run`
# files:
#   - name: archive
#     url: https://example.org/{name}-{{{{ context.version }}}}.tar.gz
#     sha256: digest of the file, 64 hex digits

deploy:
  bins:
    - {name}

# a square PNG image; this one is a placeholder
icon: data:image/png;base64,{ICON}
",
        schema("build.schema.json")
    );
    let suite = format!(
        "{}name: {name}
version: '{version}'
tests:
  - name: says its version
    command: {name}
    expected_output_contains: ${{version}}
",
        schema("fulltest.schema.json")
    );
    Ok(vec![("build.yaml", build), ("fulltest.yaml", suite)])
}

/// Writes a new recipe into the folder of recipes and gives the files it made.
pub fn write(recipes: &Path, new: &NewRecipe<'_>) -> Result<Vec<PathBuf>, InitError> {
    let files = files(new)?;
    let folder = recipes.join(new.name);
    match fs_err::create_dir(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(InitError::Exists(folder));
        }
        Err(error) => return Err(error.into()),
    }
    let mut made = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        write_atomic(&path, text.as_bytes())?;
        made.push(path);
    }
    Ok(made)
}
