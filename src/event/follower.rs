//! Observers of one notification's delivery to the readers.
//!
//! Without the feature `otlp` there are none, and this module compiles to nothing.

use std::{fmt::Debug, time::SystemTime};

use super::EventId;

/// Observer of one notification. Called under locks: it must be quick and must
/// not block. If it is dropped without a call, its channel was not listened to.
pub trait Follower: Debug + Send + Sync {
    /// It became an event, and its channel has this number of readers.
    fn taken_in(&self, id: EventId, received_at: SystemTime, readers: usize);

    /// It was delivered to one or more readers just now. Called again for later
    /// readers.
    fn given(&self);
}

/// The follower of a notification, if there is one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Followed(#[cfg(feature = "otlp")] Option<std::sync::Arc<dyn Follower>>);

#[cfg(feature = "otlp")]
impl Followed {
    /// With this follower.
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

    /// Whether there is a follower.
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

/// The followed notifications among those that one reader takes before it waits.
#[derive(Debug, Default)]
pub struct FollowedTurn(#[cfg(feature = "otlp")] Vec<Followed>);

impl FollowedTurn {
    /// Adds a notification that was taken, if it is followed.
    pub fn push(&mut self, followed: &Followed) {
        #[cfg(feature = "otlp")]
        if followed.is_followed() {
            self.0.push(followed.clone());
        }
        #[cfg(not(feature = "otlp"))]
        let _ = followed;
    }

    /// All of them were delivered to the reader.
    pub fn given(self) {
        #[cfg(feature = "otlp")]
        self.0.iter().for_each(Followed::given);
    }
}

#[cfg(all(test, not(feature = "otlp")))]
mod tests {
    use super::*;

    /// Events and readers do not grow without the feature.
    #[test]
    fn nobody_takes_no_room() {
        assert_eq!((size_of::<Followed>(), size_of::<FollowedTurn>()), (0, 0));
    }
}
