//! Where the running kernel keeps what the programs read: looked up in its type information, nothing assumed.

use tipstaff_sys::btf::KernelTypes;

use crate::Unavailable;
use crate::btf::{Btf, Wanted};

macro_rules! layout {
    ($($field:ident: $structure:literal $path:literal;)*) => {
        /// Byte offsets of fields.
        #[derive(Clone, Debug)]
        pub(crate) struct Layout {
            $(pub(crate) $field: i16,)*
            /// Of `btf_trace_NAME`, in the order of [`Tracepoint`].
            tracepoints: [Option<u32>; TRACEPOINTS.len()],
        }

        const STRUCTS: &[&str] = &[$($structure),*];

        fn look_up(btf: &Btf<'_>) -> Result<Layout, Unavailable> {
            Ok(Layout {
                $($field: field(btf, $structure, $path)?,)*
                tracepoints: TRACEPOINTS.map(|name| btf.id(name)),
            })
        }
    };
}

layout! {
    task_status: "task_struct" "thread_info.status";
    task_seccomp_mode: "task_struct" "seccomp.mode";
    task_seccomp_filter: "task_struct" "seccomp.filter";
    task_ptrace: "task_struct" "ptrace";
    task_mm: "task_struct" "mm";
    task_fs: "task_struct" "fs";
    task_files: "task_struct" "files";
    task_thread_pid: "task_struct" "thread_pid";
    task_cgroups: "task_struct" "cgroups";
    task_pid: "task_struct" "pid";
    task_signal: "task_struct" "signal";
    task_thread_node: "task_struct" "thread_node";
    signal_thread_head: "signal_struct" "thread_head";
    filter_prev: "seccomp_filter" "prev";
    filter_notif: "seccomp_filter" "notif";
    mm_exe_file: "mm_struct" "exe_file";
    file_inode: "file" "f_inode";
    file_path: "file" "f_path";
    file_private: "file" "private_data";
    path_mnt: "path" "mnt";
    path_dentry: "path" "dentry";
    inode_ino: "inode" "i_ino";
    inode_sb: "inode" "i_sb";
    sb_dev: "super_block" "s_dev";
    dentry_parent: "dentry" "d_parent";
    dentry_name: "dentry" "d_name.name";
    mount_mnt: "mount" "mnt";
    mount_parent: "mount" "mnt_parent";
    mount_mountpoint: "mount" "mnt_mountpoint";
    vfsmount_root: "vfsmount" "mnt_root";
    fs_root: "fs_struct" "root";
    fs_pwd: "fs_struct" "pwd";
    files_fdt: "files_struct" "fdt";
    fdt_max: "fdtable" "max_fds";
    fdt_fd: "fdtable" "fd";
    pid_level: "pid" "level";
    pid_numbers: "pid" "numbers";
    upid_ns: "upid" "ns";
    pidns_inum: "pid_namespace" "ns.inum";
    pidns_parent: "pid_namespace" "parent";
    css_set_dfl: "css_set" "dfl_cgrp";
    cgroup_self: "cgroup" "self";
    cgroup_parent: "cgroup" "self.parent";
    cgroup_kn: "cgroup" "kn";
    cgroup_root: "cgroup" "root";
    kn_id: "kernfs_node" "id";
    root_hierarchy: "cgroup_root" "hierarchy_id";
    bprm_filename: "linux_binprm" "filename";
    socket_type: "socket" "type";
    socket_sk: "socket" "sk";
    sk_protocol: "sock" "sk_protocol";
    regs_di: "pt_regs" "di";
    regs_si: "pt_regs" "si";
    regs_dx: "pt_regs" "dx";
    regs_r10: "pt_regs" "r10";
    regs_r8: "pt_regs" "r8";
    regs_r9: "pt_regs" "r9";
    regs_bx: "pt_regs" "bx";
    regs_cx: "pt_regs" "cx";
    regs_bp: "pt_regs" "bp";
    regs_orig_ax: "pt_regs" "orig_ax";
}

/// The tracepoints that programs are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Tracepoint {
    SysEnter,
    SysExit,
    TaskNewtask,
    SchedProcessExec,
    SchedProcessExit,
    SignalGenerate,
    CgroupAttachTask,
    /// Linux 6.14.
    CapCapable,
}

const TRACEPOINTS: [&str; 8] = [
    "btf_trace_sys_enter",
    "btf_trace_sys_exit",
    "btf_trace_task_newtask",
    "btf_trace_sched_process_exec",
    "btf_trace_sched_process_exit",
    "btf_trace_signal_generate",
    "btf_trace_cgroup_attach_task",
    "btf_trace_cap_capable",
];

/// Finds a task by its thread id (Linux 6.2), and lets it go again.
const FUNCTIONS: [&str; 2] = ["bpf_task_from_pid", "bpf_task_release"];

/// All that is taken from the kernel's types.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) layout: Layout,
    /// BTF ids of `bpf_task_from_pid` and `bpf_task_release`.
    pub(crate) task_from_pid: Option<(u32, u32)>,
}

impl Kernel {
    /// Reads the type information of the running kernel.
    pub(crate) fn read() -> Result<Self, Unavailable> {
        let blob = KernelTypes::open().map_err(Unavailable::NoBtf)?;
        Self::from_blob(&blob)
    }

    /// The same from a blob.
    pub(crate) fn from_blob(blob: &[u8]) -> Result<Self, Unavailable> {
        let mut structs = STRUCTS.to_vec();
        structs.dedup();
        let btf = Btf::new(blob, Wanted { structs: &structs, typedefs: &TRACEPOINTS, functions: &FUNCTIONS })?;
        Ok(Self { layout: look_up(&btf)?, task_from_pid: btf.id(FUNCTIONS[0]).zip(btf.id(FUNCTIONS[1])) })
    }

    /// As if the kernel had it not.
    #[cfg(test)]
    pub(crate) fn lose(&mut self, which: Tracepoint) {
        self.layout.tracepoints[which as usize] = None;
    }

    /// The id of a tracepoint's type.
    pub(crate) fn tracepoint(&self, which: Tracepoint) -> Result<u32, Unavailable> {
        let name = TRACEPOINTS[which as usize];
        let missing = || Unavailable::Missing(format!("tracepoint {}", name.trim_start_matches("btf_trace_")));
        self.layout.tracepoints[which as usize].ok_or_else(missing)
    }
}

fn field(btf: &Btf<'_>, structure: &str, path: &str) -> Result<i16, Unavailable> {
    let found = btf.offset(structure, path).and_then(|offset| i16::try_from(offset).ok());
    found.ok_or_else(|| Unavailable::Missing(format!("field {path} in struct {structure}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_a_field_or_a_tracepoint_says_which() {
        // An empty blob: a header, no types, the empty string.
        let blob: Vec<u8> =
            [0x0001_eb9f_u32, 24, 0, 0, 0, 1].iter().flat_map(|word| word.to_le_bytes()).chain([0]).collect();
        let error = Kernel::from_blob(&blob).expect_err("nothing in it");
        assert_eq!(error.to_string(), "the kernel has no field thread_info.status in struct task_struct");
    }

    #[test]
    fn this_kernel_has_all() {
        if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
            tipstaff_testkit::skip!("no /sys/kernel/btf/vmlinux");
        }
        let kernel = Kernel::read().expect("this kernel");
        assert!(kernel.tracepoint(Tracepoint::SysEnter).is_ok());
        assert!(kernel.tracepoint(Tracepoint::SchedProcessExec).is_ok());
    }
}
