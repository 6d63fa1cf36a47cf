//! The programs, loaded once, and the slots and pages that recordings take.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tipstaff_abi::enumerable::Enumerable;
use tipstaff_sys::bpf::Update;

use crate::layout::{Kernel, Tracepoint};
use crate::maps::{Maps, Memories, SLOTS, flag, info, slot};
use crate::programs::{Program, on_demand, tracepoints};
use crate::{Error, Options, Phase, Recording, Setup, Target, Unavailable, probe, specs};

/// Bits of an id below its generation: the page.
pub(crate) const PAGE_BITS: u32 = 11;

/// The loaded programs, shared by all recordings of this process. They are attached when the first recording needs them, and stay so.
///
/// Cheap to clone; with the last clone and the last recording everything is gone from the kernel, and no call of anybody costs more than before.
#[derive(Clone, Debug)]
pub struct Observer(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) maps: Maps,
    pub(crate) memory: Memories,
    pub(crate) arguments: Vec<Enumerable>,
    kernel: Kernel,
    shared: Mutex<Shared>,
}

/// What changes when recordings begin and end.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    programs: BTreeMap<Tracepoint, Program>,
    links: BTreeMap<Tracepoint, OwnedFd>,
    /// The recordings, and the flags of each.
    pub(crate) slots: BTreeMap<u32, u32>,
}

impl Observer {
    /// Loads the programs: some milliseconds. Nothing is attached before the first recording.
    pub fn load(setup: &Setup) -> Result<Self, Unavailable> {
        probe::switched_off()?;
        if !cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            return Err(Unavailable::Architecture);
        }
        if !setup.pages.is_power_of_two()
            || !(64..=1 << PAGE_BITS).contains(&setup.pages)
            || setup.entries == 0
            || setup.paths == 0
        {
            return Err(Unavailable::BadSetup(
                "pages must be a power of two from 64 to 2048, entries and paths at least 1",
            ));
        }
        if !tipstaff_sys::bpf::exists() {
            return Err(Unavailable::NoBpf);
        }
        // Permission first: it is what is missing most often, and says so best.
        let maps = Maps::new(setup, tipstaff_sys::affinity::cpus())?;
        Self::on(Kernel::read()?, maps, setup)
    }

    fn on(kernel: Kernel, maps: Maps, setup: &Setup) -> Result<Self, Unavailable> {
        let memory = maps.memories()?;
        specs::fill(&memory.specs, &setup.arguments)?;
        for page in 0..setup.pages {
            memory.live[(setup.pages + page) as usize].store(u64::from(1 << PAGE_BITS | page), Relaxed);
            let pushed = maps.free.set(&[], &page.to_ne_bytes(), Update::Any);
            pushed.map_err(|errno| Unavailable::Map { name: "ts_free", errno })?;
        }
        let mut shared = Shared::default();
        for tracepoint in tracepoints().filter(|tracepoint| !on_demand(*tracepoint)) {
            shared.programs.insert(tracepoint, Program::load(&kernel, &maps, tracepoint)?);
        }
        let arguments = setup.arguments.clone();
        Ok(Self(Arc::new(Inner { maps, memory, arguments, kernel, shared: Mutex::new(shared) })))
    }

    /// Whether this kernel tells of capabilities (Linux 6.14); else [`Options::capabilities`] is without effect.
    #[must_use]
    pub fn sees_capabilities(&self) -> bool {
        self.0.kernel.tracepoint(Tracepoint::CapCapable).is_ok()
    }

    /// Begins to record. Errors leave nothing behind. When it returns, every task of the target is being recorded; what they do before is not.
    pub fn record(&self, target: &Target, options: &Options) -> Result<Recording, Error> {
        Recording::begin(self, target, options)
    }
}

impl Inner {
    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot of its own, with the programs attached that these flags need.
    pub(crate) fn take_slot(&self, options: &Options, flags: u32) -> Result<u32, Error> {
        let mut shared = self.shared();
        let taken = (0..SLOTS).find(|slot| !shared.slots.contains_key(slot)).ok_or(Error::Full(SLOTS))?;
        for word in 0..slot::WORDS {
            self.word(taken, word).store(0, Relaxed);
        }
        let mut pages = Vec::new();
        for phase in Phase::ALL {
            let Some(page) = self.pop_page() else {
                pages.into_iter().for_each(|page| self.push_page(page));
                return Err(Error::Full(shared.slots.len() as u32));
            };
            self.describe(page, taken, phase, &[]);
            self.word(taken, slot::FALLBACK + phase as usize).store(u64::from(self.open_page(page)), Relaxed);
            pages.push(page);
        }
        self.word(taken, slot::CAP).store(u64::from(options.tuples_per_call), Relaxed);
        self.word(taken, slot::JOINERS)
            .store(u64::from(flags & !flag::PHASE.cast_unsigned()) | options.joiners as u64, Relaxed);
        shared.slots.insert(taken, flags);
        if let Err(error) = self.attach(&mut shared) {
            shared.slots.remove(&taken);
            pages.into_iter().for_each(|page| self.close_page(page));
            return Err(error.into());
        }
        Ok(taken)
    }

