//! Tasks as threads: std's names for them, and what each has for its own.

use super::world::{self, Local, NEVER, Place, block, point, wake};
use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Ends what the task that runs has for its own, the newest first.
pub(super) fn end_locals() {
    while let Some(value) = world::with_locals(|locals| {
        let newest = locals.iter_mut().rev();
        newest
            .filter(|local| local.drops)
            .find_map(|local| local.value.take())
    }) {
        drop(value);
    }
}

/// As std's, with a value for each task.
macro_rules! local {
    ($($(#[$about:meta])* $view:vis static $name:ident: $value:ty = const $init:block;)*) => {$(
        $(#[$about])*
        $view static $name: $crate::sync::thread::LocalKey<$value> =
            $crate::sync::thread::LocalKey::new(|| $init);
    )*};
}
pub(crate) use local as thread_local;

/// As std's.
pub mod thread {
    use super::*;

    /// As std's.
    pub fn panicking() -> bool {
        world::panicking()
    }

    /// As std's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ThreadId(usize);

    /// As std's.
    #[derive(Clone, Debug)]
    pub struct Thread(Arc<Place>);

    impl Thread {
        /// As std's.
        #[must_use]
        pub fn id(&self) -> ThreadId {
            ThreadId(self.0.number)
        }

        /// As std's.
        pub fn unpark(&self) {
            point();
            self.0.token.store(true, Relaxed);
            wake(&self.0);
        }
    }

    /// As std's.
    #[must_use]
    pub fn current() -> Thread {
        Thread(world::here())
    }

    /// As std's, never for nothing.
    pub fn park() {
        park_until(NEVER);
    }

    /// As std's.
    pub fn park_timeout(limit: Duration) {
        park_until(world::deadline_ns(limit));
    }

    fn park_until(deadline_ns: u64) {
        point();
        let here = world::here();
        while !here.token.swap(false, Relaxed) && !world::is_over(deadline_ns) {
            block(deadline_ns);
        }
    }

    /// As std's.
    pub fn sleep(limit: Duration) {
        let deadline_ns = world::deadline_ns(limit);
        while !world::is_over(deadline_ns) {
            block(deadline_ns);
        }
    }

    /// As std's.
    pub fn yield_now() {
        point();
        if world::is_explored() && !world::panicking() {
            shuttle::thread::yield_now();
        }
    }

    /// As std's.
    #[derive(Debug, Default)]
    pub struct Builder(());

    impl Builder {
        /// As std's.
        #[must_use]
        pub fn new() -> Self {
            Self::default()
        }

        /// The name is not used.
        #[must_use]
        pub fn name(self, _: String) -> Self {
            self
        }

        /// All stacks are of the size that the schedule was begun with.
        #[must_use]
        pub fn stack_size(self, _: usize) -> Self {
            self
        }

        /// As std's.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn spawn<T: Send + 'static>(
            self,
            run: impl FnOnce() -> T + Send + 'static,
        ) -> std::io::Result<JoinHandle<T>> {
            Ok(spawn(run))
        }
    }

    /// As std's.
    pub fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        point();
        world::begin();
        let result = Arc::new(Mutex::new(None));
        let answer = result.clone();
        let task = shuttle::thread::spawn(move || {
            let value = run();
            super::end_locals();
            point();
            *answer.lock().expect("nobody panics with it") = Some(value);
            world::end();
        });
        let place = world::place_of(task.thread());
        JoinHandle { place, result }
    }

    /// As std's.
    #[derive(Debug)]
    pub struct JoinHandle<T> {
        place: Arc<Place>,
        result: Arc<Mutex<Option<T>>>,
    }

    impl<T> JoinHandle<T> {
        /// As std's.
        #[must_use]
        pub fn is_finished(&self) -> bool {
            point();
            self.place.ended.load(Relaxed)
        }

        /// As std's; `Ok` always: a thread that panics ends the schedule.
        ///
        /// # Errors
        ///
        /// Never.
        ///
        /// # Panics
        ///
        /// Never.
        pub fn join(self) -> std::thread::Result<T> {
            while !self.is_finished() {
                let mut joiners = self.place.joiners.lock().expect("nobody panics with it");
                joiners.push(world::here());
                drop(joiners);
                block(NEVER);
            }
            let value = self.result.lock().expect("nobody panics with it").take();
            Ok(value.expect("it has ended, and is joined once"))
        }
    }

    /// As std's, with a value for each task.
    #[derive(Debug)]
    pub struct LocalKey<T: 'static>(fn() -> T);

    /// The value has ended with its task.
    #[derive(Clone, Copy, Debug)]
    pub struct AccessError;

    impl<T> LocalKey<T> {
        /// A key whose values begin with `init`'s.
        #[must_use]
        pub const fn new(init: fn() -> T) -> Self {
            Self(init)
        }

        /// As std's.
        ///
        /// # Errors
        ///
        /// [`AccessError`] when the task is at its end.
        pub fn try_with<R>(&'static self, look: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
            let key = std::ptr::from_ref(self).addr();
            let find = |locals: &mut Vec<Local>| {
                let local = locals.iter().find(|local| local.key == key)?;
                Some(local.value.clone())
            };
            let value: Rc<dyn Any> = match world::with_locals(find) {
                Some(value) => value.ok_or(AccessError)?,
                None => {
                    let value: Rc<dyn Any> = Rc::new(self.0());
                    let (value, drops) = (Some(value), std::mem::needs_drop::<T>());
                    let local = Local { key, value, drops };
                    world::with_locals(|locals| locals.push(local));
                    return self.try_with(look);
                }
            };
            Ok(look(value.downcast_ref().expect("the key's type")))
        }

        /// As std's.
        ///
        /// # Panics
        ///
        /// When the task is at its end.
        pub fn with<R>(&'static self, look: impl FnOnce(&T) -> R) -> R {
            self.try_with(look).expect("the task is not at its end")
        }
    }

    impl<T> LocalKey<Cell<T>> {
        /// As std's.
        pub fn get(&'static self) -> T
        where
            T: Copy,
        {
            self.with(Cell::get)
        }

        /// As std's.
        pub fn set(&'static self, value: T) {
            self.with(|cell| cell.set(value));
        }

        /// As std's.
        pub fn replace(&'static self, value: T) -> T {
            self.with(|cell| cell.replace(value))
        }
    }
}
