//! What the guest sees of the file system.
//!
//! With a mount namespace the view is a tree of its own: an empty root, and on it what the lists name, each at its own
//! place, read-only unless it may be written; private /tmp, /var/tmp, /run and /dev/shm on one tmpfs; a minimal /dev;
//! a /proc of the box. Denied names are masked, protected names are read-only mounts, placeholders where they do not
//! exist. Without a mount namespace there is no tree to build: the same lists become Landlock rules, in which a
//! denied name is left out by granting its siblings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use tipstaff_abi::caps::KernelCaps;

use super::engine;
use super::host::{Host, Kind, Surroundings};
use super::landlock::Rights;
use super::limits::LimitPlan;
use super::namespaces::NamespacePlan;
use super::plan::Cost;
use super::repositories::Search;
use super::sink::{Refusal, Sink};
use crate::profile::{CwdAccess, PathRule, Profile, Tmp};

/// One step of building the tree, in order. Targets are absolute paths of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewOp {
    /// A directory of the new root (or of the private disk).
    Mkdir(PathBuf),
    /// An empty file to bind on.
    MakeFile(PathBuf),
    /// A read-only file of ours over what stands at a path: what it says.
    Text(PathBuf, String),
    /// A symbolic link: what it says, where it is.
    Symlink(PathBuf, PathBuf),
    /// A bind mount.
    Bind {
        /// On the host.
        source: PathBuf,
        /// In the box.
        target: PathBuf,
        /// Cannot be written.
        read_only: bool,
        /// Nothing there can be executed: by the mount, where there is no Landlock to say it.
        no_exec: bool,
        /// Device nodes work (the few of the private /dev).
        devices: bool,
    },
    /// First of all: the new root, and the tmpfs under the private directories with its size in bytes.
    Disk(Option<u64>),
    /// A directory of the private disk (name) at its place; world-writable and sticky. Whether it is mounted noexec.
    DiskDir(&'static str, PathBuf, bool),
    /// procfs of the box.
    Proc,
    /// Where the kernel has no Yama: `/proc/sys/kernel/yama/ptrace_scope`, which tells this scope, beside what there is in `/proc/sys/kernel` by these names.
    Yama(u8, Vec<OsString>),
    /// devpts of the box.
    Devpts,
    /// Hides a directory or a file of the tree.
    Mask(PathBuf, bool),
    /// Makes a directory a mount point of its own, as it is, so that it can be neither renamed nor removed.
    Pin(PathBuf),
    /// Makes a name read-only that is writable otherwise.
    Protect(PathBuf),
    /// Creates a name on the host so that it can be protected: an empty directory, or a file that says this. Removed at the end.
    Placeholder(PathBuf, Option<&'static str>),
}

/// What the guest sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Steps of building it; empty without a mount namespace.
    pub ops: Vec<ViewOp>,
    /// What may be done beneath which path.
    pub rights: Vec<(PathBuf, Rights)>,
    /// Private directories in which programs may be executed.
    pub private_exec: Vec<PathBuf>,
    /// Working directory inside the box.
    pub cwd: PathBuf,
}

/// Never taken along by `read = ["/"]`: private, of the kernel, or of no use.
const NOT_FROM_ROOT: [&str; 8] = ["proc", "sys", "dev", "run", "tmp", "boot", "lost+found", "sysroot"];
/// Private directories: name on the disk, place.
const PRIVATE: [(&str, &str); 4] = [("tmp", "/tmp"), ("vartmp", "/var/tmp"), ("run", "/run"), ("shm", "/dev/shm")];
/// Where git looks for configuration and hooks, in its repository's directory: a directory of this name ends it, and what this says is as good as nothing.
pub const COMMONDIR: (&str, &str) = ("commondir", ".\n");
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What runtimes read to count CPUs and memory nodes.
const SYSFS: [&str; 2] = ["/sys/devices/system/cpu", "/sys/devices/system/node"];
/// Written by uid 0 without any capability, since proc_sys_permission() goes by file mode.
const PROC_READ_ONLY: [&str; 5] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];
/// What [`ViewOp::Yama`] covers.
pub const PROC_KERNEL: &str = "/proc/sys/kernel";
/// Documentation/admin-guide/LSM/Yama.rst.
const PTRACE_SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";
const PROC_MASKED: [&str; 7] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/timer_list",
    "/proc/latency_stats",
    "/proc/kmsg",
    "/proc/acpi",
];

