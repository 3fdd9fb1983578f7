//! Kinds of listeners.

/// Set of routes that a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteSet {
    /// All routes: there is one listener.
    Whole,
    /// Routes for clients; the pages for operators are on the other listener.
    Public,
    /// Routes of the admin listener: access to the listener is the permission.
    Admin,
}

/// Properties of a listener that are known before a request arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerTraits {
    /// Set of routes that it serves.
    pub side: RouteSet,
    /// Whether it accepts only TLS.
    pub speaks_tls: bool,
}
