//! The run queues: crossbeam's. Under `--cfg mainspring_shuttle` each call is one step, before which
//! another task may run.

#[cfg(not(mainspring_shuttle))]
pub use crossbeam_deque::{Injector, Steal, Stealer, Worker};

#[cfg(mainspring_shuttle)]
pub use steps::{Injector, Steal, Stealer, Worker};

#[cfg(mainspring_shuttle)]
mod steps {
    use crate::sync::shuttle::point;
    pub use crossbeam_deque::Steal;

    /// As crossbeam's.
    #[derive(Debug)]
    pub struct Worker<T>(crossbeam_deque::Worker<T>);

    /// As crossbeam's.
    #[derive(Debug)]
    pub struct Stealer<T>(crossbeam_deque::Stealer<T>);

    /// As crossbeam's.
    #[derive(Debug)]
    pub struct Injector<T>(crossbeam_deque::Injector<T>);

    macro_rules! steps {
        ($of:ident: $($step:ident($($name:ident: $type:ty),*) -> $result:ty;)*) => {
            impl<T> $of<T> {$(
                /// As crossbeam's.
                pub fn $step(&self $(, $name: $type)*) -> $result {
                    point();
                    self.0.$step($($name),*)
                }
            )*}
        };
    }

    steps! { Worker:
        push(value: T) -> ();
        pop() -> Option<T>;
        is_empty() -> bool;
        len() -> usize;
    }
    steps! { Stealer:
        steal() -> Steal<T>;
        is_empty() -> bool;
        len() -> usize;
    }
    steps! { Injector:
        push(value: T) -> ();
        is_empty() -> bool;
        len() -> usize;
    }

    impl<T> Worker<T> {
        /// As crossbeam's.
        #[must_use]
        pub fn new_fifo() -> Self {
            Self(crossbeam_deque::Worker::new_fifo())
        }

        /// As crossbeam's.
        #[must_use]
        pub fn new_lifo() -> Self {
            Self(crossbeam_deque::Worker::new_lifo())
        }

        /// As crossbeam's.
        #[must_use]
        pub fn stealer(&self) -> Stealer<T> {
            Stealer(self.0.stealer())
        }
    }

    impl<T> Stealer<T> {
        /// As crossbeam's.
        pub fn steal_batch_and_pop(&self, to: &Worker<T>) -> Steal<T> {
            point();
            self.0.steal_batch_and_pop(&to.0)
        }
    }

    impl<T> Injector<T> {
        /// As crossbeam's.
        #[must_use]
        #[allow(clippy::new_without_default)] // as the one it stands for is made
        pub fn new() -> Self {
            Self(crossbeam_deque::Injector::new())
        }

        /// As crossbeam's.
        pub fn steal_batch_and_pop(&self, to: &Worker<T>) -> Steal<T> {
            point();
            self.0.steal_batch_and_pop(&to.0)
        }
    }
}