#[derive(Clone, Debug)]
enum Node {
    Bind { source: PathBuf, write: bool, exec: bool, directory: bool, devices: bool },
    Private(&'static str),
    Directory,
    Link(PathBuf),
}

/// Where a path leads.
struct Trail {
    /// What is there, without links.
    real: PathBuf,
    kind: Kind,
    /// And what is not: names below it.
    missing: Vec<OsString>,
}

struct Builder<'a> {
    host: &'a dyn Host,
    root: Option<&'a Path>,
    nodes: BTreeMap<PathBuf, Node>,
    denied: BTreeSet<PathBuf>,
}

pub(super) fn lower(
    profile: &Profile,
    caps: &KernelCaps,
    host: &dyn Host,
    around: &Surroundings,
    ns: &NamespacePlan,
    (limits, texts): (&LimitPlan, &[(&str, String)]),
    sink: &mut Sink,
) -> Result<View, Refusal> {
    let fs = &profile.filesystem;
    if !ns.mount && caps.landlock_abi == 0 {
        let cure = "run where namespaces or Landlock can be had (`tipstaff doctor` says what is missing)";
        sink.refuse("filesystem", "neither a mount namespace nor Landlock can be had", cure);
    }
    if !ns.mount && (fs.root.is_some() || !fs.mounts.is_empty()) {
        sink.impossible("filesystem.root and mounts", "they need a mount namespace", "leave them out");
    }
    let mut builder = Builder { host, root: fs.root.as_deref(), nodes: BTreeMap::new(), denied: BTreeSet::new() };
    builder.collect(profile, around, ns.mount).map_err(|message| sink.wrong(message))?;
    let mut view = View { cwd: builder.cwd(around), ..View::default() };
    let mut protected: Vec<PathBuf> = fs.protect.iter().map(|p| around.cwd.join(p)).collect();
    if ns.mount && fs.protect_git == Some(true) {
        match builder.repositories() {
            Ok(names) => protected.extend(names),
            Err(why) => {
                let cure = "run it in a directory that holds less, or say `protect_git = false` and name repositories in `protect`";
                sink.refuse("filesystem.protect_git", &why, cure);
            }
        }
    }
    if ns.mount {
        if fs.tmp_exec == Some(true) {
            view.private_exec = builder.private_exec();
        }
        builder.build(&mut view, &protected, caps, disk_size(limits), engine::told_scope(profile));
        let texts = texts.iter().flat_map(|(path, text)| builder.text(Path::new(path), text.clone()));
        for op in texts.collect::<Vec<_>>() {
            if let ViewOp::Text(path, _) = &op {
                view.rights.push((path.clone(), Rights::READ));
            }
            view.ops.push(op);
        }
        sink.full("filesystem", "mount namespace", Cost::Kernel);
    } else {
        builder.grant(&mut view, sink);
        let why = "no mount namespace: Landlock hides no names, and mode, owner, times and attributes of files that the \
                   user owns can be changed outside the view too";
        sink.note("filesystem, metadata", "none", why, Cost::Free);
        if fs.tmp != Some(Tmp::Host) {
            sink.full_but("private /tmp", "landlock", "no mount namespace: there is no /tmp at all", Cost::Free);
        }
        let why = "a name inside a writable directory can only be kept by a mount";
        let cure = "run where namespaces can be had, or make the directory read-only";
        if protected.iter().any(|path| builder.writable(path)) {
            sink.refuse("filesystem.protect", why, cure);
        } else if fs.protect_git == Some(true) && !builder.writable_directories().is_empty() {
            sink.refuse("filesystem.protect_git", why, cure);
        }
    }
    Ok(view)
}

