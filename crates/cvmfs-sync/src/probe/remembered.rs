//! What an earlier probe found, for the network that it was on.

use std::{io, path::Path};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::server::ServerAddress;

/// Version of the document.
const VERSION: u32 = 1;
/// Larger documents are none, in bytes.
const LONGEST: u64 = 1 << 20;

/// A ranking and what it holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    schema_version: u32,
    network: String,
    /// When, in seconds since 1970.
    measured: i64,
    /// Everything that was asked.
    asked: Vec<ServerAddress>,
    /// The servers that a client should have, best first.
    pub best: Vec<ServerAddress>,
}

impl Remembered {
    /// What was measured now, by asking `asked`, on the network called `network`.
    pub fn new(
        network: String,
        now: Timestamp,
        asked: &[ServerAddress],
        best: Vec<ServerAddress>,
    ) -> Self {
        Self {
            schema_version: VERSION,
            network,
            measured: now.as_second(),
            asked: asked.to_vec(),
            best,
        }
    }

    /// Reads what [`Self::save`] wrote; `None` when there is nothing of use.
    pub fn load(path: &Path) -> Option<Self> {
        let is_short = fs_err::metadata(path).ok()?.len() <= LONGEST;
        let text = is_short
            .then(|| fs_err::read_to_string(path).ok())
            .flatten()?;
        let found: Self = serde_json::from_str(&text).ok()?;
        (found.schema_version == VERSION).then_some(found)
    }

    /// Writes it to `path`, in the place of an older one.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let text = serde_json::to_vec(self)?;
        nd_host::write_atomic(path, &text)
    }

    /// Whether it may stand for a new measurement: made on the same network, of the same servers, no
    /// longer ago than `age`, and with a server to try.
    pub fn holds(
        &self,
        network: &str,
        asked: &[ServerAddress],
        now: Timestamp,
        age: SignedDuration,
    ) -> bool {
        let passed = SignedDuration::from_secs(now.as_second().saturating_sub(self.measured));
        self.network == network
            && self.asked == asked
            && !self.best.is_empty()
            && self.best.iter().all(|one| asked.contains(one))
            && !passed.is_negative()
            && passed <= age
    }
}

/// The network that this machine is on, told by the gateway of its default route, from the texts of
/// `/proc/net/route` and `/proc/net/arp`: two networks may use the same addresses, but not with the same
/// device. Without a default route all networks are one.
pub fn network_of(routes: &str, neighbours: &str) -> String {
    let default = routes.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (interface, to, gateway) = (words.next()?, words.next()?, words.next()?);
        (to == "00000000").then_some((interface, gateway))
    });
    let Some((interface, gateway)) = default else {
        return "none".to_owned();
    };
    // The number is in the byte order of the machine, and every machine of ours is little-endian.
    let number = u32::from_str_radix(gateway, 16).unwrap_or_default();
    let address = std::net::Ipv4Addr::from(number.to_le_bytes()).to_string();
    let device = neighbours.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words.first() == Some(&address.as_str()) && words.last() == Some(&interface))
            .then(|| words.get(3).copied())
            .flatten()
    });
    // What is kept does not say where the machine was.
    let told = format!("{address} {}", device.unwrap_or("unknown"));
    nd_names::Sha256::of(told).hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0102A8C0\t0003\neth0\t0002A8C0\t00000000\t0001\n";
    const ARP: &str = "IP address HW type Flags HW address Mask Device\n192.168.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0\n";

    #[test]
    fn a_ranking_holds_for_its_network_and_its_servers_for_a_while() {
        let home = network_of(ROUTES, ARP);
        assert_ne!(home, network_of(ROUTES, &ARP.replace(":05", ":06")));
        assert_eq!(network_of("Iface\n", ARP), "none");
        let servers: Vec<ServerAddress> = ["http://a.example", "http://b.example"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let then: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let found = Remembered::new(home.clone(), then, &servers, servers[..1].to_vec());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        found.save(&path).unwrap();
        let found = Remembered::load(&path).unwrap();
        let day = SignedDuration::from_hours(24);
        let after = |hours| then + SignedDuration::from_hours(hours);
        assert!(found.holds(&home, &servers, after(24), day));
        assert!(!found.holds(&home, &servers, after(25), day));
        assert!(!found.holds(&home, &servers, after(-1), day));
        assert!(!found.holds(&home, &servers[..1], after(1), day));
        assert!(!found.holds("none", &servers, after(1), day));
        fs_err::write(&path, "{}").unwrap();
        assert_eq!(Remembered::load(&path), None);
    }
}
