//! Pinning: which core each worker runs on.
//!
//! ```text
//!   allowed_cores()  ──┐
//!   Topology::read() ──┼─▶ plan(policy, workers, mask, topology) ──▶ worker i: core or none
//!   Pinning, workers ──┘                                                  │
//!                                   on the worker's own thread: pin_current_thread(core)
//! ```
//!
//! - P1: a plan names only cores of the mask.
//! - P2: a policy uses each core of the mask once before it uses one twice.
//! - P3: a list is taken as it stands: worker `i` gets its `i`-th core, or the plan fails.
//!
//! The mask is the calling thread's, which the threads that it starts inherit. It may change while
//! the program runs, so [`pin_current_thread`] reads back what the system did.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::Pinning;

/// The largest core number that the system's mask of 1,024 bits can hold.
pub(crate) const CORE_MAX: usize = 1_023;

/// Where one core sits: equal numbers mean a shared part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The socket.
    pub(crate) package: usize,
    /// The last-level cache, named by its lowest core.
    pub(crate) cache: usize,
    /// The physical core, named by its lowest sibling.
    pub(crate) core: usize,
}

/// The places of the machine's cores; a core that it does not know is taken for a neighbor of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology(BTreeMap<usize, Place>);

impl Topology {
    /// A topology of the cores given.
    #[cfg(all(test, feature = "affinity"))]
    pub(crate) fn new(places: impl IntoIterator<Item = (usize, Place)>) -> Self {
        Self(places.into_iter().collect())
    }

    /// Reads the places of `cores` from the system.
    ///
    /// A handful of small files a core on Linux. Elsewhere, and for each core that the system says
    /// nothing about, nothing is known.
    #[allow(dead_code, reason = "called where the workers start")]
    pub(crate) fn read(cores: &[usize]) -> Self {
        let places = cores.iter().filter_map(|&id| Some((id, read_place(id)?)));
        Self(places.collect())
    }

    fn place(&self, id: usize) -> Place {
        let alone = Place {
            package: 0,
            cache: 0,
            core: id,
        };
        self.0.get(&id).copied().unwrap_or(alone)
    }
}

fn read_place(id: usize) -> Option<Place> {
    let cpu = format!("/sys/devices/system/cpu/cpu{id}");
    let read = |file: &str| std::fs::read_to_string(format!("{cpu}/{file}")).ok();
    // A virtual machine may report no package (-1); one package then holds all cores.
    let package = read("topology/physical_package_id")?;
    let package = package.trim().parse().unwrap_or(0);
    let core = first_of_list(&read("topology/thread_siblings_list")?)?;
    let mut cache = None;
    for index in 0..8 {
        let Some(level) = read(&format!("cache/index{index}/level")) else {
            break;
        };
        if level.trim() == "3" {
            let shared = read(&format!("cache/index{index}/shared_cpu_list"));
            cache = shared.and_then(|list| first_of_list(&list));
        }
    }
    // Without a third level, cores of one package are neighbors.
    let cache = cache.unwrap_or(usize::MAX);
    Some(Place {
        package,
        cache,
        core,
    })
}

/// The first, and so the lowest, number of a kernel list such as `0-3,8`.
fn first_of_list(list: &str) -> Option<usize> {
    let digits = list.trim().split(['-', ',']).next()?;
    digits.parse().ok()
}

/// The cores that the calling thread, and so the threads it starts, may run on, lowest first.
///
/// One system call on Linux (`sched_getaffinity`). Empty where nothing can be known: without the
/// feature `affinity`, or when the system has no such call.
pub(crate) fn allowed_cores() -> Vec<usize> {
    #[cfg(feature = "affinity")]
    let mut cores: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect();
    #[cfg(not(feature = "affinity"))]
    let mut cores: Vec<usize> = Vec::new();
    cores.sort_unstable();
    cores
}

