//! The floors: what starting a program costs with nothing around it.
//!
//! posix_spawn(3) does the same (a clone that shares memory and suspends the caller until the exec), with signal masks
//! and attributes on top.

use std::ffi::{CString, OsStr, c_char, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, bail};

use crate::raw::Script;

const STACK: usize = 64 * 1024;

/// A program to be started bare, any number of times.
pub struct Bare {
    // The pointers below lead into these.
    _strings: Vec<CString>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    flags: i32,
    /// Where its standard output goes, if not to ours.
    output: Option<File>,
    /// What it does before its exec, and the groups that it joins.
    script: Option<(Script, Vec<CString>)>,
    stack: Vec<u8>,
}

impl Bare {
    /// `flags`: CLONE_NEW*.
    pub fn new<S: AsRef<OsStr>>(argv: &[S], flags: i32) -> anyhow::Result<Self> {
        let c = |bytes: Vec<u8>| CString::new(bytes).context("a NUL byte");
        let args = argv.iter().map(|arg| c(arg.as_ref().as_bytes().to_vec())).collect::<Result<Vec<_>, _>>()?;
        let env = std::env::vars_os().map(|(key, value)| {
            let mut text = key.as_bytes().to_vec();
            text.push(b'=');
            text.extend(value.as_bytes());
            c(text)
        });
        let env = env.collect::<Result<Vec<_>, _>>()?;
        let pointers = |strings: &[CString]| {
            let null = std::iter::once(std::ptr::null());
            strings.iter().map(|s| s.as_ptr()).chain(null).collect::<Vec<_>>()
        };
        let (argv, envp) = (pointers(&args), pointers(&env));
        Ok(Self {
            _strings: args.into_iter().chain(env).collect(),
            argv,
            envp,
            flags,
            output: None,
            script: None,
            stack: vec![0; STACK],
        })
    }

    /// With standard output away.
    pub fn silent(mut self) -> io::Result<Self> {
        self.output = Some(File::options().write(true).open("/dev/null")?);
        Ok(self)
    }

    /// With the kernel work of a box.
    pub fn with(mut self, script: Script) -> Self {
        let joins = script.joins();
        self.script = Some((script, joins));
        self
    }

    /// Starts it and waits for its end. An error unless it exits with 0.
    pub fn run(&mut self) -> anyhow::Result<()> {
        if let Some((script, _)) = &self.script {
            script.begin()?;
        }
        let ran = self.start_and_wait();
        if let Some((script, _)) = &self.script {
            script.end()?;
        }
        ran
    }

    fn start_and_wait(&mut self) -> anyhow::Result<()> {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | self.flags;
        let top = self.stack.as_mut_ptr_range().end;
        let top = top.wrapping_sub(top as usize % 16).cast::<c_void>();
        let arg = std::ptr::from_mut(self).cast::<c_void>();
        // SAFETY: CLONE_VFORK suspends this thread until the child has executed or ended, so `self` and the stack, which
        // nobody else uses, outlive it; `child` makes system calls and nothing else.
        let pid = unsafe { libc::clone(child, top, flags, arg) };
        if pid < 0 {
            return Err(io::Error::last_os_error()).context("clone");
        }
        let mut status = 0;
        // SAFETY: wait4 writes one status word.
        let waited = unsafe { libc::wait4(pid, &mut status, 0, std::ptr::null_mut()) };
        if waited != pid {
            return Err(io::Error::last_os_error()).context("wait4");
        }
        if status != 0 {
            // SAFETY: the first argument is a C string of ours.
            let name = unsafe { std::ffi::CStr::from_ptr(self.argv[0]) };
            bail!("{name:?} ended with status {status:#x}");
        }
        Ok(())
    }
}

extern "C" fn child(arg: *mut c_void) -> i32 {
    // SAFETY: `arg` is the `Bare` of `run`, which waits; both arrays end with a null pointer.
    unsafe {
        let bare = &*arg.cast::<Bare>();
        if let Some(output) = &bare.output {
            libc::dup2(output.as_raw_fd(), 1);
        }
        if let Some((script, joins)) = &bare.script
            && !script.run(joins)
        {
            libc::_exit(126);
        }
        libc::execve(bare.argv[0], bare.argv.as_ptr(), bare.envp.as_ptr());
        libc::_exit(127)
    }
}

/// The namespaces of a whole box, with a user namespace where the caller needs one for the others.
pub fn all_namespaces() -> i32 {
    let all = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNET;
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } == 0 { all } else { all | libc::CLONE_NEWUSER }
}
