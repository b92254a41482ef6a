//! What the tasks of one schedule share: the time, and who of them waits.
//!
//! ```text
//!            a reading: on by up to two microseconds, now and then to the next deadline
//!   time  ──────●──●────●─────────────────────────●───────▶
//!                                                 │ all tasks wait: on to the next deadline
//!   awake   3      2    1                        0, 1
//! ```
//!
//! A sleeper is woken by whoever changes what it waits for, and by the time; it looks again each
//! time. So a wake too many does no harm, and one that is forgotten shows: the task waits for ever.
//!
//! While a task unwinds nobody else runs, unless it has to wait, so that drops in a panic see what
//! they see in a thread of their own.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// A deadline that never comes.
pub(super) const NEVER: u64 = u64::MAX;
/// The longest that the time jumps on while somebody is awake.
const JUMP_MAX_NS: u64 = 20_000_000;

/// One task, as those who wake it know it.
#[derive(Debug)]
pub(super) struct Place {
    task: shuttle::thread::Thread,
    pub(super) number: usize,
    /// Lets one `park` through.
    pub(super) token: AtomicBool,
    pub(super) ended: AtomicBool,
    /// Who waits for its end.
    pub(super) joiners: std::sync::Mutex<Vec<Arc<Place>>>,
}

/// A value of one task's own.
pub(super) struct Local {
    pub(super) key: usize,
    pub(super) value: Option<Rc<dyn std::any::Any>>,
    /// Whether it ends with the task: a value without a destructor stays to the end.
    pub(super) drops: bool,
}

struct World {
    now_ns: u64,
    /// Those that have not ended.
    tasks: usize,
    random: u64,
    places: HashMap<usize, Arc<Place>>,
    locals: HashMap<usize, Vec<Local>>,
    /// Those who wait, with their deadlines, in the order in which they came.
    sleepers: Vec<(Arc<Place>, u64)>,
    /// Woken while somebody unwound: to be told at the next step.
    untold: Vec<Arc<Place>>,
    /// The task that had to wait while it unwound.
    unwinds: Option<usize>,
}

std::thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    static IS_EXPLORED: Cell<bool> = const { Cell::new(false) };
}

/// Numbers the schedules, so that a lock held by a task of an earlier one is known to be free.
static SCHEDULES: AtomicUsize = AtomicUsize::new(0);

/// Runs `run`, the first task of a schedule, in a world of its own. The tasks that it starts have to
/// end before it.
///
/// # Panics
///
/// When it is no task of shuttle's, or some of those that it started have not ended.
pub fn explored(run: impl FnOnce()) {
    SCHEDULES.fetch_add(1, Relaxed);
    let random = shuttle::rand::RngCore::next_u64(&mut shuttle::rand::thread_rng());
    WORLD.set(Some(World {
        now_ns: 1_000_000,
        tasks: 1,
        random,
        places: HashMap::new(),
        locals: HashMap::new(),
        sleepers: Vec::new(),
        untold: Vec::new(),
        unwinds: None,
    }));
    IS_EXPLORED.set(true);
    run();
    super::threads::end_locals();
    assert_eq!(
        threads(),
        0,
        "threads that the end of the system left behind"
    );
    IS_EXPLORED.set(false);
    drop(WORLD.take());
}

/// How many threads have begun and not ended.
pub fn threads() -> usize {
    with(|world| world.tasks - 1)
}

/// Forgets a schedule that did not come to its end.
pub fn abandon() {
    IS_EXPLORED.set(false);
    std::mem::forget(WORLD.take());
}

fn with<R>(look: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(|world| look(world.as_mut().expect("a schedule runs")))
}

pub(super) fn is_explored() -> bool {
    IS_EXPLORED.get()
}

/// The number of this schedule.
pub(super) fn schedule() -> usize {
    SCHEDULES.load(Relaxed)
}

/// The task that runs.
pub(super) fn here() -> Arc<Place> {
    let number = task_number();
    let known = with(|world| world.places.get(&number).cloned());
    known.unwrap_or_else(|| place_of(&shuttle::thread::current()))
}

/// The place of a task.
pub(super) fn place_of(task: &shuttle::thread::Thread) -> Arc<Place> {
    let number = task.id().into();
    let place = || {
        Arc::new(Place {
            task: task.clone(),
            number,
            token: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            joiners: std::sync::Mutex::default(),
        })
    };
    with(|world| world.places.entry(number).or_insert_with(place).clone())
}

fn task_number() -> usize {
    shuttle::current::me().into()
}

/// Gives `look` what the task that runs has for its own.
pub(super) fn with_locals<R>(look: impl FnOnce(&mut Vec<Local>) -> R) -> R {
    let number = task_number();
    with(|world| look(world.locals.entry(number).or_default()))
}

/// Another task may run now; before each operation that others can see.
pub(crate) fn point() {
    if is_explored() && !panicking() {
        tell();
        shuttle::thread::sleep(Duration::ZERO); // no more than a switch
    }
}

/// As std's, of this task alone.
pub(crate) fn panicking() -> bool {
    if !std::thread::panicking() {
        if is_explored() {
            with(|world| world.unwinds = None);
        }
        return false;
    }
    !is_explored() || with(|world| world.unwinds).is_none_or(|task| task == task_number())
}