/// The core of each of `workers` workers, or `None` for one that may run anywhere in the mask.
///
/// `compact` fills neighbors first (siblings of one core, then one cache, then one package),
/// `spread` takes them as far apart as possible (packages, then caches, then cores; siblings last).
/// More workers than cores go round the mask again. Pure: the same arguments give the same plan.
///
/// # Errors
///
/// See [`PinError`]; `Pinning::None` never fails.
pub(crate) fn plan(
    policy: &Pinning,
    workers: usize,
    mask: &[usize],
    topology: &Topology,
) -> Result<Vec<Option<usize>>, PinError> {
    if *policy == Pinning::None {
        return Ok(vec![None; workers]);
    }
    if cfg!(not(feature = "affinity")) {
        return Err(PinError::NoFeature);
    }
    if mask.is_empty() {
        return Err(PinError::NoMask);
    }
    let order = match policy {
        Pinning::Compact => compact(mask, topology),
        Pinning::Spread => spread(mask, topology),
        Pinning::Cores(list) => {
            if let Some(&core) = list.iter().find(|core| !mask.contains(core)) {
                let mask = mask.to_vec();
                return Err(PinError::OutsideMask { core, mask });
            }
            if list.len() < workers {
                let cores = list.len();
                return Err(PinError::ShortList { cores, workers });
            }
            list.clone()
        }
        Pinning::None => unreachable!("returned above"),
    };
    Ok(order.into_iter().map(Some).cycle().take(workers).collect())
}

fn compact(mask: &[usize], topology: &Topology) -> Vec<usize> {
    let mut order = mask.to_vec();
    order.sort_unstable_by_key(|&id| (topology.place(id), id));
    order.dedup();
    order
}

fn spread(mask: &[usize], topology: &Topology) -> Vec<usize> {
    // Sorted, so that siblings stand together: layer 0 holds each core's first, and so on.
    let mut layers: Vec<Vec<usize>> = Vec::new();
    let mut previous = None;
    let mut rank = 0;
    for id in compact(mask, topology) {
        let place = topology.place(id);
        rank = if previous == Some(place) { rank + 1 } else { 0 };
        previous = Some(place);
        if layers.len() == rank {
            layers.push(Vec::new());
        }
        layers[rank].push(id);
    }
    let package = |id: usize| topology.place(id).package;
    let cache = |id: usize| topology.place(id).cache;
    let mut order = Vec::with_capacity(mask.len());
    for layer in layers {
        let packages = groups(layer, package);
        let packages = packages.into_iter().map(|ids| deal(groups(ids, cache)));
        order.extend(deal(packages.collect()));
    }
    order
}

/// Splits a sorted run of cores where `part` changes.
fn groups(ids: Vec<usize>, part: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let chunks = ids.chunk_by(|&a, &b| part(a) == part(b));
    chunks.map(<[usize]>::to_vec).collect()
}

/// One from each pile in turn, until all are empty.
fn deal(piles: Vec<Vec<usize>>) -> Vec<usize> {
    let longest = piles.iter().map(Vec::len).max().unwrap_or(0);
    let rounds = (0..longest).flat_map(|round| piles.iter().filter_map(move |p| p.get(round)));
    rounds.copied().collect()
}

/// Binds the calling thread to `core` and, where the system can tell, reads back that it did.
///
/// Two system calls. The thread keeps its new mask until it ends, and threads that it starts
/// inherit it.
///
/// # Errors
///
/// [`PinError::NoFeature`] without the feature `affinity`; [`PinError::Refused`] when the system
/// says no, as for a core that has left the process's set since [`allowed_cores`], or when the
/// thread's mask is another one afterwards.
#[allow(dead_code, reason = "called by each worker on its own thread")]
pub(crate) fn pin_current_thread(core: usize) -> Result<(), PinError> {
    #[cfg(feature = "affinity")]
    {
        // A larger number leaves the fixed mask of the crate below, which aborts the process.
        let set =
            core <= CORE_MAX && core_affinity::set_for_current(core_affinity::CoreId { id: core });
        if !set || (cfg!(target_os = "linux") && allowed_cores() != [core]) {
            let mask = allowed_cores();
            return Err(PinError::Refused { core, mask });
        }
        Ok(())
    }
    #[cfg(not(feature = "affinity"))]
    {
        let _ = core;
        Err(PinError::NoFeature)
    }
}

