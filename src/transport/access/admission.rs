//! The one door: what a client asks for and may have becomes a
//! reader ([`AuthorizedSubscription`]) or a publish, or a [`Refusal`]. The same on every wire.

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

/// What every transport needs. Cheap to clone.
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

/// WebSockets whose first frame is waited for, in all: at up to 64 KiB each
/// what those who are nobody yet can hold is 64 MiB. The next is refused.
const MAX_UNKNOWN: usize = 1024;

/// Calls of the services that ask for no token, gRPC's health and reflection,
/// in all: a `Watch` never ends, and is no reader. The next is refused.
const MAX_UNASKED: usize = 1024;

/// The transports' settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// An idle reader gets a sign of life this often.
    pub keepalive: Duration,
    /// The largest WebSocket message of a client, in bytes.
    pub max_client_frame: usize,
    /// Messages of a WebSocket client a second, pings among them.
    pub max_frame_rate: usize,
    /// A reader that takes nothing, or whose client answers no ping, for so
    /// long is closed.
    pub write_timeout: Duration,
    /// What a client may take for a TLS handshake, for a request's head and for
    /// its body; then it is dropped.
    pub request_timeout: Duration,
    /// Room for the head of a request, in bytes; more is answered 431.
    pub max_header_bytes: usize,
    /// Streams on one HTTP/2 connection; at the limit the client waits with the
    /// next one.
    pub max_streams: usize,
    /// Whether there is a console at `/`.
    pub console: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(15),
            max_client_frame: 64 << 10,
            // Who publishes as often as it may by default has half of it left.
            max_frame_rate: 2000,
            write_timeout: Duration::from_secs(30),
            // A request holds some kilobytes at most.
            request_timeout: Duration::from_secs(10),
            // With a token and a cursor of any sane length.
            max_header_bytes: 32 << 10,
            max_streams: 1000,
            console: true,
        }
    }
}

impl Admission {
    /// The door of `hub` and `publisher`, kept by `auth`.
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

    /// What the transports counted.
    pub fn totals(&self) -> Totals {
        self.shared.counters.totals()
    }

    /// A client is refused something, and told so.
    pub(in crate::transport) fn refused(&self, code: Code) {
        self.shared.counters.refused(code);
    }

    pub(in crate::transport) fn settings(&self) -> Settings {
        *read(&self.shared.settings)
    }

    pub(in crate::transport) fn limits(&self) -> Arc<Limits> {
        self.shared.clients.limits()
    }

    /// For who comes from now on; limits, for the next that is counted.
    pub fn reload(&self, browsers: Browsers, settings: Settings, limits: Limits) {
        *write(&self.shared.browsers) = Arc::new(browsers);
        self.shared.refused_origins.forget();
        *write(&self.shared.settings) = settings;
        self.shared.clients.reload(limits);
    }

    /// Whether the gateway does all it is there for.
    pub(in crate::transport) fn readiness(&self) -> watch::Receiver<Readiness> {
        self.shared.hub.readiness()
    }

    /// Returns when the gateway ends: who is no reader yet is sent away by nobody
    /// else.
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

    /// The channels that this client may read, for a page that shows them.
    pub(in crate::transport) fn named_channels(&self, grant: &Arc<Grant>) -> Named {
        self.shared.known_channels.of(grant, self.hub())
    }

    /// Whether clients without a token get anything.
    pub(super) fn lets_anybody_in(&self) -> bool {
        self.shared.auth.without_token().is_ok()
    }

    /// What a request shows for itself.
    pub(in crate::transport) fn credentials(&self, headers: &HeaderMap) -> Credentials {
        Credentials::of(headers, &self.browsers().cookie)
    }

    /// Where a request is from, for who counts.
    pub(in crate::transport) fn address(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Address {
        self.shared.clients.address(extensions, headers)
    }

    /// What this client may do: looked at once a connection. Without tokens,
    /// everybody may do the same.
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

    /// A place for one who is still to show a token, as long as it is held.
    pub(in crate::transport) fn place_for_unknown(
        &self,
        address: Address,
    ) -> Result<PoolPermit, Refusal> {
        let place = self.shared.unknown.enter(address);
        place.ok_or_else(|| Refusal::new(Code::TooMany, "too many have not shown a token yet"))
    }

    /// A place for a call that nobody is asked a token for, as long as it is
    /// held.
    pub(in crate::transport) fn place_for_unasked(
        &self,
        address: Address,
    ) -> Result<PoolPermit, Refusal> {
        let place = self.shared.unasked.enter(address);
        place.ok_or_else(|| Refusal::new(Code::TooMany, "too many calls of this service"))
    }

    /// Good once, for a reader that can show nothing else; there are not many,
    /// and none for who can read nothing.
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

    /// A reader of `channels` by `wire`; of none, where it can ask for them
    /// later.
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

    /// The same reader, with another token.
    pub(super) fn change(&self, presence: &mut ReaderPermit, grant: &Grant) -> Result<(), Refusal> {
        self.shared.clients.change(presence, grant)
    }

    /// Whether what was granted is what would be granted now.
    pub(in crate::transport) fn is_current(&self, grant: &Grant) -> bool {
        grant.version() == self.shared.auth.version()
    }

    /// What would be granted now.
    pub(in crate::transport) fn reauthorize(&self, grant: &Grant) -> Result<Arc<Grant>, Refusal> {
        let again = self.shared.auth.reauthorize(grant);
        again.map_err(|_| {
            let rule = "the gateway's settings have changed: the token, or none, is not enough now";
            Refusal::new(Code::Unauthenticated, rule)
        })
    }

    /// What a reader that is there may join now.
    pub(in crate::transport) fn joinable(
        &self,
        grant: &Arc<Grant>,
        channels: &[String],
    ) -> Result<Vec<ChannelName>, Refusal> {
        readable(&*self.shared.auth.at_use(grant)?, channels)
    }

    /// The channel, if this client may publish on it, and now.
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

    /// Notifies, and returns after the commit. The right is looked at once more: the body
    /// may have come long after the head.
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
        let guard = Box::new(self.shared.clients.enqueue(client)?);
        let publisher = &self.shared.publisher;
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

/// A whole value is put in; a panic cannot leave half of one.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
