//! Access control: origins, credentials, rights, and the limits of a client.

pub(super) mod admission;
pub(super) mod authorized;
pub(super) mod credentials;
pub(super) mod expiry;
pub(super) mod fetch_site;
pub(super) mod forwarded_proto;
pub(super) mod guard;
pub(super) mod hosts;
pub(super) mod known_channels;
pub(super) mod limits;
pub(super) mod origin;
pub(super) mod refused_origins;
pub(super) mod rights;
pub(super) mod route_set;
