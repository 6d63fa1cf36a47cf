//! Text, compared with what strace prints for the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use tipstaff_decode::{Returned, Value};
use tipstaff_render::{Clock, PerTask, Sink, Stamp, TaskPrefix, Text, TextOptions, What};

use crate::samples::{Story, at_cwd, bytes, call, fd, flags};

/// A writer that can be looked into, and counts how often it was written to.
#[derive(Clone, Default)]
struct Out(Rc<RefCell<(Vec<u8>, usize)>>);

impl Out {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().0.clone()).unwrap()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.borrow_mut();
        inner.0.extend_from_slice(bytes);
        inner.1 += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn told(story: &Story, options: TextOptions) -> String {
    let out = Out::default();
    story.tell(&mut Text::new(out.clone(), options));
    out.text()
}

fn plain(story: &Story) -> String {
    told(story, TextOptions::default())
}

fn file() -> TextOptions {
    TextOptions { task: TaskPrefix::Always, ..TextOptions::default() }
}

#[track_caller]
fn line(name: &'static str, args: &[(&'static str, Value)], returned: Option<Returned>, expected: &str) {
    let mut call = call(name, args, None);
    call.returned = returned;
    let mut story = Story::default();
    story.push(7, 7, What::Returned { call, took_ns: 12_000 });
    assert_eq!(plain(&story), format!("{expected}\n"));
}

fn result(value: i64, shown: Option<Value>) -> Option<Returned> {
    Some(Returned { value, errno: None, shown })
}

#[test]
fn calls_read_as_straces_do() {
    let mut story = Story::default();
    story.open(7, "/etc/ld.so.cache", 3).open(7, "/nope", -2).call(7, "close", &[("fd", fd(3))], 0).exits(7, 0);
    assert_eq!(
        plain(&story),
        "openat(AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = 3\n\
         openat(AT_FDCWD, \"/nope\", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)\n\
         close(3)                                = 0\n\
         exit_group(0)                           = ?\n\
         +++ exited with 0 +++\n"
    );
}

#[test]
fn values_read_as_straces_do() {
    let stat = Value::Struct(vec![
        ("st_dev", Value::Uint(5)),
        ("st_mode", Value::Octal(0o100_644)),
        ("st_size", Value::Int(4096)),
    ]);
    let mut whole = Story::default();
    whole.call(7, "fstat", &[("statbuf", stat.clone())], 0);
    assert_eq!(
        told(&whole, TextOptions { whole: true, column: 0, ..TextOptions::default() }),
        "fstat({st_dev=5, st_mode=S_IFREG|0644, st_size=4096}) = 0\n"
    );
    line(
        "fstat",
        &[("fd", fd(3)), ("statbuf", stat)],
        result(0, None),
        "fstat(3, {st_mode=S_IFREG|0644, st_size=4096, ...}) = 0",
    );
    line("mknod", &[("mode", Value::Octal(0o041_777))], None, "mknod(S_IFDIR|S_ISVTX|0777)             = ?");
    line("chmod", &[("mode", Value::Octal(0o4755))], None, "chmod(04755)                            = ?");
    let sets = |items| Value::List { items, more: false };
    let args = [
        ("how", Value::Name("SIG_SETMASK")),
        ("set", sets(vec![Value::Name("SIGCHLD"), Value::Name("SIGINT")])),
        ("oldset", sets(vec![Value::Name("~"), Value::Name("SIGKILL"), Value::Name("SIGRTMIN")])),
        ("sigsetsize", Value::Uint(8)),
    ];
    line("rt_sigprocmask", &args, result(0, None), "rt_sigprocmask(SIG_SETMASK, [CHLD INT], ~[KILL RTMIN], 8) = 0");
    let args = [("fd", Value::Fd { number: 3, path: Some(b"/a\n<b>".to_vec()) }), ("mode", Value::Octal(0o22))];
    line("fchmod", &args, result(0, None), "fchmod(3</a\\n\\74b\\76>, 022)             = 0");
    let args = [
        ("addr", Value::Address(0)),
        ("length", Value::Uint(8192)),
        ("prot", Value::Flags { names: vec!["PROT_READ"], rest: 0x100 }),
        ("flags", Value::Flags { names: vec![], rest: 0 }),
    ];
    line("mmap", &args, result(0x7f00, Some(Value::Hex(0x7f00))), "mmap(NULL, 8192, PROT_READ|0x100, 0)    = 0x7f00");
    let cut = Value::Bytes { bytes: b"\x7fELF".to_vec(), cut: true };
    let args = [("fd", fd(3)), ("buf", cut), ("count", Value::Uint(832))];
    line("read", &args, result(832, None), "read(3, \"\\177ELF\"..., 832)              = 832");
    let args = [("argv", Value::List { items: vec![bytes("ls"), bytes("/")], more: true })];
    line("execve", &args, result(0, None), "execve([\"ls\", \"/\", ...])                = 0");
}

