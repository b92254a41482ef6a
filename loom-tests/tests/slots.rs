//! Models of `src/sync/slots.rs` (M15, M16, M19): one owner a cell, nothing of an old life in a new
//! one, and of those who watch an actor that ends each is told once.
#![cfg(loom)]

use loom_tests::{model, model_exhaustive};
use mainspring::sync::atomic::{AtomicU32, Ordering::Relaxed};
use mainspring::sync::slots::{Life, Table};
use mainspring::sync::{Arc, Mutex, UnsafeCell, thread};

const FLAG: u32 = 1;
const OTHER: u32 = 2;

/// A cell whose content loom watches: written when it is made, then by its owner.
struct Cell {
    life: Life,
    content: UnsafeCell<u32>,
}

// SAFETY: the models write the content as the cell's owner only (G2).
unsafe impl Sync for Cell {}
// SAFETY: as above.
unsafe impl Send for Cell {}

impl Default for Cell {
    fn default() -> Self {
        let cell = Self {
            life: Life::default(),
            content: UnsafeCell::new(0),
        };
        cell.write(7);
        cell
    }
}

impl Cell {
    fn write(&self, value: u32) {
        // SAFETY: the caller owns the cell.
        self.content.with_mut(|content| unsafe { *content = value });
    }

    fn read(&self) -> u32 {
        // SAFETY: the caller owns the cell, or was handed its content.
        self.content.with(|content| unsafe { *content })
    }
}

#[test]
fn a_number_is_handed_out_to_one_owner_at_a_time() {
    model("slots_owners", || {
        let table = Arc::new(Table::<Cell>::new(2));
        let own = |table: &Table<Cell>, rounds: u32| {
            let mut cache = Vec::new();
            for round in 0..rounds {
                assert!(table.refill(&mut cache), "one each is enough");
                let number = cache[0];
                let cell = table.get(number).expect("handed out");
                cell.write(round); // loom reports a second owner
                table.give_back(&mut cache, 0);
            }
        };
        let other = table.clone();
        let other = thread::spawn(move || own(&other, 2));
        own(&table, 2);
        other.join().unwrap();
        assert_eq!(table.handed_out(), 0);
    });
}

#[test]
fn a_cell_that_is_reached_by_its_number_is_complete() {
    model_exhaustive("slots_grow", || {
        let table = Arc::new(Table::<Cell>::new(4));
        let other = table.clone();
        // A stale or forged number may be looked up while its chunk is made.
        let reader = thread::spawn(move || {
            if let Some(cell) = other.get(0) {
                assert_eq!(cell.read(), 7, "G1");
            }
        });
        assert!(table.refill(&mut Vec::new()));
        reader.join().unwrap();
    });
}

#[test]
fn a_table_at_its_limit_hands_out_nothing_twice() {
    model_exhaustive("slots_limit", || {
        let table = Arc::new(Table::<Cell>::new(1));
        let other = table.clone();
        let other = thread::spawn(move || {
            let mut cache = Vec::new();
            other.refill(&mut cache)
        });
        let own = table.refill(&mut Vec::new());
        assert!(own != other.join().unwrap(), "G2");
        assert_eq!(table.handed_out(), 1);
    });
}

#[test]
fn a_flag_meant_for_one_life_never_reaches_the_next() {
    model_exhaustive("slots_generation", || {
        let cell = Arc::new(Cell::default());
        let generation = cell.life.generation();
        let stranger = cell.clone();
        let stranger = thread::spawn(move || {
            let set = stranger.life.set(generation, FLAG, 0);
            assert!(set.is_none_or(|before| before & FLAG == 0));
        });
        assert!(cell.life.next());
        assert_eq!(cell.life.flags(), 0, "G3");
        assert_eq!(cell.life.generation(), generation + 1, "G4");
        stranger.join().unwrap();
        assert_eq!(cell.life.load(), (generation + 1, 0), "G3");
    });
}

#[test]
fn flags_set_at_once_are_all_kept_and_one_that_excludes_wins_once() {
    model_exhaustive("slots_flags", || {
        let cell = Arc::new(Cell::default());
        let generation = cell.life.generation();
        let wins = Arc::new(AtomicU32::new(0));
        let (other, others) = (cell.clone(), wins.clone());
        let other = thread::spawn(move || {
            if other.life.set(generation, FLAG, FLAG).is_some() {
                others.fetch_add(1, Relaxed);
            }
        });
        assert!(cell.life.set(generation, OTHER, 0).is_some());
        if cell.life.set(generation, FLAG, FLAG).is_some() {
            wins.fetch_add(1, Relaxed);
        }
        other.join().unwrap();
        assert_eq!(wins.load(Relaxed), 1, "one step: checked and set");
        assert_eq!(cell.life.flags(), FLAG | OTHER);
    });
}

#[test]
fn a_flag_that_is_cleared_leaves_the_others() {
    model_exhaustive("slots_clear", || {
        let cell = Arc::new(Cell::default());
        let generation = cell.life.generation();
        assert_eq!(cell.life.set(generation, FLAG, 0), Some(0));
        let other = cell.clone();
        let other = thread::spawn(move || other.life.set(generation, OTHER, 0).is_some());
        cell.life.clear(FLAG);
        assert!(other.join().unwrap());
        assert_eq!(cell.life.flags(), OTHER);
    });
}

