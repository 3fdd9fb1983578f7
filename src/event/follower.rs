//! Who wants to know how one notification fares on its way to the readers.
//!
//! In a build without the feature `otlp` nobody does, and all of it is nothing.

use std::{fmt::Debug, time::SystemTime};

use super::EventId;

/// Follows one notification. It is told under locks: it must be quick, and wait
/// for nothing. One that is dropped and was never told anything followed what was
/// nobody's.
pub trait Follower: Debug + Send + Sync {
    /// It became an event, and its channel has so many readers.
    fn taken_in(&self, id: EventId, received_at: SystemTime, readers: usize);

    /// One or more readers were given it just now. Said again for those who
    /// follow.
    fn given(&self);
}

/// Who follows a notification, if anybody does. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Followed(#[cfg(feature = "otlp")] Option<std::sync::Arc<dyn Follower>>);

#[cfg(feature = "otlp")]
impl Followed {
    /// Somebody does.
    pub fn by(follower: impl Follower + 'static) -> Self {
        Self(Some(std::sync::Arc::new(follower)))
    }
}

impl Followed {
    fn follower(&self) -> Option<&dyn Follower> {
        #[cfg(feature = "otlp")]
        return self.0.as_deref();
        #[cfg(not(feature = "otlp"))]
        None
    }

    /// Whether anybody does.
    pub fn is_followed(&self) -> bool {
        self.follower().is_some()
    }

    /// See [`Follower::taken_in`].
    pub fn taken_in(&self, id: EventId, received_at: SystemTime, readers: usize) {
        if let Some(follower) = self.follower() {
            follower.taken_in(id, received_at, readers);
        }
    }

    /// See [`Follower::given`].
    pub fn given(&self) {
        if let Some(follower) = self.follower() {
            follower.given();
        }
    }
}

/// Those among what one reader takes in one turn.
#[derive(Debug, Default)]
pub struct FollowedTurn(#[cfg(feature = "otlp")] Vec<Followed>);

impl FollowedTurn {
    /// One more was taken.
    pub fn push(&mut self, followed: &Followed) {
        #[cfg(feature = "otlp")]
        if followed.is_followed() {
            self.0.push(followed.clone());
        }
        #[cfg(not(feature = "otlp"))]
        let _ = followed;
    }

    /// The reader has been given all of them.
    pub fn given(self) {
        #[cfg(feature = "otlp")]
        self.0.iter().for_each(Followed::given);
    }
}

#[cfg(all(test, not(feature = "otlp")))]
mod tests {
    use super::*;

    /// An event and a reader are no larger for it.
    #[test]
    fn nobody_takes_no_room() {
        assert_eq!((size_of::<Followed>(), size_of::<FollowedTurn>()), (0, 0));
    }
}
