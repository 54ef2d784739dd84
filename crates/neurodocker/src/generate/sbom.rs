//! What the templates of a recipe install, as an SPDX document.

use serde_json::{Value, json};

use crate::reproenv::{Provenance, Recipe};

/// SPDX 2.3 in JSON. The document has no time of its own, so that the same recipe gives the same
/// document; it describes the recipe, not what package managers bring into the image.
pub(super) fn spdx(recipe: &Recipe) -> String {
    let packages: Vec<Value> = recipe
        .templates
        .iter()
        .filter(|used| !used.name.starts_with('_'))
        .enumerate()
        .map(|(index, used)| package(index, used))
        .collect();
    let relationships: Vec<Value> = packages
        .iter()
        .map(|package| {
            json!({
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": package["SPDXID"],
            })
        })
        .collect();
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "neurodocker recipe",
        "documentNamespace": "https://neurodesk.org/spdx/neurodocker-recipe",
        "creationInfo": {
            "creators": [format!("Tool: neurodocker-{}", env!("CARGO_PKG_VERSION"))],
            "created": "1970-01-01T00:00:00Z",
        },
        "packages": packages,
        "relationships": relationships,
    });
    format!("{document:#}\n")
}

fn package(index: usize, used: &Provenance) -> Value {
    let mut package = json!({
        "SPDXID": format!("SPDXRef-Template-{index}-{}", used.name.replace('_', "-")),
        "name": used.name,
        "versionInfo": used.arguments.get("version").map_or("NOASSERTION", String::as_str),
        // An address that the build completes is none yet, nor is a page about a package.
        "downloadLocation": used
            .url
            .as_deref()
            .filter(|url| !url.contains('$') && !url.starts_with("https://packages.debian.org/"))
            .unwrap_or("NOASSERTION"),
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "comment": format!("installed by method `{}` of the template", used.method),
    });
    if let Some(license) = &used.license {
        let words = license.chars().any(char::is_whitespace) && !license.contains(" OR ");
        let key = if words {
            "licenseComments"
        } else {
            "licenseDeclared"
        };
        package[key] = license.as_str().into();
    }
    if let Some(homepage) = &used.homepage {
        package["homepage"] = homepage.as_str().into();
    }
    if let Some(sum) = &used.sha256 {
        package["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": sum }]);
    }
    package
}
