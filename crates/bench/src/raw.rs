//! The floor of a whole box: its kernel work and nothing else. One process is cloned into all namespaces, makes the plan's mount tree, Landlock
//! rules and filter by the same system calls, and executes the program; its parent makes and removes the control groups. There is no keeper, no
//! check, no supervision and no report: what a launcher that starts a box from the beginning cannot get below.

use std::ffi::{CString, c_long};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tipstaff::policy::lower::ViewOp;
use tipstaff::{Armed, Plan};

/// An argument: a word, or what an earlier call returned.
#[derive(Clone, Copy)]
enum Arg {
    Word(usize),
    Slot(usize),
}

struct Call {
    nr: c_long,
    args: [Arg; 6],
    /// Where its result goes.
    to: usize,
    /// Where a descriptor must stand in memory before the call: address, and the slot that has it.
    patch: Option<(usize, usize)>,
}

/// A control group: its directory, what is written when it is made, what is read in the end.
type Group = (PathBuf, Files, &'static [&'static str]);
type Files = &'static [(&'static str, &'static str)];

/// System calls in their order, with everything that they lead to.
#[derive(Default)]
pub struct Script {
    calls: Vec<Call>,
    texts: Vec<CString>,
    blocks: Vec<Box<[u64]>>,
    groups: Vec<Group>,
}

const NOWHERE: usize = 0;
const FD: usize = 1;
const ROOT: usize = 2;
const DISK: usize = 3;
const RULES: usize = 4;
const CWD: Arg = Arg::Word(libc::AT_FDCWD as usize);
const PATH_FLAGS: usize = (libc::O_PATH | libc::O_CLOEXEC) as usize;

impl Script {
    fn text(&mut self, text: impl AsRef<Path>) -> Arg {
        self.texts.push(CString::new(text.as_ref().as_os_str().as_bytes()).unwrap_or_default());
        Arg::Word(self.texts.last().map_or(0, |text| text.as_ptr() as usize))
    }

    fn block(&mut self, words: &[u64]) -> usize {
        self.blocks.push(words.into());
        self.blocks.last().map_or(0, |block| block.as_ptr() as usize)
    }

    fn call(&mut self, nr: c_long, args: &[Arg], to: usize) {
        let mut all = [Arg::Word(0); 6];
        all[..args.len()].copy_from_slice(args);
        self.calls.push(Call { nr, args: all, to, patch: None });
    }

    fn close(&mut self, slot: usize) {
        self.call(libc::SYS_close, &[Arg::Slot(slot)], NOWHERE);
    }

    fn attach(&mut self, slot: usize, at: Arg, target: &str) {
        let (empty, target) = (self.text(""), self.text(target));
        self.call(libc::SYS_move_mount, &[Arg::Slot(slot), empty, at, target, Arg::Word(4)], NOWHERE);
    }

    fn instance(&mut self, kind: &str, options: &[(&str, &str)], to: usize) {
        let kind = self.text(kind);
        self.call(libc::SYS_fsopen, &[kind, Arg::Word(1)], FD);
        for (key, value) in options {
            let (key, value) = (self.text(key), self.text(value));
            self.call(libc::SYS_fsconfig, &[Arg::Slot(FD), Arg::Word(1), key, value, Arg::Word(0)], NOWHERE);
        }
        self.call(libc::SYS_fsconfig, &[Arg::Slot(FD), Arg::Word(6)], NOWHERE);
        self.call(libc::SYS_fsmount, &[Arg::Slot(FD), Arg::Word(1), Arg::Word(2)], to);
        self.close(FD);
    }

    fn bind(&mut self, from: Arg, source: &Path, target: &Path, recursive: bool, read_only: bool) {
        let flags = 1 | libc::O_CLOEXEC as usize | if recursive { 0x8000 } else { 0 };
        let source = self.text(source);
        self.call(libc::SYS_open_tree, &[from, source, Arg::Word(flags)], FD);
        let attr = self.block(&[2 | u64::from(read_only), 0, 0, 0]);
        let (empty, at) = (self.text(""), if recursive { 0x9000 } else { 0x1000 });
        let set = [Arg::Slot(FD), empty, Arg::Word(at), Arg::Word(attr), Arg::Word(32)];
        self.call(libc::SYS_mount_setattr, &set, NOWHERE);
        self.attach(FD, Arg::Slot(ROOT), &target.to_string_lossy());
        self.close(FD);
    }

    fn mkdir(&mut self, at: usize, path: &Path) {
        let path = self.text(path);
        self.call(libc::SYS_mkdirat, &[Arg::Slot(at), path, Arg::Word(0o755)], NOWHERE);
    }

