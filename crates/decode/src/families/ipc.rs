//! System V IPC (sysvipc(7)) and POSIX message queues (mq_overview(7)).

use super::{
    common::{TIMESPEC, TIMESPEC64, makes, open_flags_int},
    signal::sigevent,
};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, Buf, Enum, Id, In, Int, Long, Octal, Out, OutPtr, Ptr, Str, U16, Uint, Ulong},
        Param, Record,
        Ret::{Address, Fd as RetFd, Number},
        Spec, call, chooses, returns,
    },
    names::{self, Bits, bits},
    tables::ipc,
};

static GET: Bits = bits(ipc::IPC_GET);
static SHM_GET: Bits = bits(ipc::SHM_GET);
static SHM_AT: Bits = bits(ipc::SHM_AT);
static MSG_FLAGS: Bits = bits(ipc::MSG_FLAGS);
static SEM_FLAGS: Bits = bits(ipc::SEM_FLAGS);

/// IPC_PRIVATE, or a key as ftok(3) makes it.
fn key(_: &Ctx<'_>, word: u64) -> Value {
    names::named(ipc::IPC_PRIVATE, word & 0xffff_ffff)
}

/// Flags with the mode of what is made in the low nine bits.
fn get_flags(_: &Ctx<'_>, word: u64) -> Value {
    flags_and_mode(&GET, word)
}

fn shm_flags(_: &Ctx<'_>, word: u64) -> Value {
    flags_and_mode(&SHM_GET, word)
}

fn flags_and_mode(flags: &Bits, word: u64) -> Value {
    Value::Struct(vec![("flags", flags.of(word & 0xffff_fe00)), ("mode", Value::Octal((word & 0o777) as u32))])
}

const PERM: Record = &[
    ("key", Kind::Hex),
    ("uid", Id),
    ("gid", Id),
    ("cuid", Id),
    ("cgid", Id),
    ("mode", Octal),
    ("seq", U16),
    ("", Kind::Skip(2)),
    ("", Kind::SkipLong(2)),
];

/// The 64-bit structures (IPC_64 is implied there); what a 32-bit caller gets has other shapes and stays an address.
#[rustfmt::skip]
pub(super) const MSQID: Record = &[
    ("msg_perm", Kind::Rec(PERM)), ("msg_stime", Long), ("msg_rtime", Long), ("msg_ctime", Long), ("msg_cbytes", Ulong), ("msg_qnum", Ulong),
    ("msg_qbytes", Ulong), ("msg_lspid", Int), ("msg_lrpid", Int),
];
#[rustfmt::skip]
pub(super) const SHMID: Record = &[
    ("shm_perm", Kind::Rec(PERM)), ("shm_segsz", Ulong), ("shm_atime", Long), ("shm_dtime", Long), ("shm_ctime", Long), ("shm_cpid", Int),
    ("shm_lpid", Int), ("shm_nattch", Ulong),
];

/// x86 has a word of padding after each time (arch/x86/include/uapi/asm/sembuf.h).
#[rustfmt::skip]
pub(super) const SEMID: Record = &[("sem_perm", Kind::Rec(PERM)), ("sem_otime", Long), ("", Kind::SkipLong(1)), ("sem_ctime", Long), ("", Kind::SkipLong(1)), ("sem_nsems", Ulong)];

fn wide(ctx: &Ctx<'_>, address: u64, record: Record) -> Value {
    if ctx.wide { ctx.record(address, record) } else { Value::Address(address) }
}

fn msqid(ctx: &Ctx<'_>, address: u64) -> Value {
    wide(ctx, address, MSQID)
}

fn shmid(ctx: &Ctx<'_>, address: u64) -> Value {
    wide(ctx, address, SHMID)
}

fn semid(ctx: &Ctx<'_>, address: u64) -> Value {
    wide(ctx, address, SEMID)
}

