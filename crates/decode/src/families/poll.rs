//! Waiting for descriptors: poll(2), select(2), epoll(7), and the descriptors that are made for waiting: eventfd(2), inotify(7), fanotify(7).

use tipstaff_abi::Arch;

use super::{
    common::{TIMESPEC, TIMESPEC64, TIMEVAL, open_flags_int, timed_out, word_at},
    signal::sigset_sized,
};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Bits, Bits16, Dirfd, Enum, Fd, In, In32, Int, Out, Path, Ptr, Skip, Uint, Ulong},
        Param, Record,
        Ret::With,
        Spec, call, chooses, opens, returns,
    },
    names::{self, bits},
    tables::{files, signal},
};

static POLL: names::Bits = bits(files::POLL);
static EPOLL: names::Bits = bits(files::EPOLL);
static EPOLL_FLAGS: names::Bits = bits(files::EPOLL_FLAGS);
static EFD: names::Bits = bits(files::EFD);
static SIGNALFD: names::Bits = bits(signal::SIGNALFD);
static INOTIFY: names::Bits = bits(files::INOTIFY);
static INOTIFY_FLAGS: names::Bits = bits(files::INOTIFY_FLAGS);
static FANOTIFY_INIT: names::Bits = names::Bits { fields: &[(0xc, files::FANOTIFY_CLASS)], bits: files::FANOTIFY_INIT };
static FANOTIFY_MARK: names::Bits = bits(files::FANOTIFY_MARK);
static FANOTIFY: names::Bits = bits(files::FANOTIFY);

/// poll(2)'s array as the caller gives it; what came of it is part of the result.
const POLLFD: Record = &[("fd", Fd), ("events", Bits16(&POLL))];

fn pollfds(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.list(address, ctx.word(1), 8, |bytes| ctx.fields(bytes, POLLFD))
}

/// The descriptors that something happened to, `Timeout` for none.
fn polled(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    const AFTER: Record = &[("fd", Fd), ("", Skip(2)), ("revents", Bits16(&POLL))];
    if value == 0 {
        return timed_out(ctx, value);
    }
    let count = usize::try_from(ctx.word(1)).map_or(1024, |count| count.min(1024));
    let bytes = ctx.read_vec(ctx.word(0), count * 8);
    let happened = bytes.chunks_exact(8).filter(|fd| fd[6] != 0 || fd[7] != 0);
    let mut items: Vec<Value> = happened.map(|fd| ctx.fields(fd, AFTER)).collect();
    let more = items.len() > ctx.world.list_limit;
    items.truncate(ctx.world.list_limit);
    (!items.is_empty()).then_some(Value::List { items, more })
}

/// A set of descriptors up to the numbered word's `nfds`.
fn fd_set(ctx: &Ctx<'_>, address: u64) -> Value {
    if address == 0 {
        return Value::Address(0);
    }
    // FD_SETSIZE is 1,024; the kernel takes as many as the process may open.
    let nfds = usize::try_from(ctx.word(0) as u32 as i32).unwrap_or(0).min(65_536);
    let bytes = ctx.read_vec(address, nfds.div_ceil(8));
    if bytes.is_empty() && nfds != 0 {
        return Value::Address(address);
    }
    let set = (0..nfds.min(bytes.len() * 8)).filter(|fd| bytes[fd / 8] >> (fd % 8) & 1 == 1);
    let mut items: Vec<Value> = set.take(ctx.world.list_limit.saturating_add(1)).map(|fd| ctx.fd(fd as i32)).collect();
    let more = items.len() > ctx.world.list_limit;
    items.truncate(ctx.world.list_limit);
    Value::List { items, more }
}

/// The sets that select(2) has left, and the time that was left: Linux writes it back.
fn selected(ctx: &Ctx<'_>, value: i64, time: Record) -> Option<Value> {
    if value == 0 {
        return timed_out(ctx, value);
    }
    let mut shown = Vec::new();
    for (at, name) in [(1, "in"), (2, "out"), (3, "except")] {
        if let set @ Value::List { .. } = fd_set(ctx, ctx.word(at))
            && !matches!(&set, Value::List { items, .. } if items.is_empty())
        {
            shown.push((name, set));
        }
    }
    if let left @ Value::Struct(_) = ctx.record(ctx.word(4), time) {
        shown.push(("left", left));
    }
    (!shown.is_empty()).then_some(Value::Struct(shown))
}

fn left_timeval(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    selected(ctx, value, TIMEVAL)
}

fn left_timespec(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    selected(ctx, value, TIMESPEC)
}

fn left_timespec64(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    selected(ctx, value, TIMESPEC64)
}

const SELECT: &[Param] = &[
    ("nfds", Int),
    ("readfds", In(fd_set)),
    ("writefds", In(fd_set)),
    ("exceptfds", In(fd_set)),
    ("timeout", Ptr(TIMEVAL)),
];

