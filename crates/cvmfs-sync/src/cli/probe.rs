//! `probe` and `client status`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use jiff::SignedDuration;
use nd_fetch::{FetchOptions, SafeUrl};
use nd_host::SystemPrograms;
use nd_terminal::{Align, Failure, FailureKind, Table};
use serde_json::{Value, json};

use super::{args::Context, description::DescriptionArgs};
use crate::{
    probe::{
        ClientState, HostInfo, MOST_SERVERS, Measured, ProbeOptions, Ranked, Remembered, Standing,
        measure, network_of, rank,
    },
    server::{Description, Machine, NoSection, ProxyAddress, Role, ServerAddress, client_servers},
};

/// How servers are asked.
#[derive(Debug, Args)]
pub(super) struct MeasureArgs {
    #[command(flatten)]
    description: DescriptionArgs,
    /// Ask this server instead of those of the description; may be repeated
    #[arg(long, value_name = "URL")]
    server: Vec<ServerAddress>,
    /// Ask through this proxy [default: the first one of the description's clients, else that of the
    /// environment]
    #[arg(long, value_name = "URL")]
    proxy: Option<ProxyAddress>,
    /// How often each server is asked for its first byte
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    samples: u32,
    /// How many seconds each server has for its answers
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,
}

/// Arguments of `probe`.
#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    #[command(flatten)]
    measure: MeasureArgs,
    /// Write the best servers into the configuration of clients
    #[arg(long)]
    write: bool,
    /// Folder that stands for the root of the machine
    #[arg(long, value_name = "DIR", requires = "write")]
    root: Option<PathBuf>,
    /// Ask only the best servers of an earlier run that is no older, on this network, as long as all of
    /// them are good
    #[arg(long, value_name = "HOURS")]
    reuse: Option<u32>,
}

/// Look at the client of this machine
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Show what the mounted client uses, beside what the servers answer
    Status(StatusArgs),
}

/// Arguments of `client status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    measure: MeasureArgs,
    /// Where the repository is mounted [default: `/cvmfs/NAME`]
    #[arg(long, value_name = "DIR")]
    mount: Option<PathBuf>,
}

/// Servers in their order.
struct Probed {
    description: Description,
    measured: Vec<Measured>,
    ranked: Vec<Ranked>,
    /// Whether an earlier ranking said which servers to ask.
    reused: bool,
}

impl Probed {
    /// Asks the servers; only the best of an earlier ranking when one may be reused that is no older than
    /// `reuse`.
    fn new(
        context: &Context,
        args: &MeasureArgs,
        reuse: Option<SignedDuration>,
    ) -> Result<Self, Failure> {
        let description = args.description.load(context)?;
        let client = description.client.as_ref().ok_or(NoSection(Role::Client))?;
        let mut servers = args.server.clone();
        if servers.is_empty() {
            let modes = client.modes.iter().map(|mode| &mode.servers);
            let all = [&client.servers].into_iter().chain(modes);
            for server in all.flat_map(toml::Spanned::get_ref) {
                if !servers.contains(server) {
                    servers.push(server.clone());
                }
            }
        }
        let mut fetch = FetchOptions::from_environment(&context.environment)?;
        if let Some(proxy) = args.proxy.as_ref().or(client.proxies.first()) {
            let proxy: SafeUrl = proxy.as_str().parse()?;
            fetch.proxies.http = Some(proxy);
        }
        let options = ProbeOptions {
            samples: args.samples,
            patience: Duration::from_secs(args.patience),
            keys: description
                .repository
                .public_key
                .key()
                .into_iter()
                .collect(),
            now: context.now,
            fetch,
        };
        let name = description.repository.name.clone();
        let ask = |servers: &[ServerAddress]| {
            let measured = measure(servers, &name, &options, &context.cancel);
            let stopped = context.cancel.check();
            stopped.map_err(|error| Failure::new(FailureKind::Interrupted, error))?;
            let ranked = rank(&measured);
            Ok::<_, Failure>((measured, ranked))
        };
        let network = network();
        // A machine without a cache measures each time.
        let cache = context.environment.cache_dir().ok();
        let path = cache.map(|cache| cache.join(format!("cvmfs/probe/{name}.json")));
        let holds = |found: &Remembered| {
            reuse.is_some_and(|age| found.holds(&network, &servers, context.now, age))
        };
        if let Some(found) = path.as_deref().and_then(Remembered::load).filter(holds) {
            let (measured, ranked) = ask(&found.best)?;
            if ranked.iter().all(|one| one.standing.is_good()) {
                return Ok(Self {
                    description,
                    measured,
                    ranked,
                    reused: true,
                });
            }
        }
        let (measured, ranked) = ask(&servers)?;
        let probed = Self {
            description,
            measured,
            ranked,
            reused: false,
        };
        let found = Remembered::new(network, context.now, &servers, probed.best());
        if let Some(Err(error)) = path.map(|path| found.save(&path)) {
            context.printer.detail(&error.to_string());
        }
        Ok(probed)
    }

