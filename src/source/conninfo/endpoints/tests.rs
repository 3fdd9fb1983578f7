use std::collections::HashSet;

use super::super::settings::tests::settings;
use super::*;

fn tcp(name: &str, port: u16) -> Entry {
    Entry {
        place: Some(Place::Tcp {
            name: name.to_owned(),
            address: None,
        }),
        port,
    }
}

fn at(name: &str, address: &str, port: u16) -> Entry {
    let address = Some(address.parse().expect("an address"));
    Entry {
        place: Some(Place::Tcp {
            name: name.to_owned(),
            address,
        }),
        port,
    }
}

fn folder(path: &str, port: u16) -> Entry {
    Entry {
        place: Some(Place::Folder(path.into())),
        port,
    }
}

fn default(port: u16) -> Entry {
    Entry { place: None, port }
}

/// The endpoints, or the mistakes.
fn entries(text: &str) -> Result<Vec<Entry>, Vec<String>> {
    let mut mistakes = Mistakes::default();
    let endpoints = Endpoints::read(&settings(text), &mut mistakes);
    let told = || {
        mistakes
            .into_vec()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    endpoints.map(|endpoints| endpoints.list).ok_or_else(told)
}

#[test]
fn lists_are_brought_together() {
    for (text, expected) in [
        ("", vec![default(5432)]),
        ("port=5433", vec![default(5433)]),
        ("host=a", vec![tcp("a", 5432)]),
        ("host=a,b", vec![tcp("a", 5432), tcp("b", 5432)]),
        ("host=a,b port=1", vec![tcp("a", 1), tcp("b", 1)]),
        ("host=a,b port=1,2", vec![tcp("a", 1), tcp("b", 2)]),
        ("host=a,b port=1,", vec![tcp("a", 1), tcp("b", 5432)]),
        (
            "host=a,,/run/pg port=1,2,3",
            vec![tcp("a", 1), default(2), folder("/run/pg", 3)],
        ),
        (
            "hostaddr=127.0.0.1",
            vec![at("127.0.0.1", "127.0.0.1", 5432)],
        ),
        ("host=a hostaddr=::1", vec![at("a", "::1", 5432)]),
        ("host=/run/pg hostaddr=::1", vec![at("::1", "::1", 5432)]),
        (
            "host=a,b hostaddr=,10.0.0.1",
            vec![tcp("a", 5432), at("b", "10.0.0.1", 5432)],
        ),
        ("host=::1 port=' 1 '", vec![tcp("::1", 1)]),
    ] {
        assert_eq!(entries(text), Ok(expected), "{text}");
    }
}

#[test]
fn mistakes_name_the_list_and_the_rule() {
    for (text, expected) in [
        (
            "host=a,b port=1,2,3",
            "port (connection string) has 3 values for 2 hosts",
        ),
        (
            "port=1,2",
            "port (connection string) has 2 values for 1 hosts",
        ),
        (
            "host=a hostaddr=1.1.1.1,1.1.1.2",
            "hostaddr (connection string) has 2 values for 1 hosts",
        ),
        (
            "hostaddr=example.com",
            "hostaddr (connection string) must be a numeric IPv4 or IPv6 address",
        ),
        (
            "host=@pg",
            "host (connection string) must not begin with `@`: abstract sockets are not supported",
        ),
        (
            "port=0",
            "port (connection string) must be a number from 1 to 65535",
        ),
        (
            "port=65536",
            "port (connection string) must be a number from 1 to 65535",
        ),
        (
            "port=x",
            "port (connection string) must be a number from 1 to 65535",
        ),
    ] {
        assert_eq!(entries(text), Err(vec![expected.to_owned()]));
    }
}

#[test]
fn each_list_tells_its_own_mistake() {
    let told = entries("hostaddr=x port=y load_balance_hosts=z").expect_err("three mistakes");
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn the_default_is_the_first_folder_with_a_socket() {
    let empty = tempfile::tempdir().expect("temp dir");
    let socket = tempfile::tempdir().expect("temp dir");
    std::fs::write(socket.path().join(".s.PGSQL.5433"), "").expect("write");
    let folders = [empty.path(), socket.path()].map(|path| path.to_str().expect("UTF-8"));
    assert_eq!(
        default_place(&folders, 5433),
        Place::Folder(socket.path().into())
    );
    assert_eq!(
        default_place(&folders, 5432),
        Place::Tcp {
            name: "localhost".to_owned(),
            address: None
        }
    );
}

#[test]
fn the_given_order_is_kept() {
    let endpoints = Endpoints {
        list: vec![tcp("a", 1), tcp("b", 2), tcp("c", 3)],
        random: false,
    };
    let ports: Vec<_> = endpoints
        .in_order()
        .iter()
        .map(|endpoint| endpoint.port)
        .collect();
    assert_eq!(ports, [1, 2, 3]);
}

#[test]
fn a_random_order_changes_and_loses_none() {
    let endpoints = Endpoints {
        list: vec![tcp("a", 1), tcp("b", 2), tcp("c", 3)],
        random: true,
    };
    let order = || {
        endpoints
            .in_order()
            .iter()
            .map(|endpoint| endpoint.port)
            .collect::<Vec<_>>()
    };
    // Six orders: the chance that 200 draws miss one is below 1e-14.
    let orders: HashSet<_> = (0..200).map(|_| order()).collect();
    assert_eq!(orders.len(), 6);
    assert!(orders.iter().all(|order| order.iter().sum::<u16>() == 6));
}
