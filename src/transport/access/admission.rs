//! Single entry point of all transports: a client's request and its rights become a
//! reader ([`AuthorizedSubscription`]), a publish, or a [`Refusal`].

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use http::{Extensions, HeaderMap};
use tokio::sync::watch;

pub(in crate::transport) use super::rights::unreadable;
use super::{
    authorized::AuthorizedSubscription,
    credentials::Credentials,
    known_channels::{KnownChannels, Named},
    limits::{Address, Client, Clients, Limits, Pool, PoolPermit, ReaderPermit},
    origin::Browsers,
    refused_origins::RefusedOrigins,
    rights::{readable, reserved, without_right},
};
use crate::{
    auth::{AuthError, Authenticator, Grant, Ticket},
    event::{ChannelName, Payload, WireName},
    hub::{Cursor, Hub, Readiness, Subscription, Unready},
    publish::{PublishError, Publisher},
    transport::{
        counters::{Counters, Totals},
        protocol::codes::{Code, Refusal},
    },
};

/// State shared by all transports. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hub: Hub,
    publisher: Publisher,
    auth: Authenticator,
    browsers: RwLock<Arc<Browsers>>,
    refused_origins: RefusedOrigins,
    known_channels: KnownChannels,
    settings: RwLock<Settings>,
    clients: Clients,
    counters: Counters,
    unknown: Pool,
    unasked: Pool,
}

/// Maximum number of WebSockets, in total, whose first frame is awaited: at up to 64
/// KiB each, clients that have shown no token can hold 64 MiB. The next is refused.
const MAX_UNKNOWN: usize = 1024;

/// Maximum number of calls, in total, of the services without a token, gRPC health and
/// reflection: a `Watch` never ends, and does not count as a reader. The next is
/// refused.
const MAX_UNASKED: usize = 1024;

/// Settings of the transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Interval of keepalives to an idle reader.
    pub keepalive: Duration,
    /// Maximum WebSocket message of a client, in bytes.
    pub max_client_frame: usize,
    /// Messages of a WebSocket client a second, including pings.
    pub max_frame_rate: usize,
    /// Timeout after which a reader is closed that accepts no data, or whose client
    /// answers no ping.
    pub write_timeout: Duration,
    /// Timeout for a TLS handshake, for a request head and for a request body; the
    /// client is then dropped.
    pub request_timeout: Duration,
    /// Maximum size of a request head, in bytes; more is answered 431.
    pub max_header_bytes: usize,
    /// Concurrent streams on one HTTP/2 connection; at the limit the client delays the
    /// next one.
    pub max_streams: usize,
    /// Whether the console is served at `/`.
    pub console: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(15),
            max_client_frame: 64 << 10,
            // A client that publishes at the default limit has half of it left.
            max_frame_rate: 2000,
            write_timeout: Duration::from_secs(30),
            // A pending request holds some kilobytes at most.
            request_timeout: Duration::from_secs(10),
            // Fits a token and a cursor of any reasonable length.
            max_header_bytes: 32 << 10,
            max_streams: 1000,
            console: true,
        }
    }
}