    /// The servers that a client should have, best first.
    fn best(&self) -> Vec<ServerAddress> {
        let good = self
            .ranked
            .iter()
            .filter(|ranked| ranked.standing.is_good());
        let server = |ranked: &Ranked| self.measured[ranked.index].server.clone();
        good.map(server).take(MOST_SERVERS).collect()
    }

    fn newest(&self) -> Option<u64> {
        let answers = self
            .measured
            .iter()
            .filter_map(|one| one.answer.as_ref().ok());
        answers.map(|answer| answer.revision).max()
    }

    fn table(&self) -> String {
        let mut table = Table::new([
            ("", Align::Right),
            ("server", Align::Left),
            ("ms", Align::Right),
            ("MB/s", Align::Right),
            ("revision", Align::Right),
            ("distance", Align::Right),
            ("", Align::Left),
        ]);
        for (at, ranked) in self.ranked.iter().enumerate() {
            let one = &self.measured[ranked.index];
            let state = match (&one.answer, ranked.standing) {
                (Err(why), _) => why.to_string(),
                (Ok(_), Standing::Stale(behind)) => format!("stale, {behind} behind"),
                (Ok(_), _) => String::new(),
            };
            let mut row = vec![(at + 1).to_string(), one.server.to_string()];
            if let Ok(answer) = &one.answer {
                row.push(format!("{:.1}", answer.latency().as_secs_f64() * 1e3));
                let rate = |rate: f64| format!("{:.1}", rate / 1e6);
                row.push(
                    answer
                        .transfer
                        .map(|sent| rate(sent.rate()))
                        .unwrap_or_default(),
                );
                row.push(answer.revision.to_string());
                row.push(
                    answer
                        .distance
                        .map(|place| place.to_string())
                        .unwrap_or_default(),
                );
            } else {
                row.resize(6, String::new());
            }
            row.push(state);
            table.row(row);
        }
        table.render_for_terminal()
    }

    fn json(&self) -> Vec<Value> {
        let one = |(at, ranked): (usize, &Ranked)| {
            let one = &self.measured[ranked.index];
            let answer = one.answer.as_ref().ok();
            let (state, behind) = match ranked.standing {
                Standing::Good => ("good", None),
                Standing::Stale(behind) => ("stale", Some(behind)),
                Standing::Failed => ("failed", None),
            };
            json!({
                "rank": at + 1,
                "server": one.server,
                "state": state,
                "behind": behind,
                "why": one.answer.as_ref().err().map(ToString::to_string),
                "latency_ms": answer.map(|answer| answer.latency().as_secs_f64() * 1e3),
                "samples": answer.map(|answer| answer.latencies.len()),
                "bytes_per_second": answer.and_then(|answer| answer.transfer).map(|sent| sent.rate().round()),
                "revision": answer.map(|answer| answer.revision),
                "published": answer.and_then(|answer| answer.published),
                "distance": answer.and_then(|answer| answer.distance),
            })
        };
        self.ranked.iter().enumerate().map(one).collect()
    }
}

/// The network of this machine.
fn network() -> String {
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    network_of(&read("/proc/net/route"), &read("/proc/net/arp"))
}

pub(super) fn probe(context: &Context, args: &ProbeArgs) -> Result<(), Failure> {
    let age = args
        .reuse
        .map(|hours| SignedDuration::from_hours(hours.into()));
    let probed = Probed::new(context, &args.measure, age)?;
    let best = probed.best();
    let written = if args.write {
        write(context, args, &probed.description, &best)?
    } else {
        None
    };
    let printer = &context.printer;
    if context.json() {
        printer.json(&json!({
            "schema_version": 1,
            "repository": probed.description.repository.name.as_str(),
            "servers": probed.json(),
            "best": best,
            "reused": probed.reused,
            "written": written,
        }))?;
    } else {
        printer.data(&probed.table())?;
        if let Some(path) = &written {
            printer.note(&format!("wrote `{path}`"));
        }
    }
    if best.is_empty() {
        let text = "offline: no server answered with the repository";
        return Err(Failure::new(FailureKind::Failed, text));
    }
    Ok(())
}

