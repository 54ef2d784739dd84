//! Our result in the form of the recorded ones.

use std::{path::Path, sync::Arc};

use nd_names::Architecture;
use nd_report::{FileId, Sink};
use neurocontainers_recipe::{
    Compat, Compiled, LoadOptions, Profile, RecipeFiles, Request, compile, load,
    resolved::FileSource,
};
use neurodocker::Templates;
use serde_json::{Map, Value, json};

use crate::{
    directory::stem,
    normal,
    report::{self, Difference},
};

/// Home folder that the recorded results were made with.
const HOME: &str = "/home/builder";

/// Build date of the recorded release records.
const DATE: &str = "20260101";

/// The installation templates that the recorded results were made with, or the built-in ones.
pub(crate) fn templates(root: &Path) -> Arc<Templates> {
    let Ok(entries) = fs_err::read_dir(root.join("templates")) else {
        return Arc::new(Templates::new());
    };
    let mut templates = Templates::empty();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let mut sink = Sink::new();
        if let Ok(bytes) = fs_err::read(&path) {
            templates.add(&stem(&path), &bytes, FileId(0), &mut sink);
        }
        for problem in sink.diagnostics() {
            println!("templates {}: {}", path.display(), problem.message);
        }
    }
    Arc::new(templates)
}

fn options(profile: Profile) -> LoadOptions<'static> {
    LoadOptions {
        compat: Compat::Upstream,
        profile,
        ..LoadOptions::default()
    }
}

/// Whether the recipe passes the checks of a profile.
fn is_valid(files: &dyn RecipeFiles, profile: Profile) -> bool {
    load(files, "demo", &options(profile), &mut Sink::new()).is_some()
}

/// What a recorded result asked for; `None` for an architecture nobody knows.
fn request(recorded: &Value, templates: &Arc<Templates>) -> Option<Request> {
    let text = |key: &str| recorded[key].as_str();
    let mut request = Request::new(Architecture::X86_64);
    request.architecture = match text("architecture") {
        None | Some("") => None,
        Some(text) => Some(text.parse().ok()?),
    };
    request.variant = String::from(text("variant").unwrap_or_default());
    request.ignore_architectures = recorded["ignore_architecture"] == json!(true);
    request.upstream_home = String::from(HOME);
    request.templates = Some(Arc::clone(templates));
    if let Some(jobs) = recorded["parallel_jobs"].as_u64() {
        request.parallel_jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    }
    for (key, on) in recorded["options"].as_object().into_iter().flatten() {
        let value = if on == &json!(true) { "true" } else { "false" };
        request.options.push((key.clone(), value.to_owned()));
    }
    for key in recorded["local_keys"].as_array().into_iter().flatten() {
        request
            .local_contexts
            .extend(key.as_str().map(str::to_owned));
    }
    Some(request)
}

/// Compiles and renders in upstream's mode, or says what was in the way.
fn compile_and_render(
    files: &dyn RecipeFiles,
    recorded: &Value,
    templates: &Arc<Templates>,
) -> Result<(Compiled, String), String> {
    let mut sink = Sink::new();
    let first = |sink: Sink| {
        let found = sink.into_diagnostics().into_iter();
        let mut errors = found.filter(|found| found.severity == nd_report::Severity::Error);
        errors
            .next()
            .map_or_else(String::new, |found| found.message)
    };
    let request = request(&recorded["request"], templates).ok_or("unsupported architecture")?;
    let Some(recipe) = load(files, "demo", &options(Profile::Lenient), &mut sink) else {
        return Err(first(sink));
    };
    let Some(compiled) = compile(&recipe, &request, files, &mut sink) else {
        return Err(first(sink));
    };
    let dockerfile = compiled
        .dockerfile(Compat::Upstream)
        .map_err(|problem| problem.to_string())?;
    Ok((compiled, dockerfile))
}

/// What differs between a recorded result and ours.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// What must not differ.
    pub(crate) differences: Vec<Difference>,
    /// What may differ and should not: the exact text of the Dockerfile, whose instructions count,
    /// and cache ids, which name folders and hash the output of a YAML emitter.
    pub(crate) beyond: Vec<Difference>,
}

