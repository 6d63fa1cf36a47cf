//! Control groups, v1 and v2, for one box at a time.
//!
//! [`discover`] finds where a child group can be made for each controller, by mountinfo and `/proc/self/cgroup`, on v1,
//! v2 and hybrid machines alike. [`Reserved`] names one group per box and hierarchy, so that the box's keeper knows them before they
//! are there; [`Cgroup::create`] makes them, with their limits written before anything can join. The group is removed by whoever outlives the box: the supervisor, or the box's keeper
//! when the supervisor was killed; a later process sweeps what a killed machine left ([`Hierarchies::sweep`]).
#![forbid(unsafe_code)]

mod control;
mod discover;
mod files;
mod group;
mod leave;
mod memory;
mod sweep;

pub use discover::{Hierarchies, Place, Version, discover};
pub use group::{Cgroup, CpuReading, Entry, Error, Limiter, Reserved, Wanted};
pub use leave::leave;
pub use memory::MemoryReading;