#[test]
fn statuses_and_environments_read_as_straces_do() {
    let of = |fields: Vec<(&'static str, Value)>, expected: &str| {
        let line = format!("wait4({expected})");
        self::line("wait4", &[("wstatus", Value::Struct(fields))], None, &format!("{line:39} = ?"));
    };
    of(vec![("WEXITSTATUS", Value::Int(3))], "[{WIFEXITED(s) && WEXITSTATUS(s) == 3}]");
    let core = vec![("WTERMSIG", Value::Name("SIGSEGV")), ("WCOREDUMP", Value::Int(1))];
    of(core, "[{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}]");
    of(vec![("WSTOPSIG", Value::Name("SIGSTOP"))], "[{WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP}]");
    of(vec![("vars", Value::Uint(35))], "[/* 35 vars */]");
}

#[test]
fn results_read_as_straces_do() {
    let open = Value::Fd { number: 3, path: Some(b"/etc/passwd".to_vec()) };
    line("open", &[], result(3, Some(open)), "open()                                  = 3</etc/passwd>");
    line(
        "fcntl",
        &[],
        result(2, Some(flags(&["O_RDWR"]))),
        "fcntl()                                 = 0x2 (flags O_RDWR)",
    );
    line("poll", &[], result(0, Some(Value::Name("Timeout"))), "poll()                                  = 0 (Timeout)");
    line("umask", &[], result(0o22, Some(Value::Octal(0o22))), "umask()                                 = 022");
    let restart = Some(Returned { value: -512, errno: Some("ERESTARTSYS"), shown: None });
    line(
        "read",
        &[],
        restart,
        "read()                                  = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
    );
    line("exit", &[], None, "exit()                                  = ?");
}

#[test]
fn a_call_that_is_overtaken_is_cut_and_taken_up() {
    let pending = [("fd", fd(0)), ("buf", Value::Address(0x7ffd)), ("count", Value::Uint(100))];
    let done = [("fd", fd(0)), ("buf", bytes("hi")), ("count", Value::Uint(100))];
    let mut story = Story::default();
    story.enters(7, "read", &pending);
    story.enters(8, "close", &[("fd", fd(3))]).call(8, "close", &[("fd", fd(3))], 0);
    story.call(7, "read", &done, 2);
    assert_eq!(
        told(&story, file()),
        "7     read(0,  <unfinished ...>\n\
         8     close(3)                          = 0\n\
         7     <... read resumed>\"hi\", 100)      = 2\n"
    );
}

#[test]
fn a_call_that_is_not_overtaken_is_one_line() {
    let before = [
        ("fds", Value::List { items: vec![Value::Struct(vec![("fd", fd(3))])], more: false }),
        ("nfds", Value::Uint(1)),
    ];
    let ready = Value::Struct(vec![("fd", fd(3)), ("revents", flags(&["POLLIN"]))]);
    let after = [("fds", Value::List { items: vec![ready], more: false }), ("nfds", Value::Uint(1))];
    let mut story = Story::default();
    story.enters(7, "poll", &before).call(7, "poll", &after, 1);
    assert_eq!(plain(&story), "poll([{fd=3, revents=POLLIN}], 1)       = 1\n");
    // Somebody watches: what is out cannot be taken back, so the change stands behind the result.
    let live = TextOptions { live: true, ..TextOptions::default() };
    assert_eq!(told(&story, live.clone()), "poll([{fd=3}], 1)                       = 1 ([{fd=3, revents=POLLIN}])\n");
    let mut story = Story::default();
    story.enters(7, "poll", &before).call(7, "poll", &before, 1);
    assert_eq!(told(&story, live), "poll([{fd=3}], 1)                       = 1\n");
}

