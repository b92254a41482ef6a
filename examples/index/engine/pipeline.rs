//! The index built by actors.
//!
//! ```text
//!            batches        texts              words of one shard
//!   walker ──────────▶ readers ──────▶ tokenizers ──────────▶ shards ◀─┐ seal, shares
//!     │                                    │ fingerprints              │
//!     │                                    ├────────────▶ twins ◀──────┤ group
//!     │ how many batches there are         │ entries                   │
//!     └────────────────────────────────────┴────────────▶ catalog ─────┘
//! ```
//!
//! Nobody here limits how much is under way: a turn commits when all whom it tells have room, and
//! waits otherwise. A full shard thus holds up the tokenizers, these the readers, and these the
//! walker, while the workers run what can go on.
//!
//! Nor does anybody wait for stragglers: the catalog hears of a batch in the same commit that sends
//! its words to the shards, so once it has heard of all, what it asks of a shard comes after them
//! (messages keep causal order).

use super::corpus::{Batch, Listing, Trouble, Walk, list};
use super::ranking::{Duplicates, Hit, best, duplicates, query_words};
use super::shard::{Lengths, Postings, Shard, Shares};
use super::text::{Document, Entry, Fingerprint, Indexed, index, shard_of, word_hash};
use super::{Answers, Contents, Report, in_order, lengths, read_all};
use mainspring::prelude::*;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// Messages that a mailbox holds: up to 256 KiB of text each.
const CAPACITY: usize = 16;
/// How long an actor waits for room, or for an answer: while others work, always.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// A machine that never changes: whom an actor talks to.
struct Fixed<T>(T);
impl<T: Send + 'static> Machine for Fixed<T> {
    type Event = Infallible;
    fn apply(&mut self, never: Infallible) {
        match never {}
    }
}

// The walker reads one folder a turn, or hands one batch on.

struct Walker {
    walk: Walk,
    readers: Vec<ActorRef<Batch>>,
    catalog: ActorRef<ToCatalog>,
}
enum Walked {
    Listed(Listing),
    Sent(usize),
}
impl Machine for Walker {
    type Event = Walked;
    fn apply(&mut self, event: Walked) {
        match event {
            Walked::Listed(listing) => self.walk.listed(listing),
            Walked::Sent(files) => self.walk.sent(files),
        }
    }
}

#[derive(Clone, Copy)]
struct Walking;
struct Step;
impl Behavior for Walking {
    type Machine = Walker;
    type Message = Step;
    fn on_message(&self, _: Step, walker: Snapshot<Self>) -> Plan<Self> {
        let on = Plan::tell(walker.me(), Step);
        if let Some(batch) = walker.walk.next_batch() {
            let reader = walker.readers[batch.number % walker.readers.len()];
            return Plan::emit(Walked::Sent(batch.files.len()))
                .and(Plan::tell(reader, batch))
                .and(on);
        }
        let Some(folder) = walker.walk.next_folder() else {
            let batches = walker.walk.batches_sent();
            return Plan::tell(walker.catalog, ToCatalog::AllSent { batches }).and(Plan::stop());
        };
        let mut listing = list(folder);
        let (troubles, special) = (std::mem::take(&mut listing.troubles), listing.special);
        let plan = Plan::emit(Walked::Listed(listing)).and(on);
        if troubles.is_empty() && special == 0 {
            return plan;
        }
        plan.and(Plan::tell(
            walker.catalog,
            ToCatalog::PassedOver { troubles, special },
        ))
    }
}

// Readers and tokenizers have no state.

#[derive(Clone, Copy)]
struct Reading;
impl Behavior for Reading {
    type Machine = Fixed<Vec<ActorRef<Vec<Document>>>>;
    type Message = Batch;
    fn on_message(&self, batch: Batch, tokenizers: Snapshot<Self>) -> Plan<Self> {
        let Fixed(tokenizers) = tokenizers.machine();
        let tokenizer = tokenizers[batch.number % tokenizers.len()];
        Plan::tell(tokenizer, read_all(&batch))
    }
}

