//! From what eBPF has observed to a run.

use tipstaff_abi::{Arch, capability};
use tipstaff_observe::{self as observe, Address, Observed, Refusal};
use tipstaff_recording::{
    Access, Call, Capability, Executable, FileUse, Phase, Reason, Results, Row, Run, Socket, SocketUse,
};
use tipstaff_report::Bytes;

use crate::{Options, process};

pub(super) fn phase(phase: observe::Phase) -> Phase {
    match phase {
        observe::Phase::Setup => Phase::Setup,
        observe::Phase::Runtime => Phase::Runtime,
        observe::Phase::Workload => Phase::Workload,
    }
}

/// A call is needed, though nobody counted it.
pub(super) fn needed(run: &mut Run, options: Options, arch: Arch, number: u32, phase: Phase, executable: &Bytes) {
    let call = run.calls.entry((arch, number), || options.call(arch, number));
    call.made(phase, executable, 0, 0);
    // With which arguments was not looked at.
    if let Some(arguments) = &mut call.arguments {
        arguments.demote();
    }
}

/// Adds what was observed. Of a command that was `launched` only the program counts, and the execve that began it.
pub(super) fn add(run: &mut Run, observed: &Observed, options: Options, launched: bool) {
    run.duration_ns = run.duration_ns.max(observed.elapsed_ns);
    let path = |id: observe::ExeId| -> Bytes {
        let known = observed.executables.get(id.0 as usize).and_then(|exe| exe.path.as_deref());
        known.map(process::bytes).unwrap_or_default()
    };
    // The launch ends where the program's first call begins.
    let program = observed.calls.iter().filter(|call| call.key.phase == observe::Phase::Workload);
    let program = program.min_by_key(|call| call.first_ns).map(|call| path(call.key.executable)).unwrap_or_default();
    let whose = |key: &observe::Key| -> Option<(Phase, Bytes)> {
        if !launched || key.phase == observe::Phase::Workload {
            return Some((phase(key.phase), path(key.executable)));
        }
        let execs = matches!(key.number.name(key.arch), Some("execve" | "execveat"));
        execs.then(|| (Phase::Workload, program.clone()))
    };
    for seen in &observed.calls {
        let Some((phase, executable)) = whose(&seen.key) else { continue };
        let (arch, number) = (seen.key.arch, seen.key.number.0);
        if !executable.as_bytes().is_empty() {
            let first_ns = seen.first_ns;
            let row = || Executable { path: executable.clone(), execs: None, first_ns };
            let row = run.executables.entry(executable.clone(), row);
            row.first_ns = row.first_ns.min(first_ns);
        }
        let call = run.calls.entry((arch, number), || options.call(arch, number));
        call.made(phase, &executable, seen.count, seen.first_ns);
        if let Some(arguments) = &mut call.arguments {
            match &seen.arguments {
                Some(observe::Arguments::Tuples(tuples)) => {
                    tuples.iter().for_each(|tuple| arguments.add(tuple.values.clone()));
                }
                Some(observe::Arguments::Any) | None => arguments.demote(),
            }
        }
        if let Some(results) = seen.results.as_ref().filter(|_| options.results) {
            add_results(call, results);
        }
    }
    for refused in &observed.refused {
        if whose(&refused.key).is_none() || matches!(refused.how, Refusal::Answered(_)) {
            continue;
        }
        let (arch, number) = (refused.key.arch, refused.key.number.0);
        let call = run.calls.entry((arch, number), || options.call(arch, number));
        call.refused = Some(call.refused.unwrap_or(0).saturating_add(refused.count));
    }
    if options.files {
        files(run, observed, |key| whose(key).is_some());
        capabilities(run, observed, launched);
    }
    completeness(run, &observed.completeness);
}

/// What can be said once everything has been added.
pub(super) fn finish(run: &mut Run, options: Options) {
    for call in run.calls.iter_mut() {
        if options.results {
            call.results.get_or_insert_default();
        }
    }
    let demoted = |call: &&Call| call.arguments.as_ref().is_some_and(|arguments| arguments.demoted);
    let demoted = run.calls.iter().filter(demoted).count() as u64;
    if options.arguments {
        run.completeness.lacks(Reason::ArgumentsDemoted, demoted);
    }
    if options.files {
        run.files.get_or_insert_default();
        run.sockets.get_or_insert_default();
    }
}

fn add_results(call: &mut Call, seen: &observe::Results) {
    let results: &mut Results = call.results.get_or_insert_default();
    results.ok = results.ok.saturating_add(seen.succeeded);
    for &(errno, count) in &seen.failed {
        results.errnos.entry(errno, || tipstaff_recording::ErrnoCount { errno, count: 0 }).count += count;
    }
}

