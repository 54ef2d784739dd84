//! `config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nd_host::Environment;
use nd_terminal::{Align, Failure, OutputFormat, Printer, Table};
use serde_json::{Map, json};

use super::{
    files::{Files, write},
    session::DeploymentArgs,
};
use crate::deployment::{KEYS, Value, migrate};

/// Commands about the deployment.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every value, and where it comes from
    Show(DeploymentArgs),
    /// Make a deployment file from an older `config.ini`
    Migrate(MigrateArgs),
}

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// The older file
    config: PathBuf,
    /// File that gets the result; else standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(command: &ConfigCommand, printer: &Printer) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(args) => show(args, printer),
        ConfigCommand::Migrate(args) => carry_over(args, printer),
    }
}

fn show(args: &DeploymentArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let settings = args.resolve(&environment, printer)?;
    if printer.format() == OutputFormat::Json {
        let all: Map<String, serde_json::Value> = settings
            .0
            .iter()
            .map(|(key, setting)| {
                let shown = json!({ "value": setting.value, "origin": setting.origin });
                ((*key).to_owned(), shown)
            })
            .collect();
        return printer.json(&json!({ "schema_version": 1, "settings": all }));
    }
    let mut table = Table::new([
        ("key", Align::Left),
        ("value", Align::Left),
        ("from", Align::Left),
    ]);
    for key in KEYS {
        let Some(setting) = settings.0.get(key.name) else {
            table.row([key.name, "", ""]);
            continue;
        };
        let value = match &setting.value {
            Value::Text(text) => text.clone(),
            Value::List(list) => list.join(" "),
            Value::Flag(flag) => flag.to_string(),
        };
        table.row([key.name, &value, &setting.origin]);
    }
    printer.data(&table.render_for_terminal())
}

fn carry_over(args: &MigrateArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let file = files.text(&args.config)?;
    let text = files.texts[0].text.clone();
    let migrated = migrate(&text, file, &mut files.sink);
    files.end(printer)?;
    write(args.output.as_deref(), &migrated.text, printer)
}
