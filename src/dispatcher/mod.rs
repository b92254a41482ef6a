//! The dispatcher: workers and the cores that they run on.

pub(crate) mod pinning;