/// The first select(2) of i386 has its five words in memory.
fn old_select(ctx: &mut Ctx<'_>) -> &'static [Param] {
    let words = ctx.read::<20>(ctx.word(0)).unwrap_or_default();
    for at in 0..5 {
        ctx.words[at] = word_at(&words, at * 4, 4);
    }
    SELECT
}

/// pselect6(2) keeps its signal set and the set's size behind one pointer.
fn pselect_mask(ctx: &Ctx<'_>, address: u64) -> Value {
    let word = ctx.word_size();
    let bytes = if address == 0 { Vec::new() } else { ctx.read_vec(address, 2 * word) };
    if bytes.len() < 2 * word {
        return Value::Address(address);
    }
    let size = word_at(&bytes, word, word);
    Value::Struct(vec![
        ("sigmask", sigset_sized(ctx, word_at(&bytes, 0, word), size)),
        ("sigsetsize", Value::Uint(size)),
    ])
}

/// `struct epoll_event`, packed on x86 alone.
fn event(ctx: &Ctx<'_>, bytes: &[u8]) -> Value {
    let at = if packed(ctx.arch) { 4 } else { 8 };
    let data = word_at(bytes, at, 8);
    Value::Struct(vec![("events", EPOLL.of(word_at(bytes, 0, 4))), ("data", Value::Hex(data))])
}

fn packed(arch: Arch) -> bool {
    matches!(arch, Arch::X86_64 | Arch::X32 | Arch::I386)
}

fn event_in(ctx: &Ctx<'_>, address: u64) -> Value {
    // EPOLL_CTL_DEL takes none.
    if ctx.word(1) as u32 == 2 {
        return Value::Address(address);
    }
    match events(ctx, address, 1) {
        Value::List { mut items, .. } if items.len() == 1 => items.swap_remove(0),
        other => other,
    }
}

fn events_out(ctx: &Ctx<'_>, address: u64) -> Value {
    events(ctx, address, ctx.len())
}

fn events(ctx: &Ctx<'_>, address: u64, count: u64) -> Value {
    let size = if packed(ctx.arch) { 12 } else { 16 };
    ctx.list(address, count, size, |bytes| event(ctx, bytes))
}

fn mask5(ctx: &Ctx<'_>, address: u64) -> Value {
    sigset_sized(ctx, address, ctx.word(5))
}

fn mask4(ctx: &Ctx<'_>, address: u64) -> Value {
    sigset_sized(ctx, address, ctx.word(4))
}

fn mask2(ctx: &Ctx<'_>, address: u64) -> Value {
    sigset_sized(ctx, address, ctx.word(2))
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    returns("poll", &[("fds", In(pollfds)), ("nfds", Uint), ("timeout", Int)], With(polled)),
    returns("ppoll", &[("fds", In(pollfds)), ("nfds", Uint), ("tmo_p", Ptr(TIMESPEC)), ("sigmask", In(mask4)), ("sigsetsize", Ulong)], With(polled)),
    returns("ppoll_time64", &[("fds", In(pollfds)), ("nfds", Uint), ("tmo_p", Ptr(TIMESPEC64)), ("sigmask", In(mask4)), ("sigsetsize", Ulong)], With(polled)),
    returns("select _newselect", SELECT, With(left_timeval)),
    chooses("select:struct", old_select, With(left_timeval)),
    returns("pselect6", &[("nfds", Int), ("readfds", In(fd_set)), ("writefds", In(fd_set)), ("exceptfds", In(fd_set)), ("timeout", Ptr(TIMESPEC)), ("sigmask", In(pselect_mask))], With(left_timespec)),
    returns("pselect6_time64", &[("nfds", Int), ("readfds", In(fd_set)), ("writefds", In(fd_set)), ("exceptfds", In(fd_set)), ("timeout", Ptr(TIMESPEC64)), ("sigmask", In(pselect_mask))], With(left_timespec64)),
    opens("epoll_create", &[("size", Int)]),
    opens("epoll_create1", &[("flags", Bits(&EPOLL_FLAGS))]),
    call("epoll_ctl", &[("epfd", Fd), ("op", Enum(files::EPOLL_CTL)), ("fd", Fd), ("event", In(event_in))]),
    call("epoll_wait", &[("epfd", Fd), ("events", Out(events_out)), ("maxevents", Int), ("timeout", Int)]),
    call("epoll_pwait", &[("epfd", Fd), ("events", Out(events_out)), ("maxevents", Int), ("timeout", Int), ("sigmask", In(mask5)), ("sigsetsize", Ulong)]),
    call("epoll_pwait2", &[("epfd", Fd), ("events", Out(events_out)), ("maxevents", Int), ("timeout", Ptr(TIMESPEC64)), ("sigmask", In(mask5)), ("sigsetsize", Ulong)]),
    opens("eventfd", &[("initval", Uint)]),
    opens("eventfd2", &[("initval", Uint), ("flags", Bits(&EFD))]),
    opens("signalfd", &[("fd", Int), ("mask", In(mask2)), ("sizemask", Ulong)]),
    opens("signalfd4", &[("fd", Int), ("mask", In(mask2)), ("sizemask", Ulong), ("flags", Bits(&SIGNALFD))]),
    opens("inotify_init", &[]),
    opens("inotify_init1", &[("flags", Bits(&INOTIFY_FLAGS))]),
    call("inotify_add_watch", &[("fd", Fd), ("pathname", Path), ("mask", Bits(&INOTIFY))]),
    call("inotify_rm_watch", &[("fd", Fd), ("wd", Int)]),
    opens("fanotify_init", &[("flags", Bits(&FANOTIFY_INIT)), ("event_f_flags", In32(open_flags_int))]),
    call("fanotify_mark", &[("fanotify_fd", Fd), ("flags", Bits(&FANOTIFY_MARK)), ("mask", Kind::Bits64(&FANOTIFY)), ("dirfd", Dirfd), ("pathname", Path)]),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn poll_says_what_was_asked_and_what_happened() {
        let fake = Fake::default().fd(5, "socket:[1]").halves(0x1000, &[5, 0x0005_0001, 6, 0x0000_0001, u32::MAX, 1]);
        assert_eq!(
            fake.left("poll", &[0x1000, 2, 1000], 1),
            "poll([{fd=5<socket:[1]>, events=POLLIN}, {fd=6, events=POLLIN}], 2, 1000) = 1 \
             ([{fd=5<socket:[1]>, revents=POLLIN|POLLOUT}])"
        );
        assert_eq!(fake.left("poll", &[0, 0, 10], 0), "poll(NULL, 0, 10) = 0 (Timeout)");
        assert_eq!(
            fake.left("poll", &[0x1000, 1, -1_i64 as u64], -4),
            "poll([{fd=5<socket:[1]>, events=POLLIN}], 1, -1) = -4 EINTR"
        );
    }

    #[test]
    fn select_sets_are_descriptors() {
        let fake = Fake::default().put(0x1000, [0b1001_u8]).words(0x2000, &[1, 0]);
        assert_eq!(
            fake.left("select", &[4, 0x1000, 0, 0, 0x2000], 2),
            "select(4, [0, 3], NULL, NULL, {tv_sec=1, tv_usec=0}) = 2 ({in=[0, 3], left={tv_sec=1, tv_usec=0}})"
        );
        let old = Fake::default().put(0x1000, [1_u8]).halves(0x3000, &[1, 0x1000, 0, 0, 0]);
        assert_eq!(old.left_on(Arch::I386, "select", &[0x3000], 0), "select(1, [0], NULL, NULL, NULL) = 0 (Timeout)");
        let mask = Fake::default().words(0x1000, &[0x2000, 8]).words(0x2000, &[2]);
        assert_eq!(
            mask.entered("pselect6", &[0, 0, 0, 0, 0, 0x1000]),
            "pselect6(0, NULL, NULL, NULL, NULL, {sigmask=[SIGINT], sigsetsize=8})"
        );
    }

    #[test]
    fn epoll_events_are_packed_on_x86_only() {
        let x86 = Fake::default().halves(0x1000, &[1, 7, 0, 4, 8, 0]);
        assert_eq!(
            x86.left("epoll_wait", &[3, 0x1000, 10, 5], 2),
            "epoll_wait(3, [{events=EPOLLIN, data=0x7}, {events=EPOLLOUT, data=0x8}], 10, 5) = 2"
        );
        assert_eq!(
            x86.entered("epoll_ctl", &[3, 1, 5, 0x1000]),
            "epoll_ctl(3, EPOLL_CTL_ADD, 5, {events=EPOLLIN, data=0x7})"
        );
        assert_eq!(x86.entered("epoll_ctl", &[3, 2, 5, 0x1000]), "epoll_ctl(3, EPOLL_CTL_DEL, 5, 0x1000)");
        let arm = Fake::default().halves(0x1000, &[1, 0, 7, 0]);
        assert_eq!(
            arm.left_on(Arch::Aarch64, "epoll_pwait", &[3, 0x1000, 10, 5], 1),
            "epoll_pwait(3, [{events=EPOLLIN, data=0x7}], 10, 5, NULL, 0) = 1"
        );
        assert_eq!(x86.entered("eventfd2", &[0, 0x80000]), "eventfd2(0, EFD_CLOEXEC)");
    }
}