/// The commands of each kind; IPC_64 (0x100) may be or-ed to one.
fn command(table: crate::kind::Names, word: u64) -> Value {
    names::named(table, word & 0xffff_feff)
}

fn msg_command(_: &Ctx<'_>, word: u64) -> Value {
    command(ipc::MSG_CMD, word)
}

fn sem_command(_: &Ctx<'_>, word: u64) -> Value {
    command(ipc::SEM_CMD, word)
}

fn shm_command(_: &Ctx<'_>, word: u64) -> Value {
    command(ipc::SHM_CMD, word)
}

const IPC_SET: u32 = 1;
const IPC_STAT: u32 = 2;

fn msgctl(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const PLAIN: &[Param] = &[("msqid", Int), ("op", In(msg_command)), ("buf", Addr)];
    const SET: &[Param] = &[("msqid", Int), ("op", In(msg_command)), ("buf", In(msqid))];
    const STAT: &[Param] = &[("msqid", Int), ("op", In(msg_command)), ("buf", Out(msqid))];
    match ctx.word(1) as u32 & !0x100 {
        IPC_SET => SET,
        // MSG_STAT and MSG_STAT_ANY too.
        IPC_STAT | 11 | 13 => STAT,
        _ => PLAIN,
    }
}

fn shmctl(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const PLAIN: &[Param] = &[("shmid", Int), ("op", In(shm_command)), ("buf", Addr)];
    const SET: &[Param] = &[("shmid", Int), ("op", In(shm_command)), ("buf", In(shmid))];
    const STAT: &[Param] = &[("shmid", Int), ("op", In(shm_command)), ("buf", Out(shmid))];
    match ctx.word(1) as u32 & !0x100 {
        IPC_SET => SET,
        // SHM_STAT and SHM_STAT_ANY too.
        IPC_STAT | 13 | 15 => STAT,
        _ => PLAIN,
    }
}

fn semctl(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const PLAIN: &[Param] = &[("semid", Int), ("semnum", Int), ("op", In(sem_command))];
    const VALUE: &[Param] = &[("semid", Int), ("semnum", Int), ("op", In(sem_command)), ("val", Int)];
    const STAT: &[Param] = &[("semid", Int), ("semnum", Int), ("op", In(sem_command)), ("buf", Out(semid))];
    const OTHER: &[Param] = &[("semid", Int), ("semnum", Int), ("op", In(sem_command)), ("arg", Addr)];
    match ctx.word(2) as u32 & !0x100 {
        // IPC_RMID, GETPID, GETVAL, GETNCNT, GETZCNT
        0 | 11 | 12 | 14 | 15 => PLAIN,
        // SETVAL
        16 => VALUE,
        // SEM_STAT and SEM_STAT_ANY too.
        IPC_STAT | 18 | 20 => STAT,
        _ => OTHER,
    }
}

pub(super) const SEMBUF: Record = &[("sem_num", U16), ("sem_op", Kind::I16), ("sem_flg", Kind::Bits16(&SEM_FLAGS))];
const SEMBUFS: Kind = Kind::Counted(2, &Kind::Rec(SEMBUF));

/// A message: its type, then as many bytes as the third word says.
fn message(ctx: &Ctx<'_>, address: u64) -> Value {
    typed(ctx, address, ctx.word(2))
}

/// A message that was received: as many bytes as the result says.
fn message_out(ctx: &Ctx<'_>, address: u64) -> Value {
    typed(ctx, address, ctx.len())
}

fn typed(ctx: &Ctx<'_>, address: u64, len: u64) -> Value {
    let Some(kind) = ctx.read_word(address) else { return Value::Address(address) };
    let kind = if ctx.wide { kind as i64 } else { i64::from(kind as i32) };
    let text = ctx.buffer(address.wrapping_add(ctx.word_size() as u64), len);
    Value::Struct(vec![("mtype", Value::Int(kind)), ("mtext", text)])
}