fn files(run: &mut Run, observed: &Observed, counts: impl Fn(&observe::Key) -> bool) {
    let first = |run: &Run, key: &observe::Key| {
        run.calls.get(&(key.arch, key.number.0)).and_then(Call::first).map_or(0, |seen| seen.first_ns)
    };
    let mut unread = 0;
    for file in observed.files.iter().filter(|file| counts(&file.key)) {
        if file.cut {
            unread += file.count;
            continue;
        }
        let first_ns = first(run, &file.key);
        let files = run.files.get_or_insert_default();
        for access in access(file.usage) {
            let path = match process::bytes(&file.path) {
                path if file.relative => path,
                path => process::tidy(path.as_bytes()).into(),
            };
            let row = FileUse { path, access, count: 0, failed: Some(0), first_ns };
            let row = files.entry(row.key(), || row);
            row.count += file.count;
            row.failed = row.failed.map(|failed| failed + if file.errno == 0 { 0 } else { file.count });
            row.first_ns = row.first_ns.min(first_ns);
        }
    }
    for socket in observed.sockets.iter().filter(|socket| counts(&socket.key)) {
        let Some(mut used) = address(socket) else { continue };
        used.first_ns = first(run, &socket.key);
        let count = socket.count;
        run.sockets.get_or_insert_default().entry(used.key(), || used).count += count;
    }
    run.completeness.lacks(Reason::PathsUnread, unread);
}

fn access(usage: observe::FileUse) -> Vec<Access> {
    let observe::FileUse { read, write, create, execute, directory, look, change } = usage;
    let mut access = Vec::new();
    for (is, what) in [
        (read && !directory, Access::Read),
        (directory && !look, Access::List),
        (write || change, Access::Write),
        (create, Access::Create),
        (execute, Access::Exec),
        (look, Access::Stat),
    ] {
        if is {
            access.push(what);
        }
    }
    access
}

fn address(socket: &observe::Socket) -> Option<SocketUse> {
    let operation = match socket.key.number.name(socket.key.arch)? {
        "bind" => Socket::Bind,
        _ => Socket::Connect,
    };
    let mut used = SocketUse {
        operation,
        family: String::new(),
        kind: kind(socket.kind),
        address: None,
        port: None,
        path: None,
        count: 0,
        first_ns: 0,
    };
    match &socket.address {
        Address::Inet(address) => {
            used.family = if address.is_ipv4() { "AF_INET" } else { "AF_INET6" }.into();
            used.address = Some(address.ip().to_string());
            used.port = Some(address.port());
        }
        Address::Unix(path) => {
            used.family = "AF_UNIX".into();
            used.path = Some(process::bytes(path));
        }
        Address::Abstract(name) => {
            used.family = "AF_UNIX".into();
            used.path = Some([b"@", name.as_slice()].concat().into());
        }
        // AF_UNSPEC takes a connection away.
        Address::Other(0, _) => return None,
        Address::Other(family, _) => used.family = family_name(*family),
    }
    Some(used)
}

fn family_name(family: u16) -> String {
    match family {
        16 => "AF_NETLINK".into(),
        17 => "AF_PACKET".into(),
        38 => "AF_ALG".into(),
        40 => "AF_VSOCK".into(),
        other => other.to_string(),
    }
}

fn kind(kind: i32) -> Option<String> {
    let name = match kind {
        1 => "SOCK_STREAM",
        2 => "SOCK_DGRAM",
        3 => "SOCK_RAW",
        5 => "SOCK_SEQPACKET",
        _ => return None,
    };
    Some(name.to_owned())
}

fn capabilities(run: &mut Run, observed: &Observed, launched: bool) {
    let table = run.capabilities.get_or_insert_default();
    for used in observed.capabilities.iter().filter(|used| !launched || used.phase == observe::Phase::Workload) {
        let name = capability::name(used.number).map_or_else(|| used.number.to_string(), str::to_owned);
        let row = table.entry(name.clone(), || Capability { name, granted: 0, refused: 0, first_ns: 0 });
        let count = if used.granted { &mut row.granted } else { &mut row.refused };
        *count = count.saturating_add(used.count);
    }
}

fn completeness(run: &mut Run, seen: &observe::Completeness) {
    let observe::Completeness {
        calls_dropped,
        // Their calls are demoted, and counted so.
        arguments_dropped: _,
        results_dropped,
        files_dropped,
        files_unread,
        sockets_dropped,
        capabilities_dropped,
        tasks_missed,
        // Nothing is lost but who it was.
        executables_merged: _,
        tasks_taken,
        filtered,
        // Returns without an entry: what was in flight is looked up when the recording begins.
        set_aside: _,
    } = *seen;
    let lacks = &mut run.completeness;
    lacks.lacks(Reason::Dropped, calls_dropped);
    lacks.lacks(Reason::DetailsDropped, results_dropped + files_dropped + sockets_dropped + capabilities_dropped);
    lacks.lacks(Reason::PathsUnread, files_unread);
    lacks.lacks(Reason::ThreadsMissed, tasks_missed + tasks_taken);
    lacks.lacks(Reason::AlreadyFiltered, u64::from(filtered));
}
