//! Something that waits until the test says so.

use std::sync::{Arc, Condvar, Mutex};

/// Work that ends when the test says so.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets all go on who wait, and who will.
    pub fn open(&self) {
        *self.0.0.lock().expect("gate") = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open.
    pub fn wait(&self) {
        let shut = self.0.0.lock().expect("gate");
        drop(self.0.1.wait_while(shut, |open| !*open).expect("gate"));
    }
}