#[test]
fn an_address_that_nobody_fills_is_told_at_the_entry() {
    let args = [("uaddr", Value::Address(0x7f10)), ("op", flags(&["FUTEX_WAIT"])), ("val", Value::Uint(0))];
    let mut story = Story::default();
    story.enters(7, "futex", &args).signal(8, 10, vec![]).call(7, "futex", &args, -11);
    assert_eq!(
        plain(&story),
        "futex(0x7f10, FUTEX_WAIT, 0 <unfinished ...>\n\
         --- SIGUSR1 {} ---\n\
         <... futex resumed>)                    = -1 EAGAIN (Resource temporarily unavailable)\n"
    );
}

#[test]
fn a_watcher_sees_a_call_before_it_returns() {
    let out = Out::default();
    let mut text = Text::new(out.clone(), TextOptions { live: true, ..TextOptions::default() });
    let mut story = Story::default();
    story.enters(7, "read", &[("fd", fd(0)), ("buf", Value::Address(0x7ffd)), ("count", Value::Uint(1))]);
    text.event(&story.events[0]).unwrap();
    assert_eq!(out.text(), "read(0, ");
}

#[test]
fn a_file_is_written_in_large_pieces() {
    let out = Out::default();
    let mut text = Text::new(out.clone(), TextOptions::default());
    let mut story = Story::default();
    story.open(7, "/etc/passwd", 3);
    for _ in 0..10_000 {
        text.event(&story.events[0]).unwrap();
    }
    text.finish().unwrap();
    assert_eq!(out.text().lines().count(), 10_000);
    assert!(out.0.borrow().1 < 20, "{} writes", out.0.borrow().1);
}

#[test]
fn signals_stops_and_ends() {
    let info =
        vec![("si_signo", Value::Name("SIGCHLD")), ("si_code", Value::Name("CLD_EXITED")), ("si_pid", Value::Int(9))];
    let mut story = Story::default();
    story.signal(7, 17, info).push(7, 7, What::Stopped { signal: 19 }).push(
        7,
        7,
        What::Killed { signal: 11, core: true },
    );
    story.push(8, 8, What::Killed { signal: 34, core: false }).push(9, 9, What::Exited { status: 3 });
    assert_eq!(
        plain(&story),
        "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=9} ---\n\
         --- stopped by SIGSTOP ---\n\
         +++ killed by SIGSEGV (core dumped) +++\n\
         +++ killed by SIGRTMIN+2 +++\n\
         +++ exited with 3 +++\n"
    );
}

#[test]
fn the_task_stands_in_front_while_there_are_several() {
    let mut story = Story::default();
    story.call(7, "getpid", &[], 7).fork(7, 12345).call(12345, "getpid", &[], 12345).call(7, "getpid", &[], 7);
    story.push(12345, 12345, What::Exited { status: 0 }).call(7, "getpid", &[], 7);
    let options = TextOptions { task: TaskPrefix::WhenSeveral, ..TextOptions::default() };
    assert_eq!(
        told(&story, options),
        "getpid()                                = 7\n\
         [pid 12345] getpid()                    = 12345\n\
         [pid     7] getpid()                    = 7\n\
         [pid 12345] +++ exited with 0 +++\n\
         getpid()                                = 7\n"
    );
}