struct Downstream {
    shards: Vec<ActorRef<ToShard>>,
    twins: ActorRef<ToTwins>,
    catalog: ActorRef<ToCatalog>,
}

#[derive(Clone, Copy)]
struct Tokenizing;
impl Behavior for Tokenizing {
    type Machine = Fixed<Downstream>;
    type Message = Vec<Document>;
    fn on_message(&self, documents: Vec<Document>, to: Snapshot<Self>) -> Plan<Self> {
        let Fixed(to) = to.machine();
        let Indexed {
            postings,
            entries,
            fingerprints,
        } = index(documents, to.shards.len());
        let shards = to
            .shards
            .iter()
            .zip(postings)
            .filter(|(_, postings)| !postings.is_empty());
        let plan = shards.fold(Plan::none(), |plan: Plan<Self>, (&shard, postings)| {
            plan.and(Plan::tell(shard, ToShard::Add(postings)))
        });
        plan.and(Plan::tell(to.twins, ToTwins::Add(fingerprints)))
            .and(Plan::tell(to.catalog, ToCatalog::Done(entries)))
    }
}

// Shards.

pub(crate) enum Sharded {
    Added(Postings),
    Sealed(Arc<Lengths>),
}
impl Machine for Shard {
    type Event = Sharded;
    fn apply(&mut self, event: Sharded) {
        match event {
            Sharded::Added(postings) => self.add(&postings),
            Sharded::Sealed(lengths) => self.seal(lengths),
        }
    }
}

/// Words of a query by their places in it.
type Placed<T> = Vec<(usize, T)>;

enum ToShard {
    Add(Postings),
    Seal(Arc<Lengths>, Reply<()>),
    Shares(Placed<String>, Reply<Placed<Shares>>),
    Contents(Reply<Contents>),
}

#[derive(Clone, Copy)]
struct Sharding;
impl Behavior for Sharding {
    type Machine = Shard;
    type Message = ToShard;
    fn on_message(&self, message: ToShard, shard: Snapshot<Self>) -> Plan<Self> {
        match message {
            ToShard::Add(postings) => Plan::emit(Sharded::Added(postings)),
            ToShard::Seal(lengths, reply) => {
                Plan::emit(Sharded::Sealed(lengths)).and(Plan::reply(reply, ()))
            }
            ToShard::Shares(words, reply) => {
                let shares = words
                    .iter()
                    .map(|(place, word)| (*place, shard.shares(word)));
                Plan::reply(reply, shares.collect())
            }
            ToShard::Contents(reply) => Plan::reply(reply, shard.contents()),
        }
    }
}

// The twins' actor finds duplicates.

#[derive(Default)]
struct Twins(Vec<Fingerprint>);
impl Machine for Twins {
    type Event = Vec<Fingerprint>;
    fn apply(&mut self, more: Vec<Fingerprint>) {
        self.0.extend(more);
    }
}

enum ToTwins {
    Add(Vec<Fingerprint>),
    Group(Reply<Duplicates>),
}

#[derive(Clone, Copy)]
struct Pairing;
impl Behavior for Pairing {
    type Machine = Twins;
    type Message = ToTwins;
    fn on_message(&self, message: ToTwins, twins: Snapshot<Self>) -> Plan<Self> {
        match message {
            ToTwins::Add(fingerprints) => Plan::emit(fingerprints),
            ToTwins::Group(reply) => Plan::reply(reply, duplicates(&twins.0)),
        }
    }
}

// The catalog knows the files, when all is done, and the open queries.

struct Catalog {
    shards: Vec<ActorRef<ToShard>>,
    twins: ActorRef<ToTwins>,
    report: Report,
    progress: Progress,
    batches_done: usize,
    batches_all: Option<usize>,
    /// Shards that are not sealed, and the twins' actor.
    unfinished: usize,
    waiting: Option<Deferred<Report>>,
    open: BTreeMap<u64, Query>,
    queries: u64,
}

struct Query {
    reply: Deferred<Vec<Hit>>,
    /// Shards that have not answered.
    missing: usize,
    shares: Placed<Shares>,
}

