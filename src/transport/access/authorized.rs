//! Authorized reader, and the recheck of its authorization.

use std::{
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio_stream::Stream;

use super::{
    admission::{Admission, unreadable},
    limits::{Address, Client, ReaderPermit},
};
use crate::{
    auth::Grant,
    event::ChannelName,
    hub::{Cursor, Delivery, Subscription},
    transport::protocol::codes::{Code, Refusal},
};

/// Subscription with the grant and the permit of its reader; dropping it
/// releases the permit. As a stream it yields the deliveries, and last the
/// refusal if the gateway ends it.
#[derive(Debug)]
pub(in crate::transport) struct AuthorizedSubscription {
    // Dropped first, so that there are never more readers than permits.
    subscription: Subscription,
    presence: ReaderPermit,
    grant: Arc<Grant>,
    admission: Admission,
    /// Revoked channels; `None` if the transport cannot leave some channels and
    /// continue.
    revoked: Option<Vec<ChannelName>>,
    ended: bool,
}

impl AuthorizedSubscription {
    pub(in crate::transport) fn new(
        subscription: Subscription,
        presence: ReaderPermit,
        grant: &Arc<Grant>,
        admission: Admission,
    ) -> Self {
        Self {
            subscription,
            presence,
            grant: Arc::clone(grant),
            admission,
            revoked: None,
            ended: false,
        }
    }

    /// For a transport that handles [`revoked`](Self::revoked) channels.
    pub(in crate::transport) fn giving_up(self) -> Self {
        Self {
            revoked: Some(Vec::new()),
            ..self
        }
    }

    /// Takes the channels that the client may no longer read. The caller must
    /// leave them before the next poll.
    pub(in crate::transport) fn revoked(&mut self) -> Vec<ChannelName> {
        self.revoked
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Rights of the client.
    pub(in crate::transport) fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// Whether the expiry of its token ends it: no longer, if the gateway has
    /// since stopped using tokens. To call when the token has expired.
    pub(in crate::transport) fn can_expire(&self) -> bool {
        let expires = |grant: &Grant| grant.expires().is_some();
        match self.admission.is_current(&self.grant) {
            true => expires(&self.grant),
            // A client that would be refused now has no more than its token's
            // lifetime.
            false => self
                .admission
                .reauthorize(&self.grant)
                .map_or(true, |grant| expires(&grant)),
        }
    }

    /// Address of the client.
    pub(in crate::transport) fn address(&self) -> Address {
        self.presence.address()
    }

    /// Counts that the gateway ends it with this code.
    pub(in crate::transport) fn refused(&self, code: Code) {
        self.admission.refused(code);
    }

    /// The client whose limits its channels count against.
    fn client(&self) -> Client {
        Client::of(self.address(), &self.grant)
    }

    /// Joins channels that the client may read; answered by a `Ready`.
    pub(in crate::transport) fn join(
        &mut self,
        channels: &[ChannelName],
        cursor: Option<Cursor>,
    ) -> Result<(), Refusal> {
        let client = self.client();
        let subscription = &mut self.subscription;
        self.admission.join(client, subscription, channels, cursor)
    }

    /// Replaces the token of the reader.
    pub(in crate::transport) fn change(&mut self, grant: Arc<Grant>) -> Result<(), Refusal> {
        self.admission.change(&mut self.presence, &grant)?;
        self.set_grant(grant);
        Ok(())
    }

    /// Its channels count against the client that the grant names.
    fn set_grant(&mut self, grant: Arc<Grant>) {
        let before = self.client();
        self.grant = grant;
        let client = self.client();
        if client != before {
            self.subscription.change_client(client.key());
        }
    }

    /// Ends the subscription and keeps the permit, so that the place is not yet
    /// free.
    pub(in crate::transport) fn leave(self) -> ReaderPermit {
        self.presence
    }

    /// Rechecks the grant. Called before each delivery, since a busy reader may
    /// never become idle; usually it compares one number. Idle readers are
    /// woken when the number changes, so it is compared again when a reader
    /// becomes idle.
    fn look_again(&mut self) -> Result<(), Refusal> {
        if self.admission.is_current(&self.grant) {
            return Ok(());
        }
        let grant = self.admission.reauthorize(&self.grant)?;
        self.set_grant(grant);
        let mut names = self.subscription.channels();
        names.retain(|name| !self.grant.may_subscribe(name));
        match &mut self.revoked {
            _ if names.is_empty() => Ok(()),
            Some(revoked) => {
                *revoked = names;
                Ok(())
            }
            None => {
                let names: Vec<_> = names.iter().map(ChannelName::as_str).collect();
                Err(unreadable(&names))
            }
        }
    }
}

impl Stream for AuthorizedSubscription {
    type Item = Result<Delivery, Refusal>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            if let Err(refusal) = this.look_again() {
                this.ended = true;
                return Poll::Ready(Some(Err(refusal)));
            }
            if this
                .revoked
                .as_ref()
                .is_some_and(|revoked| !revoked.is_empty())
            {
                // No delivery until the caller has left them, and none by a
                // FanoutWorker either.
                this.subscription.reclaim();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match Pin::new(&mut this.subscription).poll_next(cx) {
                Poll::Ready(item) => return Poll::Ready(item.map(|delivery| Ok(delivery?))),
                // A change after the check may have woken all readers except
                // this one, whose waker was not registered yet.
                Poll::Pending if !this.admission.is_current(&this.grant) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Deref for AuthorizedSubscription {
    type Target = Subscription;

    fn deref(&self) -> &Subscription {
        &self.subscription
    }
}

impl DerefMut for AuthorizedSubscription {
    fn deref_mut(&mut self) -> &mut Subscription {
        &mut self.subscription
    }
}

#[cfg(test)]
impl AuthorizedSubscription {
    /// With an admission of its own that needs no token.
    pub(in crate::transport) fn alone(subscription: Subscription) -> Self {
        Self::with_grant(
            subscription,
            Grant::open(crate::auth::Patterns::all(), false),
        )
    }

    /// With an admission of its own.
    pub(in crate::transport) fn with_grant(subscription: Subscription, grant: Grant) -> Self {
        let admission = Admission::new(
            subscription.hub(),
            crate::publish::channel().0,
            crate::auth::Authenticator::new(crate::auth::Config::open(false)),
            super::origin::Browsers::default(),
            super::admission::Settings::default(),
            super::limits::Limits::default(),
        );
        let grant = Arc::new(grant);
        let presence = admission.enter(Address::UNKNOWN, &grant).unwrap();
        Self::new(subscription, presence, &grant, admission)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
        thread,
    };

    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::{
        auth::{Authenticator, Config, Patterns},
        channel_demand::{Demand, ListenRequest},
        event::{Notification, WireName},
        hub::{DirectSlot, EventBatch, EventSink, Hub},
        transport::{Browsers, Limits, Settings},
    };

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Counts the batches that a FanoutWorker writes.
    #[derive(Debug, Default)]
    struct Given(Arc<AtomicUsize>);

    impl EventSink for Given {
        fn try_write(&mut self, _: &EventBatch) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst);
            true
        }

        fn close(&mut self) {}
    }

    /// A ready reader of `a`, with its hub and its authenticator.
    fn reader() -> (Hub, Authenticator, AuthorizedSubscription) {
        let demand = Demand::default();
        let hub = Hub::new(crate::hub::Config::default(), demand.clone());
        let auth = Authenticator::new(Config::open(false));
        let admission = Admission::new(
            hub.clone(),
            crate::publish::channel().0,
            auth.clone(),
            Browsers::default(),
            Settings::default(),
            Limits::default(),
        );
        let grant = auth.without_token().unwrap();
        let (wire, channels) = (WireName::WebSocket, ["a".to_owned()]);
        let admitted = admission.subscribe(wire, &grant, Address::UNKNOWN, &channels, None);
        let mut admitted = admitted.unwrap();
        let wishes = demand.changed().now_or_never().unwrap();
        hub.ingest(|intake| {
            intake.live(false);
            for (name, wish) in wishes {
                let ListenRequest::Listen(generation, _) = wish else {
                    unreachable!()
                };
                intake.listening(&name, generation);
            }
        });
        let ready = admitted.next().now_or_never().unwrap().unwrap();
        assert!(matches!(ready, Ok(Delivery::Ready { .. })), "{ready:?}");
        (hub, auth, admitted)
    }

    /// The settings change between the reader's check and its becoming idle,
    /// and all idle readers are woken. Repeated often enough to hit the race.
    #[test]
    fn a_change_that_comes_while_a_reader_goes_to_rest_is_not_missed() {
        for _ in 0..50 {
            let (hub, auth, mut admitted) = reader();
            let woken = Arc::new(Woken::default());
            let both = Arc::new(Barrier::new(2));
            let going = {
                let (both, waker) = (both.clone(), Waker::from(woken.clone()));
                thread::spawn(move || {
                    both.wait();
                    let item = admitted.poll_next_unpin(&mut Context::from_waker(&waker));
                    (item.is_ready(), admitted)
                })
            };
            // Meanwhile the reader that becomes idle waits for the hub.
            hub.ingest(|intake| {
                both.wait();
                (0..100).for_each(|_| thread::yield_now());
                auth.reload(Config {
                    channels: Patterns::default(),
                    ..Config::open(false)
                });
                intake.live(false);
            });
            let (has_ended, _admitted) = going.join().unwrap();
            assert!(has_ended || woken.0.load(Ordering::SeqCst));
        }
    }

    /// The settings change after the reader's check and before it becomes idle:
    /// it leaves the revoked channels first. Repeated often enough to hit the
    /// race.
    #[tokio::test]
    async fn who_has_a_channel_to_give_up_is_served_nothing_of_it() {
        for _ in 0..50 {
            let (hub, auth, admitted) = reader();
            let writer = hub.fanout_workers(1).pop().unwrap();
            let given = Given::default();
            let count = given.0.clone();
            let mut admitted = admitted.giving_up();
            admitted.attach(Arc::new(DirectSlot::new(given)));
            let both = Arc::new(Barrier::new(2));
            let going = {
                let both = both.clone();
                thread::spawn(move || {
                    both.wait();
                    let item = admitted.next().now_or_never();
                    assert!(item.is_none());
                    admitted.arm();
                    admitted
                })
            };
            hub.ingest(|_| {
                both.wait();
                (0..100).for_each(|_| thread::yield_now());
                auth.reload(Config {
                    channels: Patterns::default(),
                    ..Config::open(false)
                });
            });
            hub.wake_all();
            let _admitted = going.join().unwrap();
            hub.ingest(|intake| {
                intake.notification(Notification {
                    channel: "a".into(),
                    payload: "secret".into(),
                });
            });
            assert!(writer.run().now_or_never().is_none());
            assert_eq!(count.load(Ordering::SeqCst), 0);
        }
    }
}