/// A task more, which is awake.
pub(super) fn begin() {
    with(|world| world.tasks += 1);
}

/// The task that runs ends: it waits for nothing more, and nothing here knows it any more.
pub(super) fn end() {
    let here = here();
    let joiners = std::mem::take(&mut *here.joiners.lock().expect("nobody panics with it"));
    here.ended.store(true, Relaxed);
    let woken = with(|world| {
        for joiner in &joiners {
            world.rouse(joiner);
        }
        world.tasks -= 1;
        world.jump_if_all_sleep();
        std::mem::take(&mut world.untold)
    });
    // From the first of these on, the schedule may end.
    for place in woken {
        place.task.unpark();
    }
}

/// Waits for a wake, until `deadline_ns` at most; it may also return for nothing.
pub(super) fn block(deadline_ns: u64) {
    assert!(is_explored(), "a wait outside of a schedule");
    let here = here();
    if std::thread::panicking() && panicking() {
        with(|world| world.unwinds = Some(here.number));
    }
    with(|world| {
        world.sleepers.push((here.clone(), deadline_ns));
        world.jump_if_all_sleep();
    });
    tell();
    while with(|world| world.sleeps(&here).is_some()) {
        shuttle::thread::park();
    }
}

/// Ends the wait of `place`, if it waits.
pub(super) fn wake(place: &Arc<Place>) {
    if is_explored() {
        with(|world| world.rouse(place));
        if !panicking() {
            tell();
        }
    }
}

/// Lets those who were woken run.
fn tell() {
    for place in with(|world| std::mem::take(&mut world.untold)) {
        place.task.unpark();
    }
}

impl World {
    /// Where `place` is among those who wait.
    fn sleeps(&self, place: &Arc<Place>) -> Option<usize> {
        let mut sleepers = self.sleepers.iter();
        sleepers.position(|(sleeper, _)| Arc::ptr_eq(sleeper, place))
    }

    fn rouse(&mut self, place: &Arc<Place>) {
        if let Some(found) = self.sleeps(place) {
            self.untold.push(self.sleepers.remove(found).0);
        }
    }

    fn next_deadline(&self) -> u64 {
        let deadlines = self.sleepers.iter().map(|&(_, deadline)| deadline);
        deadlines.min().unwrap_or(NEVER)
    }

    fn move_to(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        let due = |sleeper: &mut (Arc<Place>, u64)| sleeper.1 <= now_ns;
        let due = self.sleepers.extract_if(.., due);
        self.untold.extend(due.map(|(place, _)| place));
    }

    /// When nobody is awake it is the next deadline, if there is one. Else shuttle finds that none of
    /// its tasks can run, and says so.
    fn jump_if_all_sleep(&mut self) {
        let next = self.next_deadline();
        if self.tasks == self.sleepers.len() && next != NEVER {
            self.move_to(self.now_ns.max(next));
        }
    }

    /// Splitmix: G. Steele and others, "Fast splittable pseudorandom number generators", 2014.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// Reads the time, which moves it.
pub(super) fn now_ns() -> u64 {
    if !is_explored() {
        static OUTSIDE: AtomicU64 = AtomicU64::new(0);
        return OUTSIDE.fetch_add(1_000, Relaxed);
    }
    let now_ns = with(|world| {
        let random = world.random();
        let to_next = world.next_deadline().saturating_sub(world.now_ns);
        let by = match (random >> 32) % 256 {
            0 => to_next.min(JUMP_MAX_NS),
            n if n < 8 => random % 100_000,
            _ => random % 2_000,
        };
        world.move_to(world.now_ns + by + 1);
        world.now_ns
    });
    if !panicking() {
        tell();
    }
    now_ns
}

/// What `limit` from now on is, without moving the time.
pub(super) fn deadline_ns(limit: Duration) -> u64 {
    let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(NEVER);
    with(|world| world.now_ns.saturating_add(limit_ns))
}

/// Whether the time has come to `deadline_ns`.
pub(super) fn is_over(deadline_ns: u64) -> bool {
    with(|world| world.now_ns >= deadline_ns)
}

/// What tells the time.
pub mod time {
    use std::ops::{Add, AddAssign, Sub};
    use std::time::Duration;

    /// As std's, of the schedule's time.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Instant(u64);

    impl Instant {
        /// As std's.
        #[must_use]
        pub fn now() -> Self {
            Self(super::now_ns())
        }

        /// As std's.
        #[must_use]
        pub fn elapsed(&self) -> Duration {
            Self::now() - *self
        }

        /// As std's.
        #[must_use]
        pub fn duration_since(&self, earlier: Self) -> Duration {
            *self - earlier
        }
    }

    impl Sub for Instant {
        type Output = Duration;
        fn sub(self, earlier: Self) -> Duration {
            Duration::from_nanos(self.0.saturating_sub(earlier.0))
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;
        fn add(self, by: Duration) -> Self {
            let by_ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            Self(self.0.saturating_add(by_ns))
        }
    }

    impl AddAssign<Duration> for Instant {
        fn add_assign(&mut self, by: Duration) {
            *self = *self + by;
        }
    }
}
