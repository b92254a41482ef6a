//! The mailbox policies as the cells keep them: one byte each.

use crate::actor::Behavior;
use crate::actor::cell::Limits;
use crate::config::{MailboxConfig, Overflow, WhenFull};
use crate::envelope::bytes_of;

pub(crate) const REJECT: u8 = 0;
pub(crate) const WAIT: u8 = 1;
pub(crate) const DROP_NEWEST: u8 = 2;
pub(crate) const DROP_OLDEST: u8 = 3;

/// For an actor's own plan.
pub(crate) const DROP: u8 = 2;

/// The limits of an actor's mailbox: as many messages as its bytes allow, at least one.
pub(crate) fn limits<B: Behavior>(config: &MailboxConfig) -> Limits {
    let bytes_each = bytes_of::<B::Message>().saturating_add(B::MESSAGE_HEAP_BYTES);
    let by_bytes = config.capacity_bytes / bytes_each as u64;
    Limits {
        capacity: (config.capacity as u64).min(by_bytes).clamp(1, 32_768) as u16,
        overflow: overflow(config.overflow),
        when_full: when_full(config.when_full),
    }
}

pub(crate) fn overflow(overflow: Overflow) -> u8 {
    match overflow {
        Overflow::Reject => REJECT,
        Overflow::Wait => WAIT,
        Overflow::DropNewest => DROP_NEWEST,
        Overflow::DropOldest => DROP_OLDEST,
    }
}

pub(crate) fn when_full(when_full: WhenFull) -> u8 {
    match when_full {
        WhenFull::Wait => WAIT,
        WhenFull::Refuse => REJECT,
        WhenFull::Drop => DROP,
    }
}