/// How far the pipeline has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

enum Noted {
    Waits(Deferred<Report>),
    PassedOver(Vec<Trouble>, u64),
    Done(Vec<Entry>),
    AllSent(usize),
    InOrder,
    Sealed,
    Grouped(Duplicates),
    Asked(Query),
    Answered(u64, Placed<Shares>),
    Closed(u64),
}

impl Machine for Catalog {
    type Event = Noted;
    fn apply(&mut self, event: Noted) {
        match event {
            Noted::Waits(reply) => self.waiting = Some(reply),
            Noted::PassedOver(troubles, special) => {
                self.report.troubles.extend(troubles);
                self.report.special += special;
            }
            Noted::Done(entries) => {
                self.batches_done += 1;
                self.progress.files += entries.len() as u64;
                self.progress.bytes += entries.iter().map(|entry| entry.bytes).sum::<u64>();
                self.report.entries.extend(entries);
            }
            Noted::AllSent(batches) => self.batches_all = Some(batches),
            Noted::InOrder => {
                self.report.entries.sort_unstable_by_key(|entry| entry.id);
                self.unfinished = self.shards.len() + 1;
            }
            Noted::Sealed => self.unfinished -= 1,
            Noted::Grouped(duplicates) => {
                self.report.duplicates = duplicates;
                self.unfinished -= 1;
            }
            Noted::Asked(query) => {
                self.open.insert(self.queries, query);
                self.queries += 1;
            }
            Noted::Answered(number, shares) => {
                if let Some(query) = self.open.get_mut(&number) {
                    query.missing -= 1;
                    query.shares.extend(shares);
                }
            }
            Noted::Closed(number) => drop(self.open.remove(&number)),
        }
    }
}

enum ToCatalog {
    /// Asks for the report once all is built.
    Await(Reply<Report>),
    Progress(Reply<Progress>),
    PassedOver {
        troubles: Vec<Trouble>,
        special: u64,
    },
    Done(Vec<Entry>),
    AllSent {
        batches: usize,
    },
    /// To itself, when a turn has to see what the one before it noted.
    Look,
    InOrder,
    Sealed,
    Grouped(Duplicates),
    Search(String, Reply<Vec<Hit>>),
    Answered(u64, Placed<Shares>),
    /// To itself, as `Look`: the report is complete.
    Built,
    /// To itself, as `Look`: all shares of a query are there.
    Rank(u64),
}

#[derive(Clone, Copy)]
struct Cataloging;
impl Behavior for Cataloging {
    type Machine = Catalog;
    type Message = ToCatalog;
    fn on_message(&self, message: ToCatalog, catalog: Snapshot<Self>) -> Plan<Self> {
        let look = || Plan::tell(catalog.me(), ToCatalog::Look);
        match message {
            ToCatalog::Await(reply) => Plan::emit(Noted::Waits(reply.defer())),
            ToCatalog::Progress(reply) => Plan::reply(reply, catalog.progress),
            ToCatalog::PassedOver { troubles, special } => {
                Plan::emit(Noted::PassedOver(troubles, special))
            }
            ToCatalog::Done(entries) => {
                let is_last = catalog.batches_all == Some(catalog.batches_done + 1);
                let plan = Plan::emit(Noted::Done(entries));
                if is_last { plan.and(look()) } else { plan }
            }
            ToCatalog::AllSent { batches } => {
                let are_done = catalog.batches_done == batches;
                let plan = Plan::emit(Noted::AllSent(batches));
                if are_done { plan.and(look()) } else { plan }
            }
            ToCatalog::Look => {
                Plan::emit(Noted::InOrder).and(Plan::tell(catalog.me(), ToCatalog::InOrder))
            }
            ToCatalog::InOrder => self.seal(&catalog),
            ToCatalog::Sealed => self.one_finished(Noted::Sealed, &catalog),
            ToCatalog::Grouped(groups) => self.one_finished(Noted::Grouped(groups), &catalog),
            ToCatalog::Search(query, reply) => self.search(&query, reply, &catalog),
            ToCatalog::Answered(number, shares) => {
                let missing = catalog.open.get(&number).map(|query| query.missing);
                let plan = Plan::emit(Noted::Answered(number, shares));
                match missing {
                    Some(1) => plan.and(Plan::tell(catalog.me(), ToCatalog::Rank(number))),
                    _ => plan,
                }
            }
            ToCatalog::Built => match &catalog.waiting {
                Some(reply) => Plan::reply_deferred(reply, catalog.report.clone()),
                None => Plan::none(),
            },
            ToCatalog::Rank(number) => self.rank(number, &catalog),
        }
    }
}