pub(super) const MQ_ATTR: Record =
    &[("mq_flags", Kind::HexLong), ("mq_maxmsg", Long), ("mq_msgsize", Long), ("mq_curmsgs", Long)];

fn mq_open(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const PLAIN: &[Param] = &[("name", Str), ("oflag", Kind::In32(open_flags_int))];
    const MAKES: &[Param] =
        &[("name", Str), ("oflag", Kind::In32(open_flags_int)), ("mode", Octal), ("attr", Ptr(MQ_ATTR))];
    if makes(ctx.word(1)) { MAKES } else { PLAIN }
}

/// ipc(2) of i386: which call, then three words, a pointer and a fifth word, in the order of include/uapi/linux/ipc.h.
fn multiplexed(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const OTHER: &[Param] = &[
        ("call", Enum(ipc::IPC_CALL)),
        ("first", Int),
        ("second", Kind::HexLong),
        ("third", Kind::HexLong),
        ("ptr", Addr),
        ("fifth", Kind::HexLong),
    ];
    let [number, first, second, third, pointer, _] = ctx.given.map(|word| word & 0xffff_ffff);
    // The upper half of the first word is a version.
    let (words, params): ([u64; 4], &'static [Param]) = match number & 0xffff {
        1 => ([first, pointer, second, 0], SEMOP),
        2 => ([first, second, third, 0], SEMGET),
        11 => ([first, pointer, second, third], MSGSND),
        13 => ([first, second, 0, 0], MSGGET),
        14 => {
            ctx.words[..3].copy_from_slice(&[first, second, pointer]);
            return msgctl(ctx);
        }
        22 => ([pointer, 0, 0, 0], SHMDT),
        23 => ([first, second, third, 0], SHMGET),
        24 => {
            ctx.words[..3].copy_from_slice(&[first, second, pointer]);
            return shmctl(ctx);
        }
        _ => return OTHER,
    };
    ctx.words[..4].copy_from_slice(&words);
    params
}