#[test]
fn times() {
    let mut story = Story::default();
    story.call(7, "getpid", &[], 7).call(7, "getpid", &[], 7);
    story.events[1].at_ns += 2_000_000_000;
    let clock = Clock { began_unix_ns: 1_700_000_000_000_000_000, utc_offset_s: 3600 };
    let of = |stamp| told(&story, TextOptions { stamp, clock, column: 0, durations: true, ..TextOptions::default() });
    assert_eq!(of(Stamp::Seconds), "23:13:20 getpid() = 7 <0.000004>\n23:13:22 getpid() = 7 <0.000004>\n");
    assert_eq!(of(Stamp::Microseconds).lines().next(), Some("23:13:20.001000 getpid() = 7 <0.000004>"));
    assert_eq!(of(Stamp::Unix).lines().next(), Some("1700000000.001000 getpid() = 7 <0.000004>"));
    assert_eq!(of(Stamp::Relative), "     0.000000 getpid() = 7 <0.000004>\n     2.001000 getpid() = 7 <0.000004>\n");
}

#[test]
fn colour_moves_no_column() {
    let mut story = Story::default();
    story.call(7, "close", &[("fd", fd(3))], -9).exits(7, 1);
    let coloured = told(&story, TextOptions { colour: true, ..TextOptions::default() });
    assert!(coloured.contains("\x1b[31m-1 EBADF (Bad file descriptor)\x1b[0m"), "{coloured:?}");
    let mut bare = String::new();
    for (index, piece) in coloured.split("\x1b[").enumerate() {
        bare.push_str(if index == 0 { piece } else { piece.split_once('m').unwrap().1 });
    }
    assert_eq!(bare, plain(&story));
}

#[test]
fn a_thread_that_executes_takes_the_leaders_id() {
    let args = [("pathname", bytes("/bin/true")), ("argv", Value::Address(1)), ("envp", Value::Address(2))];
    let mut story = Story::default();
    story.push(7, 7, What::Entered(call("pause", &[], None)));
    story.push(7, 8, What::Entered(call("execve", &args, None)));
    story.push(7, 7, What::Executed { former_tid: 8, path: b"/bin/true".to_vec(), argv: vec![] });
    story.call(7, "execve", &args, 0);
    assert_eq!(
        told(&story, file()),
        "7     pause( <unfinished ...>\n\
         8     execve(\"/bin/true\", 0x1, 0x2 <unfinished ...>\n\
         7     +++ superseded by execve in pid 8 +++\n\
         7     <... execve resumed>)             = 0\n"
    );
}

#[test]
fn a_call_in_flight_is_told_at_detach_and_at_the_end() {
    let mut story = Story::default();
    story.enters(7, "pause", &[]).push(7, 7, What::Detached).enters(8, "pause", &[]);
    assert_eq!(plain(&story), "pause( <detached ...>\npause( <unfinished ...>\n");
}

#[test]
fn each_task_has_its_own_output() {
    let outs: Rc<RefCell<BTreeMap<i32, Out>>> = Rc::default();
    let opened = outs.clone();
    let mut sink = PerTask::new(file(), move |tid| Ok(opened.borrow_mut().entry(tid).or_default().clone()));
    let mut story = Story::default();
    story.enters(7, "pause", &[]).fork(7, 8).open(8, "/a", 3).exits(8, 0).call(7, "pause", &[], -4);
    story.call(8, "openat", &[("dirfd", at_cwd())], 3);
    story.tell(&mut sink);
    let outs = outs.borrow();
    assert_eq!(outs[&7].text(), "pause()                                 = -1 EINTR (Interrupted system call)\n");
    assert_eq!(
        outs[&8].text(),
        "openat(AT_FDCWD, \"/a\", O_RDONLY|O_CLOEXEC) = 3\n\
         exit_group(0)                           = ?\n\
         +++ exited with 0 +++\n\
         openat(AT_FDCWD)                        = 3\n"
    );
}

#[test]
fn an_output_that_fails_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut story = Story::default();
    story.call(7, "getpid", &[], 7);
    let mut text = Text::new(Full, TextOptions::default());
    text.event(&story.events[0]).unwrap();
    assert_eq!(text.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}
