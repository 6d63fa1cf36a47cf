//! A terminal with a test at its other end.
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::User;

/// The side of the terminal where a person would sit.
#[derive(Debug)]
pub struct Pty {
    keyboard: File,
    terminal: PathBuf,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

#[derive(Debug, Default)]
struct Shown {
    bytes: Vec<u8>,
    /// How far [`Pty::expect`] has read.
    read: usize,
    ended: bool,
}

impl Pty {
    /// A new terminal that `user` may open.
    pub fn new(user: User) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname(&master, Vec::new()).expect("ptsname").into_string().expect("a path in ASCII");
        user.own(Path::new(&name));
        tcsetwinsize(&master, size(24, 80)).expect("size");
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().expect("a second handle");
        let shown = Arc::new((Mutex::new(Shown::default()), Condvar::new()));
        let shared = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                // EIO says that nobody has the terminal open any more.
                let n = screen.read(&mut buffer).unwrap_or(0);
                let mut shown = shared.0.lock().expect("no test panics with the lock");
                shown.bytes.extend_from_slice(&buffer[..n]);
                shown.ended = n == 0;
                shared.1.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        Self { keyboard, terminal: name.into(), shown }
    }

    /// The path of the terminal.
    pub fn path(&self) -> &Path {
        &self.terminal
    }

    /// Types `keys`.
    pub fn send(&self, keys: impl AsRef<[u8]>) {
        (&self.keyboard).write_all(keys.as_ref()).expect("type");
    }

    /// Changes the size of the window.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.keyboard, size(rows, columns)).expect("size");
    }

    /// Waits until `text` is shown after what was expected before.
    #[track_caller]
    pub fn expect(&self, text: &str, within: Duration) {
        let (lock, changed) = &*self.shown;
        let deadline = Instant::now() + within;
        let mut shown = lock.lock().expect("no test panics with the lock");
        loop {
            let start = shown.read;
            if let Some(at) = find(&shown.bytes[start..], text.as_bytes()) {
                shown.read = start + at + text.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || shown.ended {
                let all = String::from_utf8_lossy(&shown.bytes).into_owned();
                drop(shown);
                panic!("{text:?} was not shown on the terminal. All that was:\n{all}");
            }
            shown = changed.wait_timeout(shown, left).expect("no test panics with the lock").0;
        }
    }

    /// Everything shown so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.shown.0.lock().expect("no test panics with the lock").bytes).into_owned()
    }
}

fn find(in_bytes: &[u8], text: &[u8]) -> Option<usize> {
    in_bytes.windows(text.len()).position(|window| window == text)
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
