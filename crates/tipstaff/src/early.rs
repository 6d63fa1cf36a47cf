//! The network namespace of a box, made while its profile is still being lowered: it takes longer than all other namespaces together.

use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use tipstaff_policy::profile::{Namespace, Namespaces, Profile};
use tipstaff_policy::value::NetSpec;
use tipstaff_sys::signal::{self, SigSet};
use tipstaff_sys::{capability, unshare};

/// A namespace in the making, by a thread that ends with it.
#[derive(Debug)]
pub(crate) struct Early(JoinHandle<Option<OwnedFd>>);

impl Early {
    /// If the profile will get a network namespace as far as one can tell now, and can have it without a user namespace. Should it be lowered to
    /// something else, nobody asks for this one, and it goes.
    pub fn begin(profile: &Profile) -> Option<Self> {
        let network = &profile.network;
        let nobody = network.allow.iter().flatten().all(|spec| matches!(spec, NetSpec::None))
            && network.deny.is_empty()
            && network.bind.is_empty();
        let wanted = match &profile.isolation.namespaces {
            None | Some(Namespaces::Auto) => true,
            Some(Namespaces::None) => false,
            Some(Namespaces::Only(set)) => set.contains(&Namespace::Net),
        };
        if !nobody || !wanted || !capability::has(capability::SYS_ADMIN) {
            return None;
        }
        let make = || {
            // A host's signal handlers run in its own threads.
            signal::set_mask(SigSet::ALL_OF_A_HOST);
            unshare::network().ok()
        };
        thread::Builder::new().name("tipstaff-net".into()).stack_size(64 << 10).spawn(make).ok().map(Self)
    }

    /// The namespace; None where none could be made: whoever starts the box then finds out why.
    pub fn network(self) -> Option<OwnedFd> {
        self.0.join().ok().flatten()
    }
}