/// The private disk may hold as much as the disk limit says, else a little more than the memory limit, so that it is
/// the memory account that decides, else the kernel's default (half of memory).
fn disk_size(limits: &LimitPlan) -> Option<u64> {
    limits.disk.or_else(|| limits.memory.map(|(bytes, _)| bytes.saturating_add(bytes / 16 + (4 << 20))))
}

impl Builder<'_> {
    fn src(&self, path: &Path) -> PathBuf {
        match self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_path_buf(),
        }
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        self.host.kind(&self.src(path))
    }

    fn collect(&mut self, profile: &Profile, around: &Surroundings, mount: bool) -> Result<(), String> {
        let fs = &profile.filesystem;
        if mount {
            for (name, place) in PRIVATE {
                if name != "tmp" && name != "vartmp" || fs.tmp != Some(Tmp::Host) {
                    self.nodes.insert(place.into(), Node::Private(name));
                }
            }
            self.nodes.insert("/dev".into(), Node::Directory);
            self.nodes.insert("/proc".into(), Node::Directory);
        }
        for rule in &fs.deny {
            let path = around.cwd.join(&rule.path);
            match self.resolve(&path) {
                Some((real, _)) => drop(self.denied.insert(real)),
                None if rule.if_exists => {}
                None => return Err(missing("deny", &rule.path)),
            }
        }
        for (list, rules, write, exec) in
            [("read", &fs.read, false, false), ("exec", &fs.exec, false, true), ("write", &fs.write, true, false)]
        {
            for rule in rules {
                self.rule(list, rule, around, write, exec)?;
            }
        }
        if fs.tmp == Some(Tmp::Host) {
            for place in ["/tmp", "/var/tmp"] {
                self.expose(Path::new(place), true, true);
            }
        }
        let cwd = fs.cwd.unwrap_or(CwdAccess::None);
        if cwd != CwdAccess::None && !is_shared(&around.cwd) {
            self.add(&around.cwd, cwd == CwdAccess::Write, false);
        }
        for program in &around.programs {
            self.add(program, false, true);
        }
        for mount in &fs.mounts {
            let source = around.cwd.join(&mount.source);
            let directory = match self.host.kind(&source) {
                None => return Err(missing("mounts", &mount.source)),
                Some(kind) => kind == Kind::Directory,
            };
            let node = Node::Bind { source, write: !mount.read_only, exec: true, directory, devices: false };
            self.nodes.insert(mount.target.clone(), node);
        }
        if mount {
            for path in SYSFS {
                self.expose(Path::new(path), false, false);
            }
        }
        let denied = std::mem::take(&mut self.denied);
        self.nodes
            .retain(|path, node| !matches!(node, Node::Bind { .. }) || !path.ancestors().any(|a| denied.contains(a)));
        self.denied = denied;
        Ok(())
    }

    fn rule(
        &mut self,
        list: &str,
        rule: &PathRule,
        around: &Surroundings,
        write: bool,
        exec: bool,
    ) -> Result<(), String> {
        let path = around.cwd.join(&rule.path);
        if rule.path.is_relative() && is_shared(&path) {
            return Ok(());
        }
        if path == Path::new("/") {
            for name in self.host.list(&self.src(&path)) {
                if !NOT_FROM_ROOT.iter().any(|n| *n == name) {
                    self.expose(&path.join(name), write, exec);
                }
            }
            return Ok(());
        }
        if self.expose(&path, write, exec) || rule.if_exists { Ok(()) } else { Err(missing(list, &rule.path)) }
    }

    /// Follows symbolic links as the kernel would; the links passed are remembered so that the box has them too.
    /// None when something on the way does not exist.
    fn walk(&self, path: &Path, links: &mut Vec<(PathBuf, PathBuf)>) -> Option<(PathBuf, Kind)> {
        let Trail { real, kind, missing } = self.trail(path, links)?;
        missing.is_empty().then_some((real, kind))
    }

    /// The same, as far as there is something. None: links lead in a circle (ELOOP), or up from what does not exist.
    fn trail(&self, path: &Path, links: &mut Vec<(PathBuf, PathBuf)>) -> Option<Trail> {
        let mut rest: VecDeque<OsString> = parts(path);
        let mut at = PathBuf::from("/");
        let mut kind = Kind::Directory;
        let mut hops = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                kind = Kind::Directory;
                continue;
            }
            let next = at.join(&name);
            let Some(found) = self.kind(&next) else {
                rest.push_front(name);
                let missing: Vec<OsString> = rest.into();
                return (!missing.iter().any(|name| name == "..")).then_some(Trail { real: at, kind, missing });
            };
            match found {
                Kind::Link(to) => {
                    hops += 1;
                    // ELOOP (path_resolution(7)).
                    if hops > 40 {
                        return None;
                    }
                    if to.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    for part in parts(&to).into_iter().rev() {
                        rest.push_front(part);
                    }
                    links.push((next, to));
                }
                other => {
                    kind = other;
                    at = next;
                }
            }
        }
        Some(Trail { real: at, kind, missing: Vec::new() })
    }

    fn resolve(&self, path: &Path) -> Option<(PathBuf, Kind)> {
        self.walk(path, &mut Vec::new())
    }

    /// What is shown without a list's having named it takes nothing away from what a list gives around it.
    fn add(&mut self, path: &Path, write: bool, exec: bool) {
        let written = self.resolve(path).is_some_and(|(real, _)| self.writable(&real));
        self.expose(path, write || written, exec);
    }

    /// Makes a path visible at its own place. False when it does not exist.
    fn expose(&mut self, path: &Path, write: bool, exec: bool) -> bool {
        let mut links = Vec::new();
        let Some((real, kind)) = self.walk(path, &mut links) else { return false };
        for (link, to) in links {
            self.nodes.entry(link).or_insert(Node::Link(to));
        }
        if real.starts_with("/proc") || real == Path::new("/") {
            return true;
        }
        let source = self.src(&real);
        let devices = real.starts_with("/dev") && kind == Kind::File;
        let directory = kind == Kind::Directory;
        match self.nodes.get_mut(&real) {
            Some(Node::Bind { write: w, exec: x, .. }) => {
                *w |= write;
                *x |= exec;
            }
            // A private place that the profile names is the host's after all.
            _ => drop(self.nodes.insert(real, Node::Bind { source, write, exec, directory, devices })),
        }
        true
    }

    fn cwd(&self, around: &Surroundings) -> PathBuf {
        let cwd = self.resolve(&around.cwd).map_or_else(|| PathBuf::from("/"), |(real, _)| real);
        // Inside a bind it exists; elsewhere only what leads to a node is made.
        let nearest = cwd.ancestors().find_map(|a| self.nodes.get(a));
        let visible = matches!(nearest, Some(Node::Bind { .. })) || self.nodes.keys().any(|p| p.starts_with(&cwd));
        // Typed as it was: the link, too, is there.
        if visible { around.cwd.clone() } else { PathBuf::from("/") }
    }

    fn executable(&self, path: &Path) -> bool {
        path.ancestors().any(|a| matches!(self.nodes.get(a), Some(Node::Bind { exec: true, .. })))
    }

    fn writable(&self, path: &Path) -> bool {
        self.writable_root(path).is_some()
    }

    /// The bind that a path lies in, if it can be written.
    fn writable_root<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let nearest = path.ancestors().find_map(|a| match self.nodes.get(a) {
            Some(Node::Bind { write, .. }) => Some((a, *write)),
            _ => None,
        });
        nearest.filter(|(_, write)| *write).map(|(at, _)| at)
    }

    /// A right beneath a directory reaches through the mounts below it (landlock(7)), so where something is shown there
    /// that may only be read, nothing there may be executed.
    fn private_exec(&self) -> Vec<PathBuf> {
        let places = ["/tmp", "/var/tmp"].map(PathBuf::from);
        let closed = |place: &PathBuf| {
            self.nodes
                .iter()
                .any(|(path, node)| path.starts_with(place) && matches!(node, Node::Bind { exec: false, .. }))
        };
        places.into_iter().filter(|place| !closed(place)).collect()
    }

    // ---- with a mount namespace --------------------------------------------------------------------------------

    fn build(
        &self,
        view: &mut View,
        protected: &[PathBuf],
        caps: &KernelCaps,
        disk: Option<u64>,
        ptrace_scope: Option<u8>,
    ) {
        let private_exec = view.private_exec.clone();
        let mut tree = Tree { made: BTreeSet::from([PathBuf::from("/")]), ops: Vec::new() };
        tree.ops.push(ViewOp::Disk(disk));
        tree.rights(view, "/", Rights::READ);
        for (path, node) in &self.nodes {
            let above = path.ancestors().skip(1).find_map(|a| Some((a, self.nodes.get(a)?)));
            match node {
                Node::Directory => tree.mkdir(path),
                Node::Link(to) => {
                    if !matches!(above, Some((_, Node::Bind { .. }))) {
                        tree.parents(path);
                        tree.ops.push(ViewOp::Symlink(to.clone(), path.clone()));
                    }
                }
                Node::Private(name) => {
                    // /var/tmp lies in a read-only /var; where there is none on the host, none is needed.
                    if let Some((_, Node::Bind { .. })) = above
                        && self.kind(path) != Some(Kind::Directory)
                    {
                        continue;
                    }
                    if above.is_none() || !matches!(above, Some((_, Node::Bind { .. }))) {
                        tree.mkdir(path);
                    }
                    let no_exec = caps.landlock_abi == 0 && !private_exec.contains(path);
                    tree.ops.push(ViewOp::DiskDir(name, path.clone(), no_exec));
                }
                Node::Bind { source, write, directory, devices, .. } => {
                    // Landlock's rights reach down through a tree, so what may be executed above may be here.
                    let no_exec = caps.landlock_abi == 0 && !self.executable(path);
                    let same = matches!(above, Some((at, Node::Bind { source: s, write: w, .. }))
                        if w == write && source.starts_with(s) && !devices
                            && (caps.landlock_abi > 0 || no_exec != self.executable(at)));
                    if same {
                        continue;
                    }
                    if !matches!(above, Some((_, Node::Bind { .. }))) {
                        if *directory { tree.mkdir(path) } else { tree.file(path) }
                    }
                    let (source, target) = (source.clone(), path.clone());
                    tree.ops.push(ViewOp::Bind { source, target, read_only: !write, no_exec, devices: *devices });
                }
            }
        }
        self.devices(&mut tree);
        tree.ops.push(ViewOp::Proc);
        tree.ops.extend(ptrace_scope.and_then(|scope| self.yama(scope)));
        if caps.uid == 0 {
            for path in PROC_READ_ONLY.iter().map(PathBuf::from).filter(|p| self.host.kind(p).is_some()) {
                tree.ops.push(ViewOp::Protect(path));
            }
        }
        for path in PROC_MASKED.iter().map(PathBuf::from) {
            if let Some(kind) = self.host.kind(&path) {
                tree.ops.push(ViewOp::Mask(path, kind == Kind::Directory));
            }
        }
        for path in &self.denied {
            let shown = path.ancestors().skip(1).any(|a| matches!(self.nodes.get(a), Some(Node::Bind { .. })));
            if let (true, Some(kind)) = (shown, self.kind(path)) {
                tree.ops.push(ViewOp::Mask(path.clone(), kind == Kind::Directory));
            }
        }
        self.protect(&mut tree, protected);
        for (path, node) in &self.nodes {
            if let Node::Bind { write, exec, devices, .. } = node {
                let rights = Rights { read: true, write: *write, exec: *exec, device: *devices };
                if *write || *exec || *devices {
                    tree.rights(view, path, rights);
                }
            }
        }
        view.ops = tree.ops;
    }

    /// The steps that put a text in the place of a file. Where the view does not hold the file it is made: in a directory of the box's own, or
    /// where its name is a link to, as `/etc/resolv.conf` often is into `/run`.
    fn text(&self, path: &Path, text: String) -> Vec<ViewOp> {
        let real = match self.resolve(path) {
            Some((real, Kind::File)) => real,
            Some(_) => return Vec::new(),
            None => path.to_owned(),
        };
        if real.ancestors().any(|above| self.denied.contains(above)) {
            return Vec::new();
        }
        let mut ops = Vec::new();
        let bound = real.ancestors().any(|above| matches!(self.nodes.get(above), Some(Node::Bind { .. })));
        if bound && self.host.kind(&real).is_none() {
            return Vec::new();
        }
        if !bound {
            let made: Vec<&Path> = real.ancestors().skip(1).filter(|above| above.parent().is_some()).collect();
            ops.extend(made.into_iter().rev().map(|directory| ViewOp::Mkdir(directory.to_owned())));
            ops.push(ViewOp::MakeFile(real.clone()));
        }
        ops.push(ViewOp::Text(real, text));
        ops
    }

    /// What shows the scope of the box. The host's holds in it too, so the stricter one is told.
    fn yama(&self, scope: u8) -> Option<ViewOp> {
        let file = Path::new(PTRACE_SCOPE);
        if self.host.kind(file).is_none() {
            return Some(ViewOp::Yama(scope, self.host.list(Path::new(PROC_KERNEL))));
        }
        let hosts = self.host.text(file).ok()?.trim().parse::<u8>().ok()?;
        (scope > hosts).then(|| ViewOp::Text(file.to_owned(), format!("{scope}\n")))
    }

    fn devices(&self, tree: &mut Tree) {
        for name in DEVICES {
            let path = Path::new("/dev").join(name);
            if self.host.kind(&path) == Some(Kind::File) && !self.nodes.contains_key(&path) {
                tree.file(&path);
                // Read-only mounts let devices be written, but not their modes, owners and times changed: the nodes are the machine's.
                tree.ops.push(ViewOp::Bind {
                    source: path.clone(),
                    target: path,
                    read_only: true,
                    no_exec: true,
                    devices: true,
                });
            }
        }
        let links = [
            ("/proc/self/fd", "/dev/fd"),
            ("/proc/self/fd/0", "/dev/stdin"),
            ("/proc/self/fd/1", "/dev/stdout"),
            ("/proc/self/fd/2", "/dev/stderr"),
            ("pts/ptmx", "/dev/ptmx"),
        ];
        for (to, link) in links {
            tree.ops.push(ViewOp::Symlink(to.into(), link.into()));
        }
        tree.mkdir(Path::new("/dev/pts"));
        tree.ops.push(ViewOp::Devpts);
    }

    /// A protected name is a read-only mount. Each directory between it and the writable tree becomes a mount too, since
    /// a mount point can be neither renamed nor removed: else a guest would move `.git` away, mounts and all, and make
    /// a new one. So does each link on the way, which would be replaced otherwise: a mount on the link itself.
    fn protect(&self, tree: &mut Tree, protected: &[PathBuf]) {
        let mut pins = BTreeSet::new();
        let mut placeholders = BTreeMap::new();
        let mut names = BTreeSet::new();
        for path in protected {
            let mut links = Vec::new();
            let trail = self.trail(path, &mut links);
            for (link, _) in links {
                if let Some(tree_root) = self.writable_root(&link) {
                    pins.extend(link.ancestors().take_while(|a| *a != tree_root).map(Path::to_path_buf));
                }
            }
            // Down to what exists; the rest becomes placeholders.
            let Some(Trail { real, kind, missing }) = trail else { continue };
            let Some(tree_root) = self.writable_root(&real).map(Path::to_path_buf) else { continue };
            let mut full = real;
            // A file stands where a directory would have to: then it is the file that leads on (git's `gitdir:`).
            if kind == Kind::Directory {
                let last = missing.len();
                for (at, name) in (1..).zip(missing) {
                    full.push(&name);
                    let text = (name == COMMONDIR.0 && at == last).then_some(COMMONDIR.1);
                    placeholders.insert(full.clone(), text);
                }
            }
            pins.extend(full.ancestors().skip(1).take_while(|a| *a != tree_root).map(Path::to_path_buf));
            names.insert(full);
        }
        tree.ops.extend(placeholders.into_iter().map(|(path, text)| ViewOp::Placeholder(path, text)));
        tree.ops.extend(pins.into_iter().map(ViewOp::Pin));
        tree.ops.extend(names.into_iter().map(ViewOp::Protect));
    }

    /// What is to be protected in the repositories that may be written.
    fn repositories(&self) -> Result<Vec<PathBuf>, String> {
        let skip = |path: &Path| self.denied.contains(path) || self.nodes.contains_key(path);
        Search::new(self.host, &skip).below(&self.writable_directories())
    }

    fn writable_directories(&self) -> Vec<PathBuf> {
        let writable = |(path, node): (&PathBuf, &Node)| match node {
            Node::Bind { write: true, directory: true, .. } => Some(path.clone()),
            _ => None,
        };
        self.nodes.iter().filter_map(writable).collect()
    }

    // ---- without one -------------------------------------------------------------------------------------------

    fn grant(&self, view: &mut View, sink: &mut Sink) {
        for (path, node) in &self.nodes {
            if let Node::Bind { write, exec, directory, .. } = node {
                let rights = Rights { read: true, write: *write, exec: *exec, device: false };
                self.grant_around(path, *directory, rights, &mut view.rights);
            }
        }
        for name in DEVICES {
            let path = Path::new("/dev").join(name);
            if self.host.kind(&path) == Some(Kind::File) {
                view.rights.push((path, Rights { read: true, write: true, exec: false, device: true }));
            }
        }
        view.rights.push(("/proc".into(), Rights::READ));
        for path in SYSFS.iter().map(PathBuf::from).filter(|p| self.host.kind(p).is_some()) {
            view.rights.push((path, Rights::READ));
        }
        sink.full("filesystem", "landlock", Cost::Kernel);
    }

    /// Grants a path, or, where something below it is denied, its children one by one. What is created there later
    /// is not granted: closed, not open.
    fn grant_around(&self, path: &Path, directory: bool, rights: Rights, out: &mut Vec<(PathBuf, Rights)>) {
        if self.denied.contains(path) {
            return;
        }
        if !directory || !self.denied.iter().any(|d| d.starts_with(path)) {
            out.push((path.to_path_buf(), rights));
            return;
        }
        for name in self.host.list(path) {
            let child = path.join(name);
            match self.host.kind(&child) {
                Some(Kind::Directory) => self.grant_around(&child, true, rights, out),
                Some(Kind::File) => self.grant_around(&child, false, rights, out),
                // A link is followed by the kernel to where the rules of its target hold.
                Some(Kind::Link(_)) | None => {}
            }
        }
    }
}

