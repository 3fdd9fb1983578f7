//! The listeners of a gateway, by who can reach them.

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteSet {
    /// Everything: there is one listener.
    Whole,
    /// Clients; the pages for operators are on the other listener.
    Public,
    /// Operators: access to the listener is the permission.
    Admin,
}

/// What is known of a listener before a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerTraits {
    /// What it serves.
    pub side: RouteSet,
    /// Whether it speaks TLS, and nothing else.
    pub speaks_tls: bool,
}