impl Cataloging {
    /// All words are in the shards, or on their way ahead of these questions.
    fn seal(&self, catalog: &Snapshot<Self>) -> Plan<Self> {
        let lengths = lengths(&catalog.report.entries);
        let group = Plan::<Self>::ask(catalog.twins, ToTwins::Group).on_ok(ToCatalog::Grouped);
        let seals = catalog.shards.iter().map(|&shard| {
            let lengths = lengths.clone();
            Plan::<Self>::ask(shard, |reply| ToShard::Seal(lengths, reply))
                .on_ok(|()| ToCatalog::Sealed)
        });
        seals.fold(group.into(), Plan::and)
    }

    fn one_finished(&self, event: Noted, catalog: &Snapshot<Self>) -> Plan<Self> {
        let plan = Plan::emit(event);
        match catalog.unfinished {
            1 => plan.and(Plan::tell(catalog.me(), ToCatalog::Built)),
            _ => plan,
        }
    }

    /// Asks each shard that has words of the query for their shares.
    fn search(&self, query: &str, reply: Reply<Vec<Hit>>, catalog: &Snapshot<Self>) -> Plan<Self> {
        let mut by_shard = BTreeMap::<usize, Placed<String>>::new();
        for (place, word) in query_words(query).into_iter().enumerate() {
            let shard = shard_of(word_hash(&word), catalog.shards.len());
            by_shard.entry(shard).or_default().push((place, word));
        }
        if by_shard.is_empty() {
            return Plan::reply(reply, Vec::new());
        }
        let number = catalog.queries;
        let asked = Plan::emit(Noted::Asked(Query {
            reply: reply.defer(),
            missing: by_shard.len(),
            shares: Vec::new(),
        }));
        by_shard.into_iter().fold(asked, |plan, (shard, words)| {
            plan.and(
                Plan::<Self>::ask(catalog.shards[shard], |reply| ToShard::Shares(words, reply))
                    .on_ok(move |shares| ToCatalog::Answered(number, shares)),
            )
        })
    }

    /// Answers a query that has all of its shares.
    fn rank(&self, number: u64, catalog: &Snapshot<Self>) -> Plan<Self> {
        let Some(query) = catalog.open.get(&number) else {
            return Plan::unhandled();
        };
        let mut shares: Vec<&(usize, Shares)> = query.shares.iter().collect();
        shares.sort_unstable_by_key(|(place, _)| *place);
        let shares: Vec<&Shares> = shares.into_iter().map(|(_, shares)| shares).collect();
        Plan::reply_deferred(&query.reply, best(&shares)).and(Plan::emit(Noted::Closed(number)))
    }
}

// The outside.

/// A pipeline that runs, and then the index that it has built.
pub(crate) struct Pipeline {
    system: System,
    walker: Handle<Step>,
    catalog: Handle<ToCatalog>,
    shards: Vec<Handle<ToShard>>,
}