    fn view(&mut self, op: &ViewOp) {
        let rel = |path: &Path| path.strip_prefix("/").unwrap_or(path).to_path_buf();
        match op {
            ViewOp::Disk(_) => {
                self.instance("tmpfs", &[("mode", "755")], DISK);
                self.attach(DISK, CWD, "/proc");
                self.instance("tmpfs", &[("size", "4m"), ("mode", "755")], ROOT);
                self.attach(ROOT, CWD, "/proc");
            }
            ViewOp::Mkdir(path) => self.mkdir(ROOT, &rel(path)),
            ViewOp::MakeFile(path) | ViewOp::Text(path, _) => {
                let path = self.text(rel(path));
                let mode = Arg::Word((libc::S_IFREG | 0o644) as usize);
                self.call(libc::SYS_mknodat, &[Arg::Slot(ROOT), path, mode], NOWHERE);
            }
            ViewOp::Symlink(to, link) => {
                let (to, link) = (self.text(to), self.text(rel(link)));
                self.call(libc::SYS_symlinkat, &[to, Arg::Slot(ROOT), link], NOWHERE);
            }
            ViewOp::Bind { source, target, read_only, devices, .. } => {
                self.bind(CWD, source, &rel(target), !devices, *read_only);
            }
            ViewOp::DiskDir(name, path, _) => {
                self.mkdir(DISK, Path::new(name));
                self.bind(Arg::Slot(DISK), Path::new(name), &rel(path), false, false);
            }
            ViewOp::Proc => {
                self.instance("proc", &[("hidepid", "ptraceable")], FD + 4);
                self.attach(FD + 4, Arg::Slot(ROOT), "proc");
                self.close(FD + 4);
            }
            ViewOp::Devpts => {
                self.instance("devpts", &[("mode", "620"), ("ptmxmode", "666")], FD + 4);
                self.attach(FD + 4, Arg::Slot(ROOT), "dev/pts");
                self.close(FD + 4);
            }
            ViewOp::Mask(path, _) | ViewOp::Pin(path) | ViewOp::Protect(path) => {
                self.bind(Arg::Slot(ROOT), &rel(path), &rel(path), true, true);
            }
            ViewOp::Placeholder(..) | ViewOp::Yama(..) => {}
        }
    }

    /// The work of a plan that has every namespace, without a user namespace.
    pub fn of(armed: &Armed) -> anyhow::Result<Self> {
        let plan: &Plan = &armed.plan;
        let mut script = Self::default();
        for (place, files, read) in [("memory", MEMORY, MEMORY_READ), ("pids", PIDS, PIDS_READ), ("cpu", &[], CPU_READ)]
        {
            let found = tipstaff_cgroup::discover();
            let place = match place {
                "memory" => found.memory,
                "pids" => found.pids,
                _ => found.cpu,
            };
            let place = place.context("a control group cannot be made here")?;
            anyhow::ensure!(place.version == tipstaff_cgroup::Version::V1, "made for v1 hierarchies");
            script.groups.push((place.dir.join(format!("bench-floor-{}", std::process::id())), files, read));
        }
        let name = script.text("tipstaff");
        script.call(libc::SYS_sethostname, &[name, Arg::Word(8)], NOWHERE);
        let socket = [libc::AF_INET as usize, libc::SOCK_DGRAM as usize, 0].map(Arg::Word);
        script.call(libc::SYS_socket, &socket, FD);
        // struct ifreq: "lo", IFF_UP | IFF_RUNNING.
        let lo = script.block(&[u64::from_le_bytes(*b"lo\0\0\0\0\0\0"), 0, 0x41, 0, 0]);
        script.call(libc::SYS_ioctl, &[Arg::Slot(FD), Arg::Word(0x8914), Arg::Word(lo)], NOWHERE);
        script.close(FD);
        let root = script.text("/");
        let private = Arg::Word((libc::MS_REC | libc::MS_PRIVATE) as usize);
        script.call(libc::SYS_mount, &[Arg::Word(0), root, Arg::Word(0), private], NOWHERE);
        plan.view.ops.iter().for_each(|op| script.view(op));
        let (dot, all) = (script.text("."), script.block(&[1, 0, 0, 0]));
        let empty = script.text("");
        let set = [Arg::Slot(ROOT), empty, Arg::Word(0x1000), Arg::Word(all), Arg::Word(32)];
        script.call(libc::SYS_mount_setattr, &set, NOWHERE);
        script.call(libc::SYS_fchdir, &[Arg::Slot(ROOT)], NOWHERE);
        script.call(libc::SYS_pivot_root, &[dot, dot], NOWHERE);
        script.call(libc::SYS_umount2, &[dot, Arg::Word(libc::MNT_DETACH as usize)], NOWHERE);
        if let Some(landlock) = &plan.landlock {
            let attr = script.block(&[(1 << 13) - 1, 0, 0]);
            script.call(libc::SYS_landlock_create_ruleset, &[Arg::Word(attr), Arg::Word(24)], RULES);
            for (path, _) in &landlock.rules {
                let path = script.text(path);
                script.call(libc::SYS_openat, &[CWD, path, Arg::Word(PATH_FLAGS)], FD);
                // Execute and read files; the descriptor comes behind.
                let rule = script.block(&[0b101, 0]);
                script.call(libc::SYS_landlock_add_rule, &[Arg::Slot(RULES), Arg::Word(1), Arg::Word(rule)], NOWHERE);
                if let Some(call) = script.calls.last_mut() {
                    call.patch = Some((rule + 8, FD));
                }
                script.close(FD);
            }
        }
        script.call(libc::SYS_prctl, &[Arg::Word(libc::PR_SET_NO_NEW_PRIVS as usize), Arg::Word(1)], NOWHERE);
        if plan.landlock.is_some() {
            script.call(libc::SYS_landlock_restrict_self, &[Arg::Slot(RULES)], NOWHERE);
        }
        if let Some(insns) = armed.insns() {
            let word = |i: &tipstaff_abi::bpf::Insn| {
                u64::from(i.code) | u64::from(i.jt) << 16 | u64::from(i.jf) << 24 | u64::from(i.k) << 32
            };
            let program: Vec<u64> = insns.iter().map(word).collect();
            let program = script.block(&program);
            let header = script.block(&[insns.len() as u64, program as u64]);
            // SECCOMP_SET_MODE_FILTER with a listener.
            script.call(libc::SYS_seccomp, &[Arg::Word(1), Arg::Word(8), Arg::Word(header)], NOWHERE);
        }
        Ok(script)
    }