/// Compares everything of a recorded result with ours.
pub(crate) fn compare(
    files: &dyn RecipeFiles,
    recorded: &Value,
    templates: &Arc<Templates>,
) -> Compared {
    let mut all = Compared::default();
    let out = &mut all.differences;
    for (name, profile) in [("strict", Profile::Strict), ("lenient", Profile::Lenient)] {
        let expected = &recorded["validation"][name]["ok"];
        if !expected.is_null() {
            let found = is_valid(files, profile);
            report::value(
                &format!("validation.{name}.ok"),
                expected,
                &json!(found),
                out,
            );
        }
    }
    compare_variants(files, recorded, out);
    let (compiled, dockerfile) = match compile_and_render(files, recorded, templates) {
        Ok(done) => done,
        Err(message) => {
            if recorded["status"] != json!("error") {
                report::text("status", "ok", &format!("error: {message}"), out);
            }
            return all;
        }
    };
    if recorded["status"] == json!("error") {
        let expected = format!("error: {}", recorded["error"]["message"]);
        report::text("status", &expected, "ok", out);
        return all;
    }
    let found = ours(&compiled, &dockerfile);
    let expected = recorded.as_object().into_iter().flatten();
    for (key, expected) in expected {
        let Some(found) = found.get(key) else {
            continue;
        };
        match (key.as_str(), expected, found) {
            // Older and newer records say more or less about the identity.
            ("identity", Value::Object(expected), Value::Object(found)) => {
                for (key, expected) in expected {
                    let found = found.get(key).unwrap_or(&Value::Null);
                    report::value(&format!("identity.{key}"), expected, found, out);
                }
            }
            ("dockerfile" | "run_cache_ids", ..) => {
                report::value(key, expected, found, &mut all.beyond);
            }
            ("instructions" | "staging", ..) => {
                let mut exact = Vec::new();
                report::value(key, expected, found, &mut exact);
                if !exact.is_empty() {
                    let (expected, found) = (normal::cache_ids(expected), normal::cache_ids(found));
                    report::value(key, &expected, &found, out);
                    all.beyond.extend(exact);
                }
            }
            _ => report::value(key, expected, found, out),
        }
    }
    all
}

fn compare_variants(files: &dyn RecipeFiles, recorded: &Value, out: &mut Vec<Difference>) {
    let expected = &recorded["variants"];
    if expected.is_null() && recorded["variants_error"].is_null() {
        return;
    }
    let mut sink = Sink::new();
    let found = load(files, "demo", &options(Profile::Lenient), &mut sink)
        .and_then(|recipe| recipe.variants(&mut sink));
    let found = found
        .and_then(|found| serde_json::to_value(found).ok())
        .unwrap_or(Value::Null);
    let found = match found {
        Value::Array(all) => all
            .into_iter()
            .map(|one| json!({
                "variant": one["variant"], "name": one["name"], "architecture": one["architecture"]
            }))
            .collect(),
        other => other,
    };
    report::value("variants", expected, &found, out);
}

/// Our result with the keys of a recorded one.
fn ours(compiled: &Compiled, dockerfile: &str) -> Map<String, Value> {
    let identity = &compiled.identity;
    let staging = &compiled.staging;
    let files: Vec<Value> = staging
        .files
        .iter()
        .map(|file| {
            let kind = match file.source() {
                FileSource::Contents(_) => "contents",
                FileSource::Filename(_) => "filename",
                FileSource::Url(_) => "url",
                FileSource::Missing => "none",
            };
            json!({
                "name": file.name,
                "kind": kind,
                "url": file.url,
                "filename": file.filename,
                "contents": file.contents,
                "guest_name": file.guest_name,
                "executable": file.executable,
                "retry": file.retry,
            })
        })
        .collect();
    let copies: Vec<Value> = staging
        .copy_sources
        .iter()
        .map(|copy| json!({ "source": copy.source, "declared_name": copy.declared_name }))
        .collect();
    let release = DATE
        .parse()
        .ok()
        .and_then(|date| compiled.release(&date).to_json().ok())
        .and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let urls: Vec<&String> = compiled.readme_url.iter().collect();
    let found = json!({
        "identity": {
            "name": identity.name,
            "base_name": identity.base_name,
            "variant": identity.variant,
            "recipe_variant": identity.recipe_variant,
            "version": identity.version,
            "architecture": identity.architecture,
            "tag": identity.tag(),
            "options": identity.presets,
        },
        "dockerfile_name": identity.dockerfile_name(),
        "dockerfile": dockerfile,
        "instructions": normal::instructions(dockerfile),
        "pkg_manager": compiled.package_manager,
        "readme": compiled.readme,
        "readme_from_url": urls,
        "deploy": compiled.deploy,
        "staging": {
            "files": files,
            "copy_sources": copies,
            "cache_mounts": staging.cache_mounts,
        },
        "run_cache_ids": staging.cache_texts,
        "release": { "path": identity.release_path(), "data": release },
    });
    match found {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