impl Pipeline {
    /// Makes the actors for `root`; nothing is read yet.
    ///
    /// # Errors
    ///
    /// As [`System::with_config`] and [`System::spawn`].
    pub(crate) fn new(root: &Path, workers: usize) -> mainspring::Result<Self> {
        let config = Config::builder()
            .workers(workers)
            .mailbox_capacity(CAPACITY)
            .mailbox_commit_deadline(PATIENCE)
            .ask_timeout(PATIENCE)
            .build()?;
        let system = System::with_config(config)?;
        // Twice as many as workers: one that waits for room leaves its worker another.
        let shards = (0..2 * workers).map(|_| system.spawn(Sharding, Shard::default()));
        let shards = shards.collect::<Result<Vec<_>, _>>()?;
        let twins = system.spawn(Pairing, Twins::default())?.actor();
        let shard_actors: Vec<_> = shards.iter().map(|shard| shard.actor()).collect();
        let catalog = system.spawn(
            Cataloging,
            Catalog {
                shards: shard_actors.clone(),
                twins,
                report: Report::default(),
                progress: Progress::default(),
                batches_done: 0,
                batches_all: None,
                unfinished: 0,
                waiting: None,
                open: BTreeMap::new(),
                queries: 0,
            },
        )?;
        let tokenizers = (0..2 * workers).map(|_| {
            let downstream = Downstream {
                shards: shard_actors.clone(),
                twins,
                catalog: catalog.actor(),
            };
            let tokenizer = system.spawn(Tokenizing, Fixed(downstream))?;
            Ok(tokenizer.actor())
        });
        let tokenizers = tokenizers.collect::<Result<Vec<_>, mainspring::SpawnError>>()?;
        let readers = (0..workers).map(|_| {
            let reader = system.spawn(Reading, Fixed(tokenizers.clone()))?;
            Ok(reader.actor())
        });
        let walker = Walker {
            walk: Walk::new(root),
            readers: readers.collect::<Result<_, mainspring::SpawnError>>()?,
            catalog: catalog.actor(),
        };
        let walker = system.spawn(Walking, walker)?;
        Ok(Self {
            walker: (*walker).clone(),
            catalog: (*catalog).clone(),
            shards: shards.iter().map(|shard| (**shard).clone()).collect(),
            system,
        })
    }

    /// Builds the index and returns the report. Calls `show` now and then.
    ///
    /// # Errors
    ///
    /// When a message was lost: an actor panicked.
    pub(crate) fn build(&self, mut show: impl FnMut(Progress)) -> mainspring::Result<Report> {
        let report = self.catalog.ask(ToCatalog::Await);
        self.walker
            .tell(Step)
            .map_err(|refused| refused.to_string())?;
        self.wait(report, |pipeline| {
            // A full mailbox has better things to do than this; the next time will do.
            if let Ok(progress) = pipeline.catalog.ask(ToCatalog::Progress).wait() {
                show(progress);
            }
        })
    }

    /// The best files for a query.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::build`].
    pub(crate) fn search(&self, query: &str) -> mainspring::Result<Vec<Hit>> {
        let query = query.to_owned();
        let hits = self.catalog.ask(|reply| ToCatalog::Search(query, reply));
        self.wait(hits, |_| {})
    }

    /// All that the index answers.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::build`].
    pub(crate) fn answers(
        &self,
        report: Report,
        queries: &[String],
    ) -> mainspring::Result<Answers> {
        let mut contents = Contents::new();
        for shard in &self.shards {
            contents.extend(self.wait(shard.ask(ToShard::Contents), |_| {})?);
        }
        let hits = queries.iter().map(|query| self.search(query));
        Ok(Answers {
            report,
            contents: in_order(contents),
            hits: hits.collect::<mainspring::Result<_>>()?,
        })
    }

    /// Waits for an answer, however long it takes, unless a message was lost: then it may never
    /// come.
    fn wait<T: Send>(
        &self,
        ask: mainspring::Ask<T>,
        mut tick: impl FnMut(&Self),
    ) -> mainspring::Result<T> {
        let mut ask = pin!(ask);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(answer) = ask.as_mut().poll(&mut context) {
                return Ok(answer?);
            }
            if self.system.dead_letter_count() > 0 {
                let why = self
                    .system
                    .dead_letters()
                    .first()
                    .map_or(String::new(), |letter| {
                        format!(": {}: {}", letter.message, letter.cause)
                    });
                return Err(format!("a message was lost{why}").into());
            }
            thread::park_timeout(Duration::from_millis(100));
            tick(self);
        }
    }
}

struct Unpark(Thread);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