/// Why workers cannot be pinned as asked.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinError {
    /// The library was built without its feature `affinity`.
    NoFeature,
    /// The system does not tell which cores this process may use.
    NoMask,
    /// A list names a core that this process may not use.
    OutsideMask {
        /// The core asked for.
        core: usize,
        /// The cores that the process may use.
        mask: Vec<usize>,
    },
    /// A list has fewer cores than there are workers.
    ShortList {
        /// Length of the list.
        cores: usize,
        /// Workers to pin.
        workers: usize,
    },
    /// The system did not bind the thread to the core.
    Refused {
        /// The core asked for.
        core: usize,
        /// The cores that the thread may use now.
        mask: Vec<usize>,
    },
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFeature => {
                f.write_str("pinning needs the feature `affinity`, which is off in this build")
            }
            Self::NoMask => {
                f.write_str("the system does not tell which cores this process may use")
            }
            Self::OutsideMask { core, mask } => write!(
                f,
                "core {core} is not one of the cores that this process may use ({})",
                Ranges(mask)
            ),
            Self::ShortList { cores, workers } => write!(
                f,
                "cores for {cores} of {workers} threads, expected one for each"
            ),
            Self::Refused { core, mask } => write!(
                f,
                "the system did not bind the thread to core {core}; it may use {}",
                Ranges(mask)
            ),
        }
    }
}

impl std::error::Error for PinError {}