struct Tree {
    made: BTreeSet<PathBuf>,
    ops: Vec<ViewOp>,
}

impl Tree {
    fn mkdir(&mut self, path: &Path) {
        if !self.made.contains(path) {
            self.parents(path);
            self.made.insert(path.to_path_buf());
            self.ops.push(ViewOp::Mkdir(path.to_path_buf()));
        }
    }

    fn file(&mut self, path: &Path) {
        self.parents(path);
        self.ops.push(ViewOp::MakeFile(path.to_path_buf()));
    }

    fn parents(&mut self, path: &Path) {
        if let Some(parent) = path.parent() {
            self.mkdir(parent);
        }
    }

    fn rights(&self, view: &mut View, path: impl Into<PathBuf>, rights: Rights) {
        view.rights.push((path.into(), rights));
    }
}

/// Directories that a profile's "here" never means: a private /tmp is the working directory then, and "/" is no
/// directory to hand out by accident.
fn is_shared(path: &Path) -> bool {
    const SHARED: [&str; 8] = ["/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/dev", "/proc", "/sys"];
    SHARED.iter().any(|shared| path.components().eq(Path::new(shared).components()))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn missing(list: &str, path: &Path) -> String {
    format!(
        "filesystem.{list}: {path:?} does not exist; create it, or use `--{list}-if-exists` (`{list}_if_exists` in a profile)"
    )
}
