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
    codes::{Code, Refusal},
    limits::{Address, Presence},
};
use crate::{
    auth::Grant,
    event::ChannelName,
    hub::{Delivery, Subscription},
};

/// See the module: its place is another's when it is dropped. As a stream it is
/// what is delivered, and the gateway's last word.
#[derive(Debug)]
pub(super) struct Admitted {
    // Dropped first, so that there are never more readers than places.
    subscription: Subscription,
    presence: Presence,
    grant: Arc<Grant>,
    admission: Admission,
    /// Of a wire that can give up some channels and go on: those it has to.
    lost: Option<Vec<ChannelName>>,
    ended: bool,
}

impl Admitted {
    pub(super) fn new(
        subscription: Subscription,
        presence: Presence,
        grant: &Arc<Grant>,
        admission: Admission,
    ) -> Self {
        Self {
            subscription,
            presence,
            grant: Arc::clone(grant),
            admission,
            lost: None,
            ended: false,
        }
    }

    /// Of a wire that looks for what is [lost](Self::lost).
    pub(super) fn giving_up(self) -> Self {
        Self {
            lost: Some(Vec::new()),
            ..self
        }
    }

    /// Channels that are not its client's any more. To be given up before it is
    /// polled again.
    pub(super) fn lost(&mut self) -> Vec<ChannelName> {
        self.lost.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What its client may do.
    pub(super) fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// Where it is from.
    pub(super) fn address(&self) -> Address {
        self.presence.address()
    }

    /// The gateway ends it with this code.
    pub(super) fn refused(&self, code: Code) {
        self.admission.refused(code);
    }

    /// The same reader, with another token.
    pub(super) fn change(&mut self, grant: Arc<Grant>) -> Result<(), Refusal> {
        self.admission.change(&mut self.presence, &grant)?;
        self.grant = grant;
        Ok(())
    }

    /// It reads no more, and its place is not yet another's.
    pub(super) fn leave(self) -> Presence {
        self.presence
    }

    /// Looked at before each delivery, since a reader may never rest; mostly
    /// that is a look at one number. Those that rest are woken when it changes.
    fn look_again(&mut self) -> Result<(), Refusal> {
        if self.admission.is_current(&self.grant) {
            return Ok(());
        }
        self.grant = self.admission.again(&self.grant)?;
        let mut names = self.subscription.channels();
        names.retain(|name| !self.grant.may_subscribe(name));
        match &mut self.lost {
            _ if names.is_empty() => Ok(()),
            Some(lost) => {
                *lost = names;
                Ok(())
            }
            None => {
                let names: Vec<_> = names.iter().map(ChannelName::as_str).collect();
                Err(unreadable(&names))
            }
        }
    }
}

impl Stream for Admitted {
    type Item = Result<Delivery, Refusal>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        if let Err(refusal) = this.look_again() {
            this.ended = true;
            return Poll::Ready(Some(Err(refusal)));
        }
        if this.lost.as_ref().is_some_and(|lost| !lost.is_empty()) {
            // Nothing before that is dealt with.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let item = std::task::ready!(Pin::new(&mut this.subscription).poll_next(cx));
        Poll::Ready(item.map(|delivery| Ok(delivery?)))
    }
}

impl Deref for Admitted {
    type Target = Subscription;

    fn deref(&self) -> &Subscription {
        &self.subscription
    }
}

impl DerefMut for Admitted {
    fn deref_mut(&mut self) -> &mut Subscription {
        &mut self.subscription
    }
}

#[cfg(test)]
impl Admitted {
    /// Of a door of its own.
    pub(super) fn alone(subscription: Subscription) -> Self {
        let admission = Admission::new(
            subscription.hub(),
            crate::publish::channel().0,
            crate::auth::Authenticator::new(crate::auth::Config::open(false)),
            super::origin::Browsers::default(),
            super::admission::Settings::default(),
            super::limits::Limits::default(),
        );
        let grant = Arc::new(Grant::open(crate::auth::Patterns::all(), false));
        let presence = admission.enter(Address::UNKNOWN, &grant).unwrap();
        Self::new(subscription, presence, &grant, admission)
    }
}