/// Sorted core numbers as the kernel writes them: `0-3,8`.
pub(crate) struct Ranges<'a>(pub(crate) &'a [usize]);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match run {
                [one] => write!(f, "{comma}{one}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Two packages, each with two caches of two cores with two siblings: 16 logical cores,
    /// numbered as Linux does, second siblings last.
    #[cfg(feature = "affinity")]
    fn big() -> Topology {
        Topology::new((0..16).map(|id| {
            let core = id % 8;
            let place = Place {
                package: core / 4,
                cache: core / 2 * 2,
                core,
            };
            (id, place)
        }))
    }

    #[cfg(feature = "affinity")]
    #[test]
    fn a_plan_is_a_function_of_policy_workers_mask_and_topology() {
        use Pinning::{Compact, Cores, Spread};
        let all: Vec<usize> = (0..16).collect();
        let one_high = vec![1023];
        let two = vec![5, 13];
        let (flat, big) = (Topology::default(), big());
        type Row<'a> = (Pinning, usize, &'a [usize], &'a Topology, &'a [usize]);
        let rows: Vec<Row<'_>> = vec![
            // siblings, then the cache, then the package
            (Compact, 6, &all, &big, &[0, 8, 1, 9, 2, 10]),
            (Compact, 3, &[0, 1, 4, 5, 8], &big, &[0, 8, 1]),
            // packages, then caches, then cores, siblings last
            (Spread, 10, &all, &big, &[0, 4, 2, 6, 1, 5, 3, 7, 8, 12]),
            // an uneven mask: all cores before any sibling
            (Spread, 5, &[0, 8, 4, 5, 6], &big, &[0, 4, 6, 5, 8]),
            // a mask of one high core, and of two siblings
            (Compact, 3, &one_high, &flat, &[1023, 1023, 1023]),
            (Spread, 2, &one_high, &flat, &[1023, 1023]),
            (Compact, 3, &two, &big, &[5, 13, 5]),
            (Spread, 3, &two, &big, &[5, 13, 5]),
            (Cores(vec![13, 5]), 2, &two, &big, &[13, 5]),
            // the set has changed: the same policy follows it
            (Compact, 2, &[2, 3], &flat, &[2, 3]),
            (Compact, 2, &[6, 7], &flat, &[6, 7]),
            // an unsorted mask with a repeat
            (Compact, 3, &[3, 1, 3, 2], &flat, &[1, 2, 3]),
            // a list: exactly those, repeats and spare ones too
            (Cores(vec![3, 1, 3]), 3, &all, &flat, &[3, 1, 3]),
            (Cores(vec![3, 1, 2]), 2, &all, &flat, &[3, 1]),
            (Compact, 0, &all, &flat, &[]),
        ];
        for (policy, workers, mask, topology, expected) in rows {
            let cores = plan(&policy, workers, mask, topology).unwrap();
            let expected: Vec<_> = expected.iter().copied().map(Some).collect();
            assert_eq!(cores, expected, "{policy:?} of {workers} on {mask:?}");
        }
    }

    #[test]
    fn no_policy_pins_nobody_and_needs_no_mask() {
        let cores = plan(&Pinning::None, 2, &[], &Topology::default());
        assert_eq!(cores, Ok(vec![None, None]));
    }

    #[cfg(feature = "affinity")]
    #[test]
    fn a_plan_uses_each_core_of_the_mask_before_it_uses_one_twice() {
        // Every mask of 8 of the cores, both policies, up to three times round.
        for bits in 1u32..256 {
            let ids = (0..8).filter(|i| bits & (1 << i) != 0).map(|i| i * 2);
            let mask: Vec<usize> = ids.collect();
            for policy in [Pinning::Compact, Pinning::Spread] {
                let cores = plan(&policy, mask.len() * 3, &mask, &big()).unwrap();
                for round in cores.chunks(mask.len()) {
                    let mut round: Vec<usize> = round.iter().map(|core| core.unwrap()).collect();
                    round.sort_unstable();
                    assert_eq!(round, mask, "{policy:?}");
                }
            }
        }
    }

    #[cfg(feature = "affinity")]
    #[test]
    fn an_impossible_plan_says_which_core_and_which_mask() {
        let flat = Topology::default();
        let failure = |policy, workers, mask: &[usize]| {
            let error = plan(&policy, workers, mask, &flat).unwrap_err();
            error.to_string()
        };
        assert_eq!(
            failure(Pinning::Cores(vec![1, 4]), 2, &[0, 1, 2, 5, 7, 8]),
            "core 4 is not one of the cores that this process may use (0-2,5,7-8)"
        );
        assert_eq!(
            failure(Pinning::Cores(vec![0]), 3, &[0, 1]),
            "cores for 1 of 3 threads, expected one for each"
        );
        assert_eq!(
            failure(Pinning::Compact, 1, &[]),
            "the system does not tell which cores this process may use"
        );
    }

    #[cfg(not(feature = "affinity"))]
    #[test]
    fn without_the_feature_a_request_to_pin_names_it() {
        let policies = [Pinning::Compact, Pinning::Spread, Pinning::Cores(vec![0])];
        for policy in policies {
            let plan = plan(&policy, 1, &[0], &Topology::default());
            assert_eq!(plan, Err(PinError::NoFeature));
        }
        assert_eq!(pin_current_thread(0), Err(PinError::NoFeature));
        let text = PinError::NoFeature.to_string();
        assert!(text.contains("`affinity`"), "{text}");
    }

    #[cfg(all(feature = "affinity", target_os = "linux"))]
    mod on_this_machine {
        use super::*;
        use std::thread;

        fn kernel_list() -> String {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let mut lines = status.lines();
            let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            list.unwrap().trim().to_owned()
        }

        #[test]
        fn the_allowed_cores_are_the_kernels() {
            assert_eq!(Ranges(&allowed_cores()).to_string(), kernel_list());
        }

        #[test]
        fn each_planned_worker_is_where_the_plan_says() {
            let mask = allowed_cores();
            let topology = Topology::read(&mask);
            for policy in [
                Pinning::Compact,
                Pinning::Spread,
                Pinning::Cores(mask.clone()),
            ] {
                let cores = plan(&policy, mask.len(), &mask, &topology).unwrap();
                for core in cores.into_iter().flatten() {
                    let read_back = thread::spawn(move || {
                        pin_current_thread(core).unwrap();
                        kernel_list()
                    });
                    assert_eq!(read_back.join().unwrap(), core.to_string(), "{policy:?}");
                }
            }
        }

        #[test]
        fn a_core_that_is_not_there_is_refused_and_the_mask_stays() {
            let mask = allowed_cores();
            for core in [CORE_MAX, CORE_MAX + 1, usize::MAX] {
                if mask.contains(&core) {
                    continue;
                }
                let mask = mask.clone();
                let refused = thread::spawn(move || (pin_current_thread(core), allowed_cores()));
                let (refused, after) = refused.join().unwrap();
                assert_eq!(after, mask);
                assert_eq!(refused, Err(PinError::Refused { core, mask }));
            }
        }

        #[test]
        fn a_thread_of_a_pinned_thread_sees_the_narrow_mask() {
            let core = *allowed_cores().last().unwrap();
            let inherited = thread::spawn(move || {
                pin_current_thread(core).unwrap();
                thread::spawn(allowed_cores).join().unwrap()
            });
            assert_eq!(inherited.join().unwrap(), [core]);
        }
    }

    #[test]
    fn a_kernel_list_begins_with_its_lowest_core() {
        assert_eq!(first_of_list("0-3,8\n"), Some(0));
        assert_eq!(first_of_list("12\n"), Some(12));
        assert_eq!(first_of_list("7,15"), Some(7));
        assert_eq!(first_of_list("\n"), None);
    }
}