impl Admission {
    /// Admission to `hub` and `publisher`, authenticated by `auth`.
    pub fn new(
        hub: Hub,
        publisher: Publisher,
        auth: Authenticator,
        browsers: Browsers,
        settings: Settings,
        limits: Limits,
    ) -> Self {
        let shared = Shared {
            hub,
            publisher,
            auth,
            browsers: RwLock::new(Arc::new(browsers)),
            refused_origins: RefusedOrigins::default(),
            known_channels: KnownChannels::default(),
            settings: RwLock::new(settings),
            clients: Clients::new(limits),
            counters: Counters::default(),
            unknown: Pool::of(MAX_UNKNOWN),
            unasked: Pool::of(MAX_UNASKED),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(in crate::transport) fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    /// Counters of the transports.
    pub fn totals(&self) -> Totals {
        self.shared.counters.totals()
    }

    /// Counts a refusal that is sent to a client.
    pub(in crate::transport) fn refused(&self, code: Code) {
        self.shared.counters.refused(code);
    }

    pub(in crate::transport) fn settings(&self) -> Settings {
        *read(&self.shared.settings)
    }

    pub(in crate::transport) fn limits(&self) -> Arc<Limits> {
        self.shared.clients.limits()
    }

    /// Applies settings to new clients; limits, to the next client counted.
    pub fn reload(&self, browsers: Browsers, settings: Settings, limits: Limits) {
        *write(&self.shared.browsers) = Arc::new(browsers);
        self.shared.refused_origins.forget();
        *write(&self.shared.settings) = settings;
        self.shared.clients.reload(limits);
    }

    /// Whether the gateway is fully operational.
    pub(in crate::transport) fn readiness(&self) -> watch::Receiver<Readiness> {
        self.shared.hub.readiness()
    }

    /// Returns when the gateway shuts down: nothing else closes clients that are not
    /// yet readers.
    pub(in crate::transport) async fn closed(&self) -> Unready {
        let mut readiness = self.readiness();
        let is_closed = |readiness: &Readiness| *readiness == Err(Unready::ShuttingDown);
        // An error is the end of the hub itself.
        let _ = readiness.wait_for(is_closed).await;
        Unready::ShuttingDown
    }

    pub(super) fn browsers(&self) -> Arc<Browsers> {
        Arc::clone(&read(&self.shared.browsers))
    }

    pub(super) fn refused_origins(&self) -> &RefusedOrigins {
        &self.shared.refused_origins
    }

    /// Channels that this client may read, for the status page.
    pub(in crate::transport) fn named_channels(&self, grant: &Arc<Grant>) -> Named {
        self.shared.known_channels.of(grant, self.hub())
    }

    /// Whether clients without a token have any rights.
    pub(super) fn lets_anybody_in(&self) -> bool {
        self.shared.auth.without_token().is_ok()
    }

    /// Credentials of a request.
    pub(in crate::transport) fn credentials(&self, headers: &HeaderMap) -> Credentials {
        Credentials::of(headers, &self.browsers().cookie)
    }

    /// Client address of a request, for its limits.
    pub(in crate::transport) fn address(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Address {
        self.shared.clients.address(extensions, headers)
    }

    /// Authenticates the credentials of a request or of an `auth` message. Without
    /// tokens, all clients have the
    /// same grant.
    pub(in crate::transport) async fn admit(
        &self,
        credentials: Credentials,
        address: Address,
    ) -> Result<Arc<Grant>, AuthError> {
        let auth = &self.shared.auth;
        match credentials {
            Credentials::None => auth.without_token(),
            Credentials::Token(token) => {
                auth.with_token(&token, &self.shared.clients.tokens_of(address))
                    .await
            }
            Credentials::Ticket(ticket) => auth.with_ticket(&ticket),
            Credentials::Unreadable if auth.has_tokens() => Err(AuthError::Token),
            Credentials::Unreadable => auth.without_token(),
        }
    }

    /// A permit for a client that has still to show a token, held until dropped.
    pub(in crate::transport) fn place_for_unknown(
        &self,
        address: Address,
    ) -> Result<PoolPermit, Refusal> {
        let place = self.shared.unknown.enter(address);
        place.ok_or_else(|| Refusal::new(Code::TooMany, "too many have not shown a token yet"))
    }

    /// A permit for a call that needs no token, held until dropped.
    pub(in crate::transport) fn place_for_unasked(
        &self,
        address: Address,
    ) -> Result<PoolPermit, Refusal> {
        let place = self.shared.unasked.enter(address);
        place.ok_or_else(|| Refusal::new(Code::TooMany, "too many calls of this service"))
    }

    /// Creates a single-use ticket, for a reader that can send no other credentials.
    /// Their number is limited, and a grant that reads nothing gets none.
    pub(in crate::transport) fn ticket(
        &self,
        grant: &Arc<Grant>,
    ) -> Result<(Ticket, Duration), Refusal> {
        if grant.reads_nothing() {
            let rule = "a ticket is for reading, and the token reads no channel";
            return Err(without_right(grant, rule.to_owned()));
        }
        Ok(self.shared.auth.ticket(grant)?)
    }

    /// Creates a reader of `channels` on `wire`. `channels` may be empty if the
    /// transport allows subscribing later.
    pub(in crate::transport) fn subscribe(
        &self,
        wire: WireName,
        grant: &Arc<Grant>,
        address: Address,
        channels: &[String],
        cursor: Option<Cursor>,
    ) -> Result<AuthorizedSubscription, Refusal> {
        let grant = &self.shared.auth.at_use(grant)?;
        let channels = readable(grant, channels)?;
        let presence = self.enter(address, grant)?;
        let client = Client::of(address, grant);
        let subscription = self.shared.hub.subscribe(wire, client.key())?;
        let mut admitted = AuthorizedSubscription::new(subscription, presence, grant, self.clone());
        if !channels.is_empty() {
            admitted.join(&channels, cursor)?;
        }
        Ok(admitted)
    }

    /// Joins channels that the client may read.
    pub(super) fn join(
        &self,
        client: Client,
        subscription: &mut Subscription,
        channels: &[ChannelName],
        cursor: Option<Cursor>,
    ) -> Result<(), Refusal> {
        let clients = &self.shared.clients;
        clients.join(client, subscription, channels, cursor)
    }

    pub(super) fn enter(&self, address: Address, grant: &Grant) -> Result<ReaderPermit, Refusal> {
        self.shared.clients.enter(address, grant)
    }

    /// Replaces the token of a reader.
    pub(super) fn change(&self, presence: &mut ReaderPermit, grant: &Grant) -> Result<(), Refusal> {
        self.shared.clients.change(presence, grant)
    }

    /// Whether the grant was made under the current settings.
    pub(in crate::transport) fn is_current(&self, grant: &Grant) -> bool {
        grant.version() == self.shared.auth.version()
    }

    /// The grant under the current settings.
    pub(in crate::transport) fn reauthorize(&self, grant: &Grant) -> Result<Arc<Grant>, Refusal> {
        let again = self.shared.auth.reauthorize(grant);
        again.map_err(|_| {
            let rule = "the gateway's settings have changed: the token, or none, is not enough now";
            Refusal::new(Code::Unauthenticated, rule)
        })
    }

    /// Checks the channels that an existing reader wants to join.
    pub(in crate::transport) fn joinable(
        &self,
        grant: &Arc<Grant>,
        channels: &[String],
    ) -> Result<Vec<ChannelName>, Refusal> {
        readable(&*self.shared.auth.at_use(grant)?, channels)
    }

    /// The channel, if the client has the right and the rate to publish on it now.
    pub(in crate::transport) fn publishable(
        &self,
        grant: &Arc<Grant>,
        address: Address,
        channel: &str,
    ) -> Result<ChannelName, Refusal> {
        let channel = ChannelName::new(channel)?;
        self.check_publish(grant, &channel)?;
        self.shared.clients.publish(address, grant)?;
        Ok(channel)
    }

    fn check_publish(&self, grant: &Arc<Grant>, channel: &ChannelName) -> Result<(), Refusal> {
        if channel.is_reserved() {
            return Err(reserved());
        }
        let grant = self.shared.auth.at_use(grant)?;
        match grant.may_publish(channel) {
            true => Ok(()),
            false => {
                let message = format!("{channel:?} cannot be published on");
                Err(without_right(&grant, message))
            }
        }
    }

    /// Publishes, and returns after the commit. The right is checked again: the body
    /// may arrive long after the head.
    pub(in crate::transport) async fn publish(
        &self,
        grant: &Arc<Grant>,
        address: Address,
        channel: ChannelName,
        payload: String,
    ) -> Result<(), Refusal> {
        self.check_publish(grant, &channel)?;
        let payload = Payload::new(payload)?;
        let client = Client::of(address, grant);
        let publisher = &self.shared.publisher;
        let place = self.shared.clients.enqueue(client, publisher.free())?;
        let guard = Box::new(place);
        let published = publisher
            .publish_guarded(channel, payload, Some(guard))
            .await;
        if published == Err(PublishError::TooMany) {
            self.shared.clients.log_full_queue(client);
        }
        self.shared.counters.published(&published);
        Ok(published?)
    }
}

/// Ignores poisoning: values are replaced whole, so a panic cannot leave half of one.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