const SEMGET: &[Param] = &[("key", In(key)), ("nsems", Int), ("semflg", In(get_flags))];
const SEMOP: &[Param] = &[("semid", Int), ("sops", SEMBUFS), ("nsops", Ulong)];
const MSGGET: &[Param] = &[("key", In(key)), ("msgflg", In(get_flags))];
const MSGSND: &[Param] = &[("msqid", Int), ("msgp", In(message)), ("msgsz", Ulong), ("msgflg", Kind::Bits(&MSG_FLAGS))];
const SHMGET: &[Param] = &[("key", In(key)), ("size", Ulong), ("shmflg", In(shm_flags))];
const SHMDT: &[Param] = &[("shmaddr", Addr)];

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("semget", SEMGET),
    call("semop", SEMOP),
    call("semtimedop", &[("semid", Int), ("sops", SEMBUFS), ("nsops", Ulong), ("timeout", Ptr(TIMESPEC))]),
    call("semtimedop_time64", &[("semid", Int), ("sops", SEMBUFS), ("nsops", Ulong), ("timeout", Ptr(TIMESPEC64))]),
    chooses("semctl", semctl, Number),
    call("msgget", MSGGET),
    call("msgsnd", MSGSND),
    call("msgrcv", &[("msqid", Int), ("msgp", Out(message_out)), ("msgsz", Ulong), ("msgtyp", Long), ("msgflg", Kind::Bits(&MSG_FLAGS))]),
    chooses("msgctl", msgctl, Number),
    call("shmget", SHMGET),
    returns("shmat", &[("shmid", Int), ("shmaddr", Addr), ("shmflg", Kind::Bits(&SHM_AT))], Address),
    call("shmdt", SHMDT),
    chooses("shmctl", shmctl, Number),
    chooses("ipc", multiplexed, Number),
    chooses("mq_open", mq_open, RetFd),
    call("mq_unlink", &[("name", Str)]),
    call("mq_timedsend", &[("mqdes", Kind::Fd), ("msg_ptr", Buf(2)), ("msg_len", Ulong), ("msg_prio", Uint), ("abs_timeout", Ptr(TIMESPEC))]),
    call("mq_timedsend_time64", &[("mqdes", Kind::Fd), ("msg_ptr", Buf(2)), ("msg_len", Ulong), ("msg_prio", Uint), ("abs_timeout", Ptr(TIMESPEC64))]),
    call("mq_timedreceive", &[("mqdes", Kind::Fd), ("msg_ptr", Kind::OutBuf), ("msg_len", Ulong), ("msg_prio", Kind::OutTo(&Uint)), ("abs_timeout", Ptr(TIMESPEC))]),
    call("mq_timedreceive_time64", &[("mqdes", Kind::Fd), ("msg_ptr", Kind::OutBuf), ("msg_len", Ulong), ("msg_prio", Kind::OutTo(&Uint)), ("abs_timeout", Ptr(TIMESPEC64))]),
    call("mq_notify", &[("mqdes", Kind::Fd), ("sevp", In(sigevent))]),
    call("mq_getsetattr", &[("mqdes", Kind::Fd), ("newattr", Ptr(MQ_ATTR)), ("oldattr", OutPtr(MQ_ATTR))]),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn semaphores_and_messages() {
        let fake = Fake::default()
            .put(0x1000, [0, 0, 0xff, 0xff, 0, 0x10])
            .words(0x2000, &[7, u64::from_le_bytes(*b"hello\0\0\0")]);
        assert_eq!(fake.entered("semget", &[0, 1, 0o1600]), "semget(IPC_PRIVATE, 1, {flags=IPC_CREAT, mode=0600})");
        assert_eq!(fake.entered("semop", &[1, 0x1000, 1]), "semop(1, [{sem_num=0, sem_op=-1, sem_flg=SEM_UNDO}], 1)");
        assert_eq!(fake.entered("semctl", &[1, 0, 16, 5]), "semctl(1, 0, SETVAL, 5)");
        assert_eq!(
            fake.entered("msgsnd", &[1, 0x2000, 5, 0x800]),
            r#"msgsnd(1, {mtype=7, mtext="hello"}, 5, IPC_NOWAIT)"#
        );
        assert_eq!(fake.left("msgrcv", &[1, 0x2000, 99, 0, 0], 2), r#"msgrcv(1, {mtype=7, mtext="he"}, 99, 0, 0) = 2"#);
        assert_eq!(fake.left("shmat", &[1, 0, 0x1000], 0x7000), "shmat(1, NULL, SHM_RDONLY) = 28672 (0x7000)");
        assert_eq!(fake.entered("shmctl", &[1, 0, 0]), "shmctl(1, IPC_RMID, NULL)");
    }

    #[test]
    fn ipc_of_i386_is_many_calls() {
        let fake = Fake::default().put(0x1000, [0, 0, 1, 0, 0, 0]).halves(0x2000, &[7]).put(0x2004, b"hello");
        assert_eq!(
            fake.left_on(Arch::I386, "ipc", &[1, 5, 1, 0, 0x1000, 0], 0),
            "ipc(5, [{sem_num=0, sem_op=1, sem_flg=0}], 1) = 0"
        );
        assert_eq!(
            fake.left_on(Arch::I386, "ipc", &[11, 5, 5, 0, 0x2000, 0], 0),
            r#"ipc(5, {mtype=7, mtext="hello"}, 5, 0) = 0"#
        );
        assert_eq!(fake.left_on(Arch::I386, "ipc", &[14, 5, 0x100, 0, 0, 0], 0), "ipc(5, IPC_RMID, NULL) = 0");
        assert_eq!(
            fake.left_on(Arch::I386, "ipc", &[99, 5, 1, 2, 3, 4], -38),
            "ipc(0x63, 5, 0x1, 0x2, 0x3, 0x4) = -38 ENOSYS"
        );
    }
}