/// Writes the configuration of clients, and says where. Without servers the one that is there stays;
/// where there is none, clients get all servers and the order by distance.
fn write(
    context: &Context,
    args: &ProbeArgs,
    description: &Description,
    best: &[ServerAddress],
) -> Result<Option<String>, Failure> {
    let root = match &args.root {
        Some(root) => context.environment.absolute(root),
        None => PathBuf::from("/"),
    };
    let fetch = FetchOptions::default();
    let machine = Machine::open(root, None, &context.cancel, context.now, fetch)?;
    let all = description.client.as_ref().ok_or(NoSection(Role::Client))?;
    let file = match best {
        [] => client_servers(description, all.servers.get_ref(), true),
        best => client_servers(description, best, false),
    };
    if best.is_empty() && machine.text(&file.path)?.is_some() {
        return Ok(None);
    }
    machine.put_file(&file)?;
    Ok(Some(file.path))
}

pub(super) fn client(context: &Context, command: &ClientCommand) -> Result<(), Failure> {
    match command {
        ClientCommand::Status(args) => status(context, args),
    }
}

fn status(context: &Context, args: &StatusArgs) -> Result<(), Failure> {
    let probed = Probed::new(context, &args.measure, None)?;
    let name = &probed.description.repository.name;
    let mount = match &args.mount {
        Some(mount) => context.environment.absolute(mount),
        None => PathBuf::from("/cvmfs").join(name.as_str()),
    };
    // A mount on demand appears when somebody looks into it.
    let looked = fs_err::read_dir(&mount).map(|_| ());
    let state = ClientState::of_mount(&mount);
    let programs = SystemPrograms::new(&context.environment);
    let asked = HostInfo::ask(name, &programs, &context.cancel);
    let (info, silent) = match asked {
        Ok(info) => (info, None),
        Err(error) => (HostInfo::default(), Some(error.to_string())),
    };
    let behind = match (state.revision, probed.newest()) {
        (Some(own), Some(newest)) => Some(newest.saturating_sub(own)),
        _ => None,
    };
    let host = info
        .active
        .map(|active| info.servers[active].url.clone())
        .or(state.host.clone());
    // Clients name the repository on a server, descriptions the server.
    let rank_of = |url: &str| {
        let place = |ranked: &Ranked| probed.measured[ranked.index].server.repository(name) == url;
        probed.ranked.iter().position(place).map(|at| at + 1)
    };
    let rank = host.as_deref().and_then(rank_of);
    let printer = &context.printer;
    if context.json() {
        let servers: Vec<Value> = info
            .servers
            .iter()
            .map(|server| json!({ "url": server.url, "note": server.note, "rank": rank_of(&server.url) }))
            .collect();
        printer.json(&json!({
            "schema_version": 1,
            "repository": name.as_str(),
            "mount": mount.display().to_string(),
            "mounted": state.revision.is_some(),
            "client": {
                "name": state.name,
                "revision": state.revision,
                "root": state.root,
                "host": host,
                "proxy": state.proxy,
                "behind": behind,
                "rank": rank,
                "servers": servers,
                "silent": silent,
            },
            "servers": probed.json(),
        }))?;
    } else {
        printer.data(&probed.table())?;
        let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        printer.data(&format!(
            "client: revision {}, server {}, proxy {}",
            known(state.revision.map(|revision| revision.to_string())),
            known(host.clone()),
            known(state.proxy.clone()),
        ))?;
        for server in &info.servers {
            let rank = known(rank_of(&server.url).map(|rank| format!("{rank}.")));
            printer.data(&format!("  {rank} {} ({})", server.url, server.note))?;
        }
    }
    if let Some(why) = &silent {
        printer.note(&format!(
            "the client could not be asked for its servers: {why}"
        ));
    }
    if let (Some(own), Some(newest)) = (state.revision, probed.newest())
        && own < newest
    {
        printer.warn(&format!(
            "the client has revision {own}, the servers have {newest}"
        ));
    }
    if let (Some(rank @ 2..), Some(best)) = (rank, probed.best().first()) {
        printer.note(&format!(
            "the client's server is number {rank}; the best is `{best}`"
        ));
    }
    if state.revision.is_none() {
        let text = match looked {
            Ok(()) => format!("`{}` is no mounted repository", mount.display()),
            Err(error) => error.to_string(),
        };
        return Err(Failure::new(FailureKind::Failed, text));
    }
    Ok(())
}
