//! Combines the lists `host`, `hostaddr` and `port` into one endpoint each.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS>

mod host_rule;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::error::{ConnInfoError, Mistakes};
use super::settings::Settings;

const DEFAULT_PORT: u16 = 5432;

/// The compiled-in socket folders of servers: of Debian and Red Hat, then of the upstream sources.
pub(super) const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// All endpoints of the database, never empty.
#[derive(Debug)]
pub(super) struct Endpoints {
    list: Vec<Entry>,
    /// `load_balance_hosts=random`.
    pub(super) random: bool,
}

/// One entry of the lists; without a place it is the default one, determined again each time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    place: Option<Place>,
    port: u16,
}

/// One endpoint to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) place: Place,
    pub(super) port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `name` is what the certificate must carry; with an `address` it is not looked up.
    Tcp {
        name: String,
        address: Option<IpAddr>,
    },
    /// The folder of a Unix-domain socket.
    Folder(PathBuf),
}

impl Endpoints {
    /// Reads the lists; `None` after a mistake.
    pub(super) fn read(settings: &Settings, mistakes: &mut Mistakes) -> Option<Self> {
        let orders = [("disable", false), ("random", true)];
        let random = mistakes.catch(settings.choice("load_balance_hosts", &orders));
        let places = mistakes.catch(places(settings));
        let ports = mistakes.catch(ports(settings));
        let list = mistakes.catch(pair_up(settings, places?, ports?));
        Some(Self {
            list: list?,
            random: random?.unwrap_or(false),
        })
    }

    /// The endpoints in the order to try them; a new random order each time if configured.
    pub(super) fn in_order(&self) -> Vec<Endpoint> {
        let mut endpoints: Vec<_> = self.list.iter().map(Entry::endpoint).collect();
        if self.random {
            let order = RandomState::new();
            let mut numbered: Vec<_> = endpoints.into_iter().enumerate().collect();
            numbered.sort_by_cached_key(|(number, _)| order.hash_one(number));
            endpoints = numbered.into_iter().map(|(_, endpoint)| endpoint).collect();
        }
        endpoints
    }

    /// Whether any of them can use TLS now: a Unix-domain socket never does.
    pub(super) fn need_tls(endpoints: &[Endpoint]) -> bool {
        endpoints
            .iter()
            .any(|endpoint| matches!(endpoint.place, Place::Tcp { .. }))
    }
}

impl Entry {
    fn endpoint(&self) -> Endpoint {
        let default = || default_place(&SOCKET_FOLDERS, self.port);
        Endpoint {
            place: self.place.clone().unwrap_or_else(default),
            port: self.port,
        }
    }
}

/// The place without `host` and `hostaddr`. libpq has one compiled-in socket folder; here it is
/// the first that has a socket for the port. Without any, the server may run in a container with
/// its port published, so it is `localhost`.
fn default_place(folders: &[&str], port: u16) -> Place {
    let socket = |folder: &&&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    match folders.iter().find(socket) {
        Some(folder) => Place::Folder(folder.into()),
        None => Place::Tcp {
            name: "localhost".to_owned(),
            address: None,
        },
    }
}

/// One place for each host. `host` and `hostaddr` must have equal lengths if both are set. Without
/// any there is one default place.
fn places(settings: &Settings) -> Result<Vec<Option<Place>>, ConnInfoError> {
    let (hosts, addresses) = (list(settings, "host"), list(settings, "hostaddr"));
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        let rule = format!("has {} values for {} hosts", addresses.len(), hosts.len());
        return Err(settings.broken("hostaddr", rule));
    }
    let count = hosts.len().max(addresses.len()).max(1);
    let at = |list: &[&str], index: usize| list.get(index).copied().unwrap_or_default().to_owned();
    let place = |index| place(settings, at(&hosts, index), &at(&addresses, index));
    (0..count).map(place).collect()
}

/// One place; `None` is the default, with neither a host nor an address.
fn place(settings: &Settings, host: String, address: &str) -> Result<Option<Place>, ConnInfoError> {
    if let Some(rule) = host_rule::broken_by(&host) {
        return Err(settings.broken("host", rule));
    }
    let folder = host.starts_with('/');
    if !address.is_empty() {
        let address = numeric(settings, address)?;
        // Without a host name the certificate is checked against the address.
        let unnamed = folder || host.is_empty();
        let name = if unnamed { address.to_string() } else { host };
        return Ok(Some(Place::Tcp {
            name,
            address: Some(address),
        }));
    }
    Ok(match host {
        host if host.is_empty() => None,
        host if folder => Some(Place::Folder(host.into())),
        name => Some(Place::Tcp {
            name,
            address: None,
        }),
    })
}

fn numeric(settings: &Settings, address: &str) -> Result<IpAddr, ConnInfoError> {
    let rule = "must be a numeric IPv4 or IPv6 address";
    address
        .trim()
        .parse()
        .map_err(|_| settings.broken("hostaddr", rule))
}

/// Adds a port to each place: as many ports as places, or a single one for all.
fn pair_up(
    settings: &Settings,
    places: Vec<Option<Place>>,
    ports: Vec<u16>,
) -> Result<Vec<Entry>, ConnInfoError> {
    if ports.len() != 1 && ports.len() != places.len() {
        let rule = format!("has {} values for {} hosts", ports.len(), places.len());
        return Err(settings.broken("port", rule));
    }
    let pairs = places.into_iter().zip(ports.into_iter().cycle());
    Ok(pairs.map(|(place, port)| Entry { place, port }).collect())
}

fn ports(settings: &Settings) -> Result<Vec<u16>, ConnInfoError> {
    let text = settings.text("port").unwrap_or_default();
    text.split(',')
        .map(|port| port_number(settings, port))
        .collect()
}

fn list<'a>(settings: &'a Settings, keyword: &'static str) -> Vec<&'a str> {
    let text = settings.text(keyword);
    text.map(|text| text.split(',').collect())
        .unwrap_or_default()
}

fn port_number(settings: &Settings, text: &str) -> Result<u16, ConnInfoError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let number = text.parse().ok().filter(|&port| port != 0);
    number.ok_or_else(|| settings.broken("port", "must be a number from 1 to 65535"))
}

#[cfg(test)]
mod tests;