#[test]
fn a_flag_hands_over_what_was_written_before_it() {
    model_exhaustive("slots_flag_handover", || {
        let cell = Arc::new(Cell::default());
        let generation = cell.life.generation();
        let reader = cell.clone();
        let reader = thread::spawn(move || {
            if reader.life.load().1 & FLAG != 0 {
                assert_eq!(reader.read(), 1);
            }
        });
        cell.write(1);
        assert!(cell.life.set(generation, FLAG, 0).is_some());
        reader.join().unwrap();
    });
}

#[test]
fn the_next_life_hands_over_what_its_owner_wrote() {
    model_exhaustive("slots_next_handover", || {
        let cell = Arc::new(Cell::default());
        let generation = cell.life.generation();
        let reader = cell.clone();
        let reader = thread::spawn(move || {
            if reader.life.set(generation + 1, FLAG, 0).is_some() {
                assert_eq!(reader.read(), 2);
            }
        });
        cell.write(2);
        assert!(cell.life.next());
        reader.join().unwrap();
    });
}

#[test]
fn the_owner_sees_what_the_last_flag_of_a_life_brought() {
    model_exhaustive("slots_last_flag", || {
        let cell = Arc::new(Cell::default());
        let generation = cell.life.generation();
        let setter = cell.clone();
        let setter = thread::spawn(move || {
            setter.write(1);
            setter.life.set(generation, FLAG, 0).is_some()
        });
        // The flag ends the old life; whoever ends it owns the content afterwards.
        let ended = cell.life.set(generation, OTHER, FLAG).is_none();
        if ended {
            assert_eq!(cell.read(), 1, "G3");
        }
        assert!(setter.join().unwrap());
    });
}

const WATCHED: u32 = 4;
const ENDED: u32 = 8;

/// Actors that watch each other, as in `src/system/watch.rs`: a list under one lock, and a flag of the
/// watched one's life that is raised in the step that sees it alive.
struct Watches {
    cells: [Cell; 2],
    /// Who watches each.
    lists: Mutex<[Vec<usize>; 2]>,
    /// How often each was told of the other's end.
    told: [AtomicU32; 2],
}

impl Watches {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            cells: Default::default(),
            lists: Mutex::default(),
            told: [AtomicU32::new(0), AtomicU32::new(0)],
        })
    }

    fn mark(&self, actor: usize) -> bool {
        let life = &self.cells[actor].life;
        life.set(1, WATCHED, ENDED).is_some()
    }

    /// Lets `watcher` hear of the end of `actor`: later or, if it has ended, at once.
    fn watch(&self, watcher: usize, actor: usize) {
        let mut lists = self.lists.lock().unwrap();
        if self.mark(actor) {
            lists[actor].push(watcher);
        } else {
            drop(lists);
            self.tell(watcher);
        }
    }

    fn unwatch(&self, watcher: usize, actor: usize) {
        self.lists.lock().unwrap()[actor].retain(|other| *other != watcher);
    }

    /// Links two: the end of each is the other's news.
    fn link(&self, one: usize, other: usize) {
        let mut lists = self.lists.lock().unwrap();
        if self.mark(one) && self.mark(other) {
            lists[one].push(other);
            lists[other].push(one);
        }
    }

    fn tell(&self, watcher: usize) {
        self.told[watcher].fetch_add(1, Relaxed);
    }

    /// Ends an actor, as the worker that runs it does.
    fn end(&self, actor: usize) {
        let flags = self.cells[actor].life.set(1, ENDED, 0).unwrap();
        if flags & WATCHED != 0 {
            let list = std::mem::take(&mut self.lists.lock().unwrap()[actor]);
            list.into_iter().for_each(|watcher| self.tell(watcher));
        }
        assert!(self.cells[actor].life.next());
    }

    fn told(&self) -> [u32; 2] {
        [0, 1].map(|actor| self.told[actor].load(Relaxed))
    }

    fn is_empty(&self) -> bool {
        self.lists.lock().unwrap().iter().all(Vec::is_empty)
    }
}

#[test]
fn a_monitor_that_meets_the_end_is_told_once() {
    model_exhaustive("slots_monitor", || {
        let watches = Watches::new();
        let ends = watches.clone();
        let ends = thread::spawn(move || ends.end(1));
        watches.watch(0, 1);
        watches.watch(0, 1); // each monitor has its news
        ends.join().unwrap();
        assert_eq!(watches.told(), [2, 0], "one monitor, one Down");
        assert!(watches.is_empty(), "nothing stays of the dead");
    });
}

#[test]
fn a_monitor_that_is_ended_is_told_once_before_or_never() {
    model_exhaustive("slots_unmonitor", || {
        let watches = Watches::new();
        let ends = watches.clone();
        watches.watch(0, 1);
        let ends = thread::spawn(move || ends.end(1));
        watches.unwatch(0, 1);
        let told = watches.told()[0];
        ends.join().unwrap();
        assert!(told <= 1);
        assert!(watches.told()[0] <= 1);
        assert!(watches.is_empty());
    });
}

#[test]
fn two_that_link_to_each_other_and_end_at_once_leave_nothing() {
    model("slots_links", || {
        let watches = Watches::new();
        let other = watches.clone();
        let other = thread::spawn(move || {
            other.link(1, 0);
            other.end(1);
        });
        watches.link(0, 1);
        watches.end(0);
        other.join().unwrap();
        assert!(watches.is_empty(), "nothing stays of the dead");
        let told = watches.told();
        assert!(
            told[0] <= 2 && told[1] <= 2,
            "each link, one news: {told:?}"
        );
    });
}