    /// Makes the groups.
    pub fn begin(&self) -> anyhow::Result<()> {
        for (dir, files, _) in &self.groups {
            std::fs::create_dir(dir).with_context(|| format!("mkdir {dir:?}"))?;
            for (file, value) in *files {
                std::fs::write(dir.join(file), value).with_context(|| format!("write {file}"))?;
            }
        }
        Ok(())
    }

    /// Joins the groups and makes the calls. False: one failed.
    ///
    /// # Safety
    /// In a child of clone(2) whose parent waits.
    pub unsafe fn run(&self, joins: &[CString]) -> bool {
        let mut slots = [0usize; 8];
        for tasks in joins {
            // SAFETY: a C string, and one byte of a constant.
            unsafe {
                let fd = libc::open(tasks.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                if libc::write(fd, c"0".as_ptr().cast(), 1) != 1 {
                    return false;
                }
                libc::close(fd);
            }
        }
        for call in &self.calls {
            if let Some((address, slot)) = call.patch {
                // SAFETY: inside a block of this script, which nobody else reads meanwhile.
                unsafe { *(address as *mut i32) = slots[slot] as i32 };
            }
            let [a, b, c, d, e, f] = call.args.map(|arg| match arg {
                Arg::Word(word) => word,
                Arg::Slot(slot) => slots[slot],
            });
            // SAFETY: the script's addresses lead to what it keeps.
            let result = unsafe { libc::syscall(call.nr, a, b, c, d, e, f) };
            if result < 0 {
                return false;
            }
            slots[call.to] = result as usize;
        }
        true
    }

    /// Where the child joins.
    pub fn joins(&self) -> Vec<CString> {
        let path = |dir: &Path| CString::new(dir.join("tasks").as_os_str().as_bytes()).unwrap_or_default();
        self.groups.iter().map(|(dir, _, _)| path(dir)).collect()
    }

    /// Reads the figures and removes the groups.
    pub fn end(&self) -> anyhow::Result<()> {
        for (dir, _, read) in &self.groups {
            for file in *read {
                std::fs::read(dir.join(file)).with_context(|| format!("read {file}"))?;
            }
            std::fs::remove_dir(dir).with_context(|| format!("rmdir {dir:?}"))?;
        }
        Ok(())
    }
}

const MEMORY: Files = &[("memory.limit_in_bytes", "268435456")];
const MEMORY_READ: &[&str] = &["memory.stat", "memory.max_usage_in_bytes", "memory.oom_control"];
const PIDS: Files = &[("pids.max", "64")];
const PIDS_READ: &[&str] = &["pids.peak", "pids.events"];
const CPU_READ: &[&str] = &["cpuacct.usage"];
