//! One box, as keeper and supervisor both see it.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64};

use super::STARTING;

/// What is known of one box, and ordered for it. A handle on a box that has ended reaches nobody else's.
pub(super) struct Round {
    pub state: AtomicU32,
    pub stage: AtomicU32,
    pub index: AtomicU32,
    pub errno: AtomicI32,
    pub command: AtomicU32,
    pub forward: AtomicI32,
    pub everybody: AtomicI32,
    pub guest_pid: AtomicI32,
    pub status: AtomicI32,
    pub has_status: AtomicBool,
    pub killed_ns: AtomicU64,
    pub started_ns: AtomicU64,
    pub ended_ns: AtomicU64,
    pub user_us: AtomicU64,
    pub system_us: AtomicU64,
    pub reaped: AtomicU64,
    pub last_pid: AtomicI32,
    pub disk_left: AtomicU64,
    pub disk_used: AtomicU64,
}

impl Round {
    pub fn new() -> Self {
        Self {
            state: AtomicU32::new(STARTING),
            stage: AtomicU32::new(0),
            index: AtomicU32::new(0),
            errno: AtomicI32::new(0),
            command: AtomicU32::new(0),
            forward: AtomicI32::new(0),
            everybody: AtomicI32::new(0),
            guest_pid: AtomicI32::new(0),
            status: AtomicI32::new(0),
            has_status: AtomicBool::new(false),
            killed_ns: AtomicU64::new(0),
            started_ns: AtomicU64::new(0),
            ended_ns: AtomicU64::new(0),
            user_us: AtomicU64::new(0),
            system_us: AtomicU64::new(0),
            reaped: AtomicU64::new(0),
            last_pid: AtomicI32::new(0),
            disk_left: AtomicU64::new(u64::MAX),
            disk_used: AtomicU64::new(0),
        }
    }
}
