//! Compute steps: CPU work off the turn, on the system's own pool; its result is a message.
//!
//! ```text
//!   plan: compute(job, token, on_done) ── commit ──▶ pool ──▶ job(token)
//!                                                              │ value | panic | cancelled
//!   on_message(on_done(result)) ◀── the actor's own turn ◀─────┘
//! ```
//!
//! - The result comes exactly once while the actor lives; it takes no place in the mailbox.
//! - When the actor ends, the tokens of its jobs are cancelled and their results dropped.
//! - The pool starts with the first job, and ends with the system.

use crate::actor::Behavior;
use crate::actor::cell::panic_text;
use crate::ask::{AskError, Reply};
use crate::config::ComputeConfig;
use crate::dispatcher::pinning::{self, PinError};
use crate::dispatcher::worker;
use crate::envelope::{Inside, Kind, Parcel};
use crate::plan::{Outcome, Plan};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::time::Instant;
use crate::sync::{Arc, Mutex, lock};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Asks a compute step to end early; its job looks at it. Clones ask the same jobs.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    asked: Arc<AtomicBool>,
    /// The actor that wants the result has ended; the job's own.
    gone: Option<Arc<AtomicBool>>,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels: jobs that have not begun never will, the others may look. Can't be undone.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether to end early: cancelled, or, in a job, its actor has ended. Two loads.
    pub fn is_cancelled(&self) -> bool {
        let set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        set(&self.asked) || self.gone.as_ref().is_some_and(set)
    }
}

/// Why a compute step has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComputeError {
    /// Its token was cancelled before it began.
    Cancelled,
    /// It panicked, with this text.
    Panicked(std::sync::Arc<str>),
    /// As many steps wait for a thread as `compute.queue_max` allows.
    Full,
    /// The operating system refused threads for the pool.
    NoThreads,
    /// The system shut down before it began.
    Ended,
}

impl fmt::Display for ComputeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the compute step was cancelled before it began"),
            Self::Panicked(text) => write!(f, "the compute step panicked: {text}"),
            Self::Full => f.write_str("as many compute steps wait as compute.queue_max allows"),
            Self::NoThreads => f.write_str("no threads for compute steps could be started"),
            Self::Ended => f.write_str("the system shut down before the compute step began"),
        }
    }
}

impl std::error::Error for ComputeError {}

/// Tells a job that nobody wants its result.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<B: Behavior> Plan<B> {
    /// `job` runs on the system's compute pool after the commit; its result becomes the message
    /// that `on_done` makes of it, in a turn of this actor. A panic of the job is an error of the
    /// result and nothing else.
    ///
    /// The message takes no place in the mailbox. Jobs begin in the order of their commits. In a
    /// system that its host steps, the job runs on the host's thread with the commit.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::{CancelToken, ComputeError};
    ///
    /// #[derive(Clone, Copy)]
    /// struct Summing;
    /// enum Sum {
    ///     UpTo(u64, Reply<u64>),
    ///     Done(Result<u64, ComputeError>, Reply<u64>),
    /// }
    /// # struct Nothing;
    /// # impl Machine for Nothing {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) {}
    /// # }
    /// impl Behavior for Summing {
    ///     type Machine = Nothing;
    ///     type Message = Sum;
    ///     fn on_message(&self, sum: Sum, _: Snapshot<Self>) -> Plan<Self> {
    ///         match sum {
    ///             Sum::UpTo(n, reply) => Plan::compute(
    ///                 move |_| (1..=n).sum(),
    ///                 CancelToken::new(),
    ///                 |result| Sum::Done(result, reply),
    ///             ),
    ///             Sum::Done(Ok(sum), reply) => Plan::reply(reply, sum),
    ///             Sum::Done(Err(_), _) => Plan::none(), // the reply is dropped
    ///         }
    ///     }
    /// }
    /// let system = System::new()?;
    /// let summing = system.spawn(Summing, Nothing)?;
    /// assert_eq!(summing.ask(|reply| Sum::UpTo(1_000, reply)).wait()?, 500_500);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn compute<T: Send + 'static>(
        job: impl FnOnce(&CancelToken) -> T + Send + 'static,
        token: CancelToken,
        on_done: impl FnOnce(Result<T, ComputeError>) -> B::Message + Send + 'static,
    ) -> Self {
        let gone = Gone(Arc::new(AtomicBool::new(false)));
        let token = CancelToken {
            asked: token.asked,
            gone: Some(gone.0.clone()),
        };
        let (me, number) = worker::next_ask();
        let reply = Reply::<Result<T, ComputeError>>::to_actor(me, number);
        let continuation = Parcel::closure::<Outcome, Result<B::Message, AskError>, _>(
            Kind::Continue,
            move |outcome: Outcome| {
                drop(gone);
                let result = outcome.map(Inside::try_take::<Result<T, ComputeError>>);
                Ok(on_done(match result {
                    Ok(Some(result)) => result,
                    Ok(None) => unreachable!("an ask's answer is of the type that was asked for"),
                    Err(_) => Err(ComputeError::Ended),
                }))
            },
            [number, u64::MAX],
        );
        let job = Job { job, token, reply };
        let submit = move |()| {
            worker::with(|worker| {
                if let Some(worker) = worker {
                    worker.shared.compute.submit(job);
                }
            });
        };
        Self::awaiting(
            continuation,
            Parcel::closure::<(), (), _>(Kind::Step, submit, [0; 2]),
        )
    }
}