    /// Attaches what the recordings need. What is attached stays so as long as the observer lives: a link is gone with the last descriptor of it, and
    /// another thread's fork may hold one for a moment longer. Attached anew meanwhile, a program would run twice for each call.
    fn attach(&self, shared: &mut Shared) -> Result<(), Unavailable> {
        let flags = shared.slots.values().fold(0, |all, flags| all | flags).cast_signed();
        for tracepoint in tracepoints() {
            let wanted = match tracepoint {
                Tracepoint::SysExit => flags & flag::RETURNS != 0,
                Tracepoint::CapCapable => flags & flag::CAPABILITIES != 0 && self.kernel.tracepoint(tracepoint).is_ok(),
                _ => !shared.slots.is_empty(),
            };
            if wanted && !shared.links.contains_key(&tracepoint) {
                let program = match shared.programs.entry(tracepoint) {
                    Entry::Occupied(loaded) => loaded.into_mut(),
                    Entry::Vacant(empty) => empty.insert(Program::load(&self.kernel, &self.maps, tracepoint)?),
                };
                let link = program.attach()?;
                shared.links.insert(tracepoint, link);
            }
        }
        Ok(())
    }

    /// A word of a slot.
    pub(crate) fn word(&self, number: u32, word: usize) -> &std::sync::atomic::AtomicU64 {
        &self.memory.slots[number as usize * slot::WORDS + word]
    }

    /// A free page.
    pub(crate) fn pop_page(&self) -> Option<u32> {
        let mut page = [0; 4];
        self.maps.free.pop(&mut page).ok()?;
        Some(u32::from_ne_bytes(page))
    }

    fn push_page(&self, page: u32) {
        // The queue has room for every page, and each is in it at most once.
        let _ = self.maps.free.set(&[], &page.to_ne_bytes(), Update::Any);
    }

    /// Says whose a page is.
    pub(crate) fn describe(&self, page: u32, number: u32, phase: Phase, names: &[u8]) {
        let words = &self.memory.infos[page as usize * info::SIZE / 8..][..info::SIZE / 8];
        words[0].store(u64::from(number) | (phase as u64) << 32, Relaxed);
        words[info::END as usize / 8].store(names.len() as u64, Relaxed);
        for (word, bytes) in words[info::NAMES as usize / 8..].iter().zip(names.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(whole), Relaxed);
        }
    }

    /// From now on tasks with the id that is returned are counted in it.
    pub(crate) fn open_page(&self, page: u32) -> u32 {
        let id = self.memory.live[(self.maps.pages + page) as usize].load(Relaxed);
        self.memory.live[page as usize].store(id, Relaxed);
        id as u32
    }

    /// The page of an id that is in use.
    pub(crate) fn live(&self, page: u32) -> Option<u32> {
        let id = self.memory.live[page as usize].load(Relaxed) as u32;
        (id != 0).then_some(id)
    }

    /// Empties a page and gives it back; its former id is never used again (but after two million recordings in it).
    pub(crate) fn close_page(&self, page: u32) {
        self.memory.live[page as usize].store(0, Relaxed);
        let next = &self.memory.live[(self.maps.pages + page) as usize];
        let generation = (next.load(Relaxed) as u32).wrapping_add(1 << PAGE_BITS);
        // 0 would be no id.
        let generation = if generation >> PAGE_BITS == 0 { generation | 1 << PAGE_BITS } else { generation };
        next.store(u64::from(generation), Relaxed);
        let per_page = self.maps.shards as usize * 2 * crate::maps::CALLS as usize;
        self.memory.counts[page as usize * per_page..][..per_page].iter().for_each(|count| count.store(0, Relaxed));
        self.push_page(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An observer of a kernel that lacks something.
    fn poorer(change: impl FnOnce(&mut Kernel)) -> Option<Result<Observer, Unavailable>> {
        let setup = Setup { pages: 64, entries: 64, paths: 64, ..Setup::default() };
        let maps = Maps::new(&setup, 1).inspect_err(|error| tipstaff_testkit::note_skip(&error.to_string())).ok()?;
        let mut kernel = Kernel::read().expect("the kernel's types");
        change(&mut kernel);
        Some(Observer::on(kernel, maps, &setup))
    }

    #[test]
    fn without_the_tracepoint_of_capabilities_everything_else_is_recorded() {
        let Some(observer) = poorer(|kernel| kernel.lose(Tracepoint::CapCapable)) else { return };
        let observer = observer.expect("loaded");
        assert!(!observer.sees_capabilities());
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().expect("sleep");
        let options = Options { capabilities: true, ..Options::default() };
        let recording = observer.record(&Target::Tree(child.id().cast_signed()), &options).expect("recording");
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(recording.stop().expect("observed").capabilities.is_empty());
    }

    #[test]
    fn without_a_way_from_a_number_to_a_task_it_loads() {
        let Some(observer) = poorer(|kernel| kernel.task_from_pid = None) else { return };
        observer.expect("loaded");
    }

    #[test]
    fn without_a_tracepoint_that_is_needed_the_reason_is_said() {
        let Some(observer) = poorer(|kernel| kernel.lose(Tracepoint::SchedProcessExec)) else { return };
        let error = observer.expect_err("not loaded");
        assert_eq!(error.to_string(), "the kernel has no tracepoint sched_process_exec");
    }
}
