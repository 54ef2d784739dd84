//! `cache`.

use std::collections::BTreeMap;

use nd_store::ItemKind;
use nd_terminal::{Align, Failure, Table, human_bytes};
use serde_json::json;

use super::{args::CacheCommand, session::Session};

pub(super) fn run(session: &Session, command: &CacheCommand) -> Result<(), Failure> {
    let store = session.store()?;
    match command {
        CacheCommand::List => {
            let mut totals: BTreeMap<ItemKind, (u64, u64)> = BTreeMap::new();
            for item in store.list()? {
                let total = totals.entry(item.kind).or_default();
                *total = (total.0 + 1, total.1 + item.bytes);
            }
            if session.json() {
                let kinds: serde_json::Map<String, serde_json::Value> = totals
                    .iter()
                    .map(|(kind, (count, bytes))| {
                        (
                            word(*kind).to_owned(),
                            json!({ "count": count, "bytes": bytes }),
                        )
                    })
                    .collect();
                let document =
                    json!({ "path": store.root().display().to_string(), "items": kinds });
                return session.printer.json(&document);
            }
            let mut table = Table::new([
                ("kind", Align::Left),
                ("count", Align::Right),
                ("size", Align::Right),
            ]);
            for (kind, (count, bytes)) in totals {
                table.row([word(kind).to_owned(), count.to_string(), human_bytes(bytes)]);
            }
            let text = format!(
                "{}\n{}",
                store.root().display(),
                table.render_for_terminal()
            );
            session.printer.data(&text)
        }
        CacheCommand::Prune { keep } => {
            let pruned = store.prune(*keep)?;
            if session.json() {
                return session.printer.json(&json!({
                    "items": pruned.items,
                    "bytes": pruned.bytes,
                    "left": pruned.left,
                }));
            }
            session.printer.data(&format!(
                "removed {} items of {}, {} are left\n",
                pruned.items,
                human_bytes(pruned.bytes),
                human_bytes(pruned.left)
            ))
        }
    }
}

fn word(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Blob => "blobs",
        ItemKind::Index => "indexes",
        ItemKind::Record => "records",
        ItemKind::Tree => "trees",
        ItemKind::Partial => "partial",
    }
}