/// One job, and whom its result goes to.
struct Job<F, T: Send + 'static> {
    job: F,
    token: CancelToken,
    reply: Reply<Result<T, ComputeError>>,
}

impl<F: FnOnce(&CancelToken) -> T, T: Send + 'static> Job<F, T> {
    fn run(self) {
        let Self { job, token, reply } = self;
        let result = if token.is_cancelled() {
            Err(ComputeError::Cancelled)
        } else {
            let run = AssertUnwindSafe(|| job(&token));
            catch_unwind(run).map_err(|payload| ComputeError::Panicked(panic_text(payload)))
        };
        reply.answer(Ok(result));
    }

    fn refuse(self, error: ComputeError) {
        self.reply.answer(Ok(Err(error)));
    }
}

/// The pool of one system.
pub(crate) struct Compute {
    /// Started by the first job.
    pool: Mutex<Option<Pool>>,
    cores: Vec<Option<usize>>,
    queue_max: usize,
    /// Jobs that have not begun.
    waiting: AtomicUsize,
    ended: AtomicBool,
    is_stepped: bool,
}

/// Its threads, and how many of them have not ended.
struct Pool {
    pool: Arc<ThreadPool>,
    threads: Arc<AtomicUsize>,
}

impl Compute {
    pub(crate) fn new(
        config: &ComputeConfig,
        allowed: &[usize],
        topology: &pinning::Topology,
        is_stepped: bool,
    ) -> Result<Arc<Self>, PinError> {
        Ok(Arc::new(Self {
            pool: Mutex::new(None),
            cores: pinning::plan(&config.pinning, config.threads, allowed, topology)?,
            queue_max: config.queue_max,
            waiting: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            is_stepped,
        }))
    }

    fn submit<F, T: Send + 'static>(self: &Arc<Self>, job: Job<F, T>)
    where
        F: FnOnce(&CancelToken) -> T + Send + 'static,
    {
        if self.is_stepped {
            return job.run();
        }
        let pool = match self.pool() {
            Ok(pool) => pool,
            Err(error) => return job.refuse(error),
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue_max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return job.refuse(ComputeError::Full);
        }
        let compute = self.clone();
        pool.spawn_fifo(move || {
            compute.waiting.fetch_sub(1, Ordering::Relaxed);
            if compute.ended.load(Ordering::Relaxed) {
                job.refuse(ComputeError::Ended);
            } else {
                job.run();
            }
        });
    }

    fn pool(&self) -> Result<Arc<ThreadPool>, ComputeError> {
        let mut pool = lock(&self.pool);
        if self.ended.load(Ordering::Relaxed) {
            return Err(ComputeError::Ended);
        }
        if let Some(pool) = &*pool {
            return Ok(pool.pool.clone());
        }
        let cores = self.cores.clone();
        // Its own: threads of a pool that is not made in the end count here too.
        let threads = Arc::new(AtomicUsize::new(self.cores.len()));
        let running = threads.clone();
        let built = ThreadPoolBuilder::new()
            .num_threads(self.cores.len())
            .thread_name(|index| format!("compute-{index}"))
            .start_handler(move |index| {
                // The cores were allowed when the system started; one that has left the mask
                // since leaves the thread free.
                let _ = cores[index].map(pinning::pin_current_thread);
            })
            .exit_handler(move |_| {
                running.fetch_sub(1, Ordering::Release);
            })
            .build();
        let built = Arc::new(built.map_err(|_| ComputeError::NoThreads)?);
        *pool = Some(Pool {
            pool: built.clone(),
            threads,
        });
        Ok(built)
    }

    /// Ends the pool: no job begins any more. Returns how many threads are in a job still at
    /// `deadline`.
    pub(crate) fn end(&self, deadline: Instant) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        let Some(Pool { pool, threads }) = lock(&self.pool).take() else {
            return 0;
        };
        drop(pool);
        loop {
            let threads = threads.load(Ordering::Acquire);
            if threads == 0 || Instant::now() >= deadline {
                return threads;
            }
            crate::sync::thread::sleep(Duration::from_micros(100));
        }
    }
}
