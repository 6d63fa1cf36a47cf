//! The keeper's operations: namespaces from inside, the mount tree, Landlock's paths.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tipstaff_policy::lower::{PROC_KERNEL, Plan, ViewOp};
use tipstaff_sys::child::{BEHIND, BindFlags, Seen, SetupOp};
use tipstaff_sys::probe;

use crate::placeholders::Placeholder;
use crate::ruleset;

/// Where the new root is attached until pivot_root: a directory that every host has and no view binds from.
const AT: &str = "/proc";
const MASK: &str = ".mask";
const TEXT: &str = ".text";

/// Paths come from TOML, argv and readdir, none of which can hold a NUL.
pub(crate) fn c(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap_or_default()
}

fn behind() -> &'static Path {
    Path::new(OsStr::from_bytes(BEHIND.to_bytes()))
}

fn rel(path: &Path) -> CString {
    c(path.strip_prefix("/").unwrap_or(path))
}

/// The operations, and the placeholders among them (deepest last).
pub(crate) fn ops(plan: &Plan) -> (Vec<SetupOp>, Vec<Placeholder>) {
    let ns = &plan.namespaces;
    let mut ops = Vec::new();
    let mut placeholders = Vec::new();
    if ns.user {
        ops.extend(probe::user_map(plan.ids.inside, plan.ids.outside));
    }
    if ns.uts {
        ops.push(SetupOp::Hostname(c("tipstaff")));
    }
    if ns.net {
        ops.push(SetupOp::LoopbackUp);
    }
    if ns.mount {
        mounts(plan, &mut ops, &mut placeholders);
    }
    if let (Some(landlock), true) = (&plan.landlock, ns.mount) {
        for (path, rights) in &landlock.rules {
            let access = ruleset::bits(*rights, landlock.abi);
            ops.push(SetupOp::LandlockPath { path: c(path), access, seen: Seen::default() });
        }
    }
    ops.push(SetupOp::Root);
    (ops, placeholders)
}

fn mounts(plan: &Plan, ops: &mut Vec<SetupOp>, placeholders: &mut Vec<Placeholder>) {
    ops.push(SetupOp::PrivateMounts);
    let masks = plan.view.ops.iter().any(|op| matches!(op, ViewOp::Mask(..)));
    let (mask_dir, mask_file) = (format!("{MASK}/d"), format!("{MASK}/f"));
    for op in &plan.view.ops {
        one(op, ops, placeholders, &mask_dir, &mask_file);
        if masks && matches!(op, ViewOp::Disk(_)) {
            ops.push(SetupOp::Mkdir(c(MASK), 0o700));
            ops.push(SetupOp::Mkdir(c(&mask_dir), 0));
            ops.push(SetupOp::MakeFile(c(&mask_file), 0));
        }
    }
    if masks {
        ops.push(SetupOp::Unlink(c(&mask_file), false));
        ops.push(SetupOp::Unlink(c(&mask_dir), true));
        ops.push(SetupOp::Unlink(c(MASK), true));
    }
    ops.push(SetupOp::PivotRoot);
}

fn one(op: &ViewOp, ops: &mut Vec<SetupOp>, placeholders: &mut Vec<Placeholder>, mask_dir: &str, mask_file: &str) {
    let plain = BindFlags { read_only: true, no_dev: true, no_exec: false, recursive: true };
    let open = BindFlags { read_only: false, ..plain };
    match op {
        ViewOp::Mkdir(path) => ops.push(SetupOp::Mkdir(rel(path), 0o755)),
        ViewOp::MakeFile(path) => ops.push(SetupOp::MakeFile(rel(path), 0o644)),
        ViewOp::Text(path, text) => {
            ops.push(SetupOp::MakeText(c(TEXT), text.clone().into_bytes()));
            ops.push(SetupOp::Bind {
                source: c(TEXT),
                target: rel(path),
                flags: plain,
                inside: true,
                seen: Seen::default(),
            });
            ops.push(SetupOp::Unlink(c(TEXT), false));
        }
        ViewOp::Symlink(to, link) => ops.push(SetupOp::Symlink(c(to), rel(link))),
        ViewOp::Bind { source, target, read_only, no_exec, devices } => {
            let flags = BindFlags { read_only: *read_only, no_dev: !devices, no_exec: *no_exec, recursive: !devices };
            ops.push(SetupOp::Bind {
                source: c(source),
                target: rel(target),
                flags,
                inside: false,
                seen: Seen::default(),
            });
        }
        ViewOp::Disk(size) => {
            ops.push(SetupOp::Disk(c(AT), size.map(|bytes| c(bytes.to_string()))));
            ops.push(SetupOp::NewRoot(c(AT)));
        }
        ViewOp::DiskDir(name, path, no_exec) => {
            ops.push(SetupOp::DiskDir { name: c(name), target: rel(path), no_exec: *no_exec });
        }
        ViewOp::Proc => ops.push(SetupOp::Proc(c("proc"))),
        ViewOp::Yama(scope, beside) => ops.push(SetupOp::Yama {
            target: rel(Path::new(PROC_KERNEL)),
            scope: format!("{scope}\n").into_bytes(),
            beside: beside.iter().map(|name| (c(behind().join(name)), c(name))).collect(),
        }),
        ViewOp::Devpts => ops.push(SetupOp::Devpts(c("dev/pts"))),
        ViewOp::Mask(path, directory) => {
            let source = c(if *directory { mask_dir } else { mask_file });
            ops.push(SetupOp::Bind { source, target: rel(path), flags: plain, inside: true, seen: Seen::default() });
        }
        ViewOp::Pin(path) => {
            ops.push(SetupOp::Bind {
                source: rel(path),
                target: rel(path),
                flags: open,
                inside: true,
                seen: Seen::default(),
            });
        }
        ViewOp::Protect(path) => {
            ops.push(SetupOp::Bind {
                source: rel(path),
                target: rel(path),
                flags: plain,
                inside: true,
                seen: Seen::default(),
            });
        }
        ViewOp::Placeholder(path, text) => {
            placeholders.push((path.clone(), *text));
            ops.push(SetupOp::Placeholder(c(path), *text));
        }
    }
}
