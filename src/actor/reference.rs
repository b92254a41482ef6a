//! Addresses: inert, copyable names of actors.

use std::any::type_name;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::NonZeroU32;

/// The address of an actor that takes messages of type `M`.
///
/// It is 12 bytes, `Copy`, and cannot send: plans and [`Handle`](crate::Handle)s do. It stays
/// valid for as long as the actor lives, restarts included; what is sent to it afterwards is a
/// dead letter, and never reaches the next actor in the same place.
pub struct ActorRef<M> {
    pub(crate) address: Address,
    message: PhantomData<fn(M)>,
}

/// An address without the type of its messages; it can be compared, printed and watched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub(crate) cell: u32,
    pub(crate) generation: NonZeroU32,
    pub(crate) system: u32,
}

impl Address {
    pub(crate) const NOBODY: Self = Self {
        cell: 0,
        generation: NonZeroU32::MAX,
        system: 0,
    };
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Address {
    /// `system/cell.generation`, as in `3/17.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NOBODY {
            return f.write_str("nobody");
        }
        write!(f, "{}/{}.{}", self.system, self.cell, self.generation)
    }
}

impl<M> ActorRef<M> {
    /// The one who gives the type `M` vouches that the actor there takes it.
    pub(crate) fn from_address(address: Address) -> Self {
        Self {
            address,
            message: PhantomData,
        }
    }

    /// The address without its message type.
    pub fn address(&self) -> Address {
        self.address
    }
}

impl<M> Clone for ActorRef<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for ActorRef<M> {}
impl<M> PartialEq for ActorRef<M> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}
impl<M> Eq for ActorRef<M> {}
impl<M> Hash for ActorRef<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address.hash(state);
    }
}
impl<M> PartialOrd for ActorRef<M> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<M> Ord for ActorRef<M> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.address.cmp(&other.address)
    }
}
impl<M> fmt::Debug for ActorRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef<{}>({})", type_name::<M>(), self.address)
    }
}
impl<M> From<ActorRef<M>> for Address {
    fn from(actor: ActorRef<M>) -> Self {
        actor.address
    }
}
