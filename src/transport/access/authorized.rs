//! A reader that was let in, and whether it still would be.

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

/// See the module: its place is another's when it is dropped. As a stream it is
/// what is delivered, and the gateway's last word.
#[derive(Debug)]
pub(in crate::transport) struct AuthorizedSubscription {
    // Dropped first, so that there are never more readers than places.
    subscription: Subscription,
    presence: ReaderPermit,
    grant: Arc<Grant>,
    admission: Admission,
    /// Of a wire that can give up some channels and go on: those it has to.
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

    /// Of a wire that looks for what is [lost](Self::revoked).
    pub(in crate::transport) fn giving_up(self) -> Self {
        Self {
            revoked: Some(Vec::new()),
            ..self
        }
    }

    /// Channels that are not its client's any more. To be given up before it is
    /// polled again.
    pub(in crate::transport) fn revoked(&mut self) -> Vec<ChannelName> {
        self.revoked
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// What its client may do.
    pub(in crate::transport) fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// Whether the end of its token is its own: not any more where tokens were
    /// given up since. To be asked when that has come.
    pub(in crate::transport) fn can_expire(&self) -> bool {
        let expires = |grant: &Grant| grant.expires().is_some();
        match self.admission.is_current(&self.grant) {
            true => expires(&self.grant),
            // Whoever would be refused now has no more than that time.
            false => self
                .admission
                .reauthorize(&self.grant)
                .map_or(true, |grant| expires(&grant)),
        }
    }

    /// Where it is from.
    pub(in crate::transport) fn address(&self) -> Address {
        self.presence.address()
    }

    /// The gateway ends it with this code.
    pub(in crate::transport) fn refused(&self, code: Code) {
        self.admission.refused(code);
    }

    /// The client whose limits its channels count against.
    fn client(&self) -> Client {
        Client::of(self.address(), &self.grant)
    }

    /// Joins channels that its client may read; answered by a `Ready`.
    pub(in crate::transport) fn join(
        &mut self,
        channels: &[ChannelName],
        cursor: Option<Cursor>,
    ) -> Result<(), Refusal> {
        let client = self.client();
        let subscription = &mut self.subscription;
        self.admission.join(client, subscription, channels, cursor)
    }

    /// The same reader, with another token.
    pub(in crate::transport) fn change(&mut self, grant: Arc<Grant>) -> Result<(), Refusal> {
        self.admission.change(&mut self.presence, &grant)?;
        let before = self.client();
        self.grant = grant;
        let client = self.client();
        if client != before {
            self.subscription.change_client(client.key());
        }
        Ok(())
    }

    /// It reads no more, and its place is not yet another's.
    pub(in crate::transport) fn leave(self) -> ReaderPermit {
        self.presence
    }

    /// Looked at before each delivery, since a reader may never rest; mostly
    /// that is a look at one number. Those that rest are woken when it changes:
    /// hence once more when it comes to rest.
    fn look_again(&mut self) -> Result<(), Refusal> {
        if self.admission.is_current(&self.grant) {
            return Ok(());
        }
        self.grant = self.admission.reauthorize(&self.grant)?;
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
                // Nothing before that is dealt with; no writer gives it anything
                // either.
                this.subscription.reclaim();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match Pin::new(&mut this.subscription).poll_next(cx) {
                Poll::Ready(item) => return Poll::Ready(item.map(|delivery| Ok(delivery?))),
                // What changed after the look may have woken all but this one,
                // which could not be woken yet.
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
    /// Of a door of its own, at which nobody needs a token.
    pub(in crate::transport) fn alone(subscription: Subscription) -> Self {
        Self::with_grant(
            subscription,
            Grant::open(crate::auth::Patterns::all(), false),
        )
    }

    /// Of a door of its own.
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

    /// Counts what a writer gives.
    #[derive(Debug, Default)]
    struct Given(Arc<AtomicUsize>);

    impl EventSink for Given {
        fn try_write(&mut self, _: &EventBatch) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst);
            true
        }

        fn close(&mut self) {}
    }

    /// A reader of `a` that is ready, and who sets the rules.
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

    /// It looks at the rules, and goes to rest; in between they become others,
    /// and all that rest are woken. Often enough that it is met.
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
            // Whoever goes to rest waits for the hub meanwhile.
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

    /// The rules become others after it has looked at them and before it comes to
    /// rest: what it finds then it gives up first. Often enough that it is met.
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
