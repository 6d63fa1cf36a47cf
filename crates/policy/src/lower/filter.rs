//! The seccomp filter: base, the profile's rules over it, and what the missing of a namespace adds.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use tipstaff_abi::bpf::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, Insn, MAX_INSNS, SeccompData};
use tipstaff_abi::caps::KernelCaps;
use tipstaff_abi::{Arch, SyscallSet, Sysno, errno, family};
use tipstaff_seccomp::{Action, Condition, Filter, Op, Rule, Width};

use super::host::Host;
use super::missing::Missing;
use super::namespaces::NamespacePlan;
use super::network::{self, Net, NetworkPlan};
use super::plan::Cost;
use super::sink::{Refusal, Sink};
use super::stops::{Stops, passes};
use crate::base::{self, Stock};
use crate::profile::{self, ArgCondition, Base, CompareOp, Denials, Profile, RuleAction, SyscallRule};

/// How many words [`FilterPlan::compile`] wants.
pub const SECRET_WORDS: usize = 3;

/// The filter of a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterPlan {
    /// The architecture that the program runs on.
    arch: Arch,
    source: Source,
    /// What [`Source::Stock`] stands for, once somebody asks.
    expanded: OnceLock<&'static Table>,
    /// There is a listener.
    pub listener: bool,
    /// Refused calls become notifications, so that they can be told.
    tells: bool,
    /// There is an engine, and these are the calls it is asked about.
    stops: Option<Stops>,
    /// Whoever makes a call at [`held_at`] waits in our listener: our tracer serves listeners of guests' own.
    pub serves: bool,
    /// Of those calls the ones that break no rule, whatever their arguments are, once somebody asks.
    unconditional: OnceLock<SyscallSet>,
    /// What stands behind the default action.
    base: String,
}

/// What each call is answered: the profile's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    spec: Filter,
    /// Names of the rules of `spec`, in the same order.
    names: BTreeMap<(Arch, u32), Vec<RuleName>>,
}

/// Where the rules are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// Here.
    Own(Box<Table>),
    /// The default base as most boxes have it. Its program is compiled already (`base::stock`), and its rules are
    /// wanted only when a call has been refused.
    Stock(Stock),
}

/// A refused call, with the rule that refused it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeniedCall {
    /// Name of the call, or its number in words.
    pub syscall: String,
    /// Architecture.
    pub arch: String,
    /// The rule.
    pub rule: String,
    /// The box is killed for it; else the call is answered with `errno`.
    pub kill: bool,
    /// Number of the errno.
    pub errno: i32,
    /// How to allow it; None where nothing does.
    pub allow_with: Option<String>,
}

impl FilterPlan {
    fn new(
        arch: Arch,
        source: Source,
        (listener, tells): (bool, bool),
        (stops, serves): (Option<Stops>, bool),
        base: String,
    ) -> Self {
        let (expanded, unconditional) = (OnceLock::new(), OnceLock::new());
        Self { arch, source, expanded, listener, tells, stops, serves, unconditional, base }
    }

    /// Compiles. The launcher's own last two calls, sendmsg(2) for the listener and execveat(2), pass where the
    /// profile would refuse them only with the secret words in argument registers that the kernel ignores.
    pub fn compile(&self, secret: [u64; SECRET_WORDS]) -> Result<Vec<Insn>, tipstaff_seccomp::Error> {
        if let (Source::Stock(stock), true, None) = (&self.source, self.tells, &self.stops)
            && let Some(program) = stock.program(self.arch)
        {
            return Ok(program.to_vec());
        }
        let insns = self.installed(secret).compile()?.insns().to_vec();
        if !self.serves {
            return Ok(insns);
        }
        let program = [holding(held_at(secret)).to_vec(), insns].concat();
        if program.len() > MAX_INSNS {
            return Err(tipstaff_seccomp::Error::TooLarge { len: program.len() });
        }
        Ok(program)
    }

    /// The filter as it is installed: refusals told through the listener, the launcher's own calls exempt.
    pub fn installed(&self, secret: [u64; SECRET_WORDS]) -> Filter {
        let mut filter = self.spec().clone();
        if self.tells {
            filter.foreign = told(filter.foreign);
            for table in &mut filter.tables {
                table.default = told(table.default);
                let arch = table.arch;
                let clone3 = Sysno::by_name(arch, "clone3").map(|nr| nr.0);
                for (nr, rules) in &mut table.rules {
                    // clone3 is absent rather than refused: every C library asks once per thread and falls back.
                    if Some(*nr) != clone3 {
                        rules.iter_mut().for_each(|rule| rule.action = told(rule.action));
                    }
                }
            }
        }
        if let Some(table) = filter.table_mut(self.arch) {
            if let Some(stops) = &self.stops {
                stops.insert(table);
            }
            let [first, second, third] = secret;
            let keys = [("sendmsg", &[(3, first), (4, second), (5, third)][..]), ("execveat", &[(5, first)][..])];
            for (name, words) in keys {
                if let Some(nr) = Sysno::by_name(table.arch, name) {
                    table.exempt(nr, words);
                }
            }
        }
        filter
    }

    /// Whether a notified call is one that the engine is asked about: it breaks no rule.
    pub fn is_asked(&self, data: &SeccompData) -> bool {
        let number = data.nr.cast_unsigned();
        let unconditional = self.unconditional.get_or_init(|| self.unconditional());
        if Arch::of(data.arch, number) == Some(self.arch) && unconditional.contains(Sysno(number)) {
            return true;
        }
        self.stops.as_ref().is_some_and(|stops| {
            stops.notify() && stops.asks_about(Sysno(number)) && Arch::of(data.arch, number) == Some(self.arch)
        }) && matches!(self.spec().decide(data), Action::Allow | Action::Log)
    }

    fn unconditional(&self) -> SyscallSet {
        let mut set = SyscallSet::new(self.arch);
        let (Some(stops), Some(table)) = (&self.stops, self.spec().table(self.arch)) else { return set };
        let passes = |action: Action| matches!(action, Action::Allow | Action::Log);
        let free = |nr: &Sysno| {
            let mut rules = table.rules.get(&nr.0).into_iter().flatten();
            passes(table.default) && rules.all(|rule| passes(rule.action))
        };
        let all = Sysno::all(self.arch).map(|(nr, _)| nr);
        let all = all.filter(|nr| stops.notify() && stops.asks_about(*nr)).filter(free);
        for nr in all {
            set.insert(nr);
        }
        set
    }

    /// The rule that a notified call broke.
    pub fn explain(&self, data: &SeccompData) -> DeniedCall {
        let number = data.nr.cast_unsigned();
        let arch = Arch::of(data.arch, number);
        let name = arch.and_then(|arch| Sysno(number).name(arch));
        let syscall = name.map_or_else(|| format!("syscall {number}"), str::to_owned);
        let table = arch.and_then(|arch| self.spec().table(arch));
        let arch_name = arch.map_or_else(|| format!("audit {:#x}", data.arch), |a| a.name().to_owned());
        let Some(table) = table else {
            let rule = "syscalls: foreign architecture".to_owned();
            return DeniedCall { syscall, arch: arch_name, rule, kill: true, errno: 0, allow_with: None };
        };
        let rules = table.rules.get(&number).map_or(&[][..], Vec::as_slice);
        let hit = rules.iter().position(|rule| rule.conditions.iter().all(|c| c.holds(&data.args)));
        let mut allow_with = name.map(|name| format!("[syscalls] allow = [{name:?}]"));
        let (action, rule) = match hit {
            Some(at) => {
                let name = self.table().names.get(&(table.arch, number)).and_then(|names| names.get(at));
                let name = match name {
                    Some(RuleName::Base(family)) => match Missing::words(family) {
                        Some(words) => words.to_owned(),
                        None => format!("syscalls.base = {:?}: {family}", self.base),
                    },
                    Some(RuleName::Own(name)) => name.clone(),
                    Some(RuleName::Scope) => {
                        allow_with = Some("[isolation] ptrace_scope = \"classic\"".to_owned());
                        "ptrace_scope = \"restricted\"".to_owned()
                    }
                    Some(RuleName::Listener) => {
                        // Where somebody is asked, the kernel's own cannot be had.
                        let value = if self.stops.is_some() { "emulate" } else { "native" };
                        allow_with = Some(format!("[isolation] guest_listener = \"{value}\""));
                        "guest_listener = \"deny\"".to_owned()
                    }
                    Some(RuleName::Network(name, cure)) => {
                        allow_with = cure.map(str::to_owned);
                        name.clone()
                    }
                    None => String::new(),
                };
                (rules[at].action, name)
            }
            None => (table.default, format!("syscalls.base = {:?}: not in the allow list", self.base)),
        };
        let (kill, errno) = match action {
            Action::Errno(e) => (false, i32::from(e)),
            Action::KillProcess | Action::KillThread | Action::Trap(_) => (true, 0),
            // Not refused by the specification: it should not have been told, and is not let through either.
            _ => (false, i32::from(errno::EPERM)),
        };
        DeniedCall { syscall, arch: arch_name, rule, kill, errno, allow_with }
    }

    /// Whether a call whose arguments are all 0 is made, and nobody is asked.
    pub fn lets(&self, call: &str) -> bool {
        let Some(number) = Sysno::by_name(self.arch, call) else { return false };
        let data = SeccompData { nr: number.0.cast_signed(), arch: self.arch.audit_arch(), ..SeccompData::default() };
        let handled = self.stops.as_ref().is_some_and(|stops| stops.asks_about(number));
        !handled && matches!(self.spec().decide(&data), Action::Allow | Action::Log)
    }

    /// Whether the profile refuses a call.
    pub fn refuses(&self, data: &SeccompData) -> bool {
        !passes(self.spec().decide(data))
    }

    /// The specification: what each call is answered.
    pub fn spec(&self) -> &Filter {
        &self.table().spec
    }

    fn table(&self) -> &Table {
        match &self.source {
            Source::Own(table) => table,
            Source::Stock(stock) => self.expanded.get_or_init(|| shared_table(self.arch, *stock)),
        }
    }
}

/// The instruction pointer at which a call is held in our listener, whichever it is and whatever its arguments are: so a tracer can make a stopped
/// thread wait there, while the call looks to all filters of guests as it did. Nobody else comes there: no program runs in the upper half.
#[must_use]
pub fn held_at(secret: [u64; SECRET_WORDS]) -> u64 {
    secret[1] | 1 << 63
}

/// In front of a filter: a call from there is a notification.
fn holding(at: u64) -> [Insn; 5] {
    const IP: u32 = SeccompData::IP;
    let load = |offset| Insn::new(BPF_LD | BPF_W | BPF_ABS, offset);
    let (low, high) = (at as u32, (at >> 32) as u32);
    let equal = |half, past| Insn::jump(BPF_JMP | BPF_JEQ, half, 0, past);
    [load(IP), equal(low, 3), load(IP + 4), equal(high, 1), Insn::new(BPF_RET | BPF_K, Action::Notify.to_raw())]
}

/// A refusal as a notification. ENOSYS for an unknown number stays plain: it is absence, and hot in start-up probes.
fn told(action: Action) -> Action {
    match action {
        Action::Errno(_) | Action::KillProcess | Action::KillThread | Action::Trap(_) => Action::Notify,
        other => other,
    }
}

/// Which rule of the profile a rule of the filter stands for. Only a refusal needs it in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RuleName {
    /// A family of the base, or what [`Missing`] adds.
    Base(&'static str),
    /// In the profile's own words.
    Own(String),
    /// That guests have no listener.
    Listener,
    /// That attaching is restricted.
    Scope,
    /// A network rule: in words, and what would allow it.
    Network(String, Option<&'static str>),
}

pub(super) struct Named {
    pub name: RuleName,
    pub syscall: Sysno,
    pub rule: Rule,
}

pub(super) fn lower(
    profile: &Profile,
    caps: &KernelCaps,
    ns: &NamespacePlan,
    (net, network): (Net, Option<&NetworkPlan>),
    host: &dyn Host,
    (stops, serves): (Option<Stops>, bool),
    sink: &mut Sink,
) -> Result<Option<FilterPlan>, Refusal> {
    if !caps.seccomp {
        sink.refuse("syscalls", "the kernel offers no seccomp filters", "use a kernel with CONFIG_SECCOMP_FILTER");
        return Ok(None);
    }
    let arch = caps.arch;
    let syscalls = &profile.syscalls;
    let which = syscalls.base.as_ref().unwrap_or(&Base::Default);
    let ptrace = super::engine::guests_trace(profile);
    // Where whom a call reaches is asked, that goes for unix sockets too.
    let asked = network.is_some_and(|plan| plan.mediate_connect);
    let missing = Missing::of(profile, caps, ns, (net, asked), sink);
    let report = profile.isolation.denials.unwrap_or(Denials::Report) == Denials::Report;
    let leaves = super::engine::leaves_listener(profile);
    let guest_listener = leaves || serves;
    let tells = report && caps.listener && !leaves;
    let listener = tells || serves || stops.as_ref().is_some_and(Stops::notify);
    let restricts = super::engine::restricts(profile);
    if *which == Base::Default && syscalls.rules.is_empty() && network.is_none() && !restricts {
        let source = Source::Stock(Stock { ptrace, guest_listener, missing });
        let plan = FilterPlan::new(arch, source, (listener, tells), (stops, serves), "default".to_owned());
        say(&plan, report, leaves, sink);
        return Ok(Some(plan));
    }
    let (mut spec, base_name, mut base_rules) =
        based(which, ptrace, caps, &|path| host.text(path)).map_err(|message| sink.wrong(message))?;
    let mut rules = listener_rule(arch, guest_listener);
    if let Some(syscall) = Sysno::by_name(arch, "pidfd_getfd").filter(|_| restricts) {
        // It names a process by a descriptor, which another thread can exchange after a decision: nobody is asked.
        let rule = Rule { conditions: Vec::new(), action: Action::Errno(errno::EPERM) };
        rules.push(Named { name: RuleName::Scope, syscall, rule });
    }
    rules.extend(network.map(|plan| network::refusals(plan, arch)).unwrap_or_default());
    rules.extend(over(&syscalls.rules, arch).map_err(|message| sink.wrong(message))?);
    rules.extend(missing.rules(arch));
    if let Base::Oci(_) = which
        && !ptrace
    {
        rules.extend(family_rules(arch, "ptrace", "guest_ptrace = \"deny\"", errno::EPERM));
    }
    rules.append(&mut base_rules);
    let mut names: BTreeMap<(Arch, u32), Vec<RuleName>> = BTreeMap::new();
    let Some(table) = spec.table_mut(arch) else {
        let message = format!("syscalls.base: it has no rules for {}; add the architecture to it", arch.name());
        return Err(sink.wrong(message));
    };
    table.rules.clear();
    for Named { name, syscall, rule } in rules {
        names.entry((arch, syscall.0)).or_default().push(name);
        table.push(syscall, rule);
    }
    let source = Source::Own(Box::new(Table { spec, names }));
    let plan = FilterPlan::new(arch, source, (listener, tells), (stops, serves), base_name);
    say(&plan, report, leaves, sink);
    Ok(Some(plan))
}

/// That no guest has a listener: first of all rules, since one of a guest's outranks every RET_TRACE, and a tie of two USER_NOTIF is won by the newest
/// filter. Where ours is in the chain the kernel says the same; this way it is told.
fn listener_rule(arch: Arch, may: bool) -> Vec<Named> {
    const SECCOMP_SET_MODE_FILTER: u32 = 1;
    const SECCOMP_FILTER_FLAG_NEW_LISTENER: u64 = 8;
    let Some(syscall) = Sysno::by_name(arch, "seccomp").filter(|_| !may) else { return Vec::new() };
    let op = Op::MaskedEq(SECCOMP_FILTER_FLAG_NEW_LISTENER);
    let flag = Condition { arg: 1, width: Width::W32, op, value: SECCOMP_FILTER_FLAG_NEW_LISTENER };
    let conditions = vec![Condition::w32(0, Op::Eq, SECCOMP_SET_MODE_FILTER), flag];
    vec![Named { name: RuleName::Listener, syscall, rule: Rule { conditions, action: Action::Errno(errno::EBUSY) } }]
}

fn say(plan: &FilterPlan, report: bool, guest_listener: bool, sink: &mut Sink) {
    let rule = format!("syscalls.base = {:?}", plan.base);
    sink.full(&rule, "seccomp", Cost::Kernel);
    if plan.tells {
        sink.full("denials = \"report\"", "seccomp listener", Cost::Denied);
    } else if report && guest_listener {
        let why = "the listener is the guest's to have: calls are refused, but nobody is told";
        sink.note("denials = \"report\"", "none", why, Cost::Free);
    } else if report {
        let why = "no listener can be had (a nested box, or an old kernel): calls are refused, but nobody is told";
        sink.note("denials = \"report\"", "none", why, Cost::Free);
    }
}

/// The same, one for all boxes: it is 40 KiB, there are some dozens of variants, and a program uses one or two.
fn shared_table(arch: Arch, stock: Stock) -> &'static Table {
    static KNOWN: Mutex<Vec<(Arch, Stock, &'static Table)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((.., table)) = known.iter().find(|(a, s, _)| (*a, *s) == (arch, stock)) {
        return table;
    }
    let table: &'static Table = Box::leak(Box::new(stock_table(arch, stock)));
    known.push((arch, stock, table));
    table
}

/// The rules that a stock filter stands for.
fn stock_table(arch: Arch, stock: Stock) -> Table {
    let mut spec = base::filter(base::table(arch, &[], Action::Allow));
    let mut names: BTreeMap<(Arch, u32), Vec<RuleName>> = BTreeMap::new();
    let rules = listener_rule(arch, stock.guest_listener).into_iter();
    let rules = rules.chain(stock.missing.rules(arch)).chain(named(base::default_rules(arch, stock.ptrace)));
    if let Some(table) = spec.table_mut(arch) {
        for Named { name, syscall, rule } in rules {
            names.entry((arch, syscall.0)).or_default().push(name);
            table.push(syscall, rule);
        }
    }
    Table { spec, names }
}

/// The filter of a stock variant as it is installed, for the test that keeps the compiled ones current.
#[cfg(test)]
pub(crate) fn stock_filter(arch: Arch, stock: Stock) -> Filter {
    let base = "default".to_owned();
    FilterPlan::new(arch, Source::Stock(stock), (true, true), (None, false), base).installed([0; SECRET_WORDS])
}

fn named(rules: Vec<base::BaseRule>) -> Vec<Named> {
    let one = |r: base::BaseRule| Named {
        name: RuleName::Base(r.family),
        syscall: r.syscall,
        rule: Rule { conditions: r.conditions, action: r.action },
    };
    rules.into_iter().map(one).collect()
}

/// The rules that a base stands for, and its name.
type Based = (Filter, String, Vec<Named>);

fn based(which: &Base, ptrace: bool, caps: &KernelCaps, text: &Text<'_>) -> Result<Based, String> {
    let arch = caps.arch;
    let of =
        |default, name: &str, rules| (base::filter(base::table(arch, &[], default)), name.to_owned(), named(rules));
    Ok(match which {
        Base::Default => of(Action::Allow, "default", base::default_rules(arch, ptrace)),
        Base::Strict => of(Action::Errno(errno::EPERM), "strict", base::strict_rules(arch)),
        Base::Nothing => of(Action::Errno(errno::ENOSYS), "nothing", base::always_rules(arch)),
        Base::Oci(path) => {
            let (filter, rules) = oci(path, caps, text)?;
            (filter, path.display().to_string(), rules)
        }
    })
}

/// How the text of a file is had.
type Text<'a> = dyn Fn(&std::path::Path) -> Result<String, String> + 'a;

/// What a profile's `[syscalls]` mean by themselves, as a filter: base and rules, without what a missing namespace or a network list adds.
///
/// # Errors
/// If a file that the profile names cannot be read or evaluated, or if the rules name what is not there.
pub fn meaning(profile: &Profile, caps: &KernelCaps, text: &Text<'_>) -> Result<Filter, String> {
    let which = profile.syscalls.base.as_ref().unwrap_or(&Base::Default);
    let ptrace = super::engine::guests_trace(profile);
    let (mut filter, _, base_rules) = based(which, ptrace, caps, text)?;
    let mut rules = over(&profile.syscalls.rules, caps.arch)?;
    rules.extend(base_rules);
    let table =
        filter.table_mut(caps.arch).ok_or_else(|| format!("syscalls.base: no rules for {}", caps.arch.name()))?;
    table.rules.clear();
    for Named { syscall, rule, .. } in rules {
        table.push(syscall, rule);
    }
    Ok(filter)
}

fn oci(path: &std::path::Path, caps: &KernelCaps, text: &Text<'_>) -> Result<(Filter, Vec<Named>), String> {
    let text = text(path).map_err(|e| format!("syscalls.base: {path:?}: {e}; name a readable file"))?;
    let env = tipstaff_oci_seccomp::Env { arch: caps.arch, kernel: caps.release, caps: &[], form: None };
    let imported = tipstaff_oci_seccomp::import(&text, &env).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut filter = imported.filter;
    let mut rules = Vec::new();
    if let Some(table) = filter.table_mut(caps.arch) {
        for (nr, list) in std::mem::take(&mut table.rules) {
            let name = format!("syscalls.base = {:?}", path.display());
            rules.extend(list.into_iter().map(|rule| Named {
                name: RuleName::Own(name.clone()),
                syscall: Sysno(nr),
                rule,
            }));
        }
    }
    Ok((filter, rules))
}

/// The profile's own rules, first match first: rules with conditions before those without, later before earlier.
fn over(rules: &[SyscallRule], arch: Arch) -> Result<Vec<Named>, String> {
    let mut with = Vec::new();
    let mut without = Vec::new();
    for rule in rules.iter().rev() {
        let action = match rule.action {
            RuleAction::Allow => Action::Allow,
            RuleAction::Errno(e) => Action::Errno(u16::try_from(e).unwrap_or(errno::EPERM)),
            RuleAction::Kill => Action::KillProcess,
            RuleAction::Log => Action::Log,
        };
        let key = match rule.action {
            RuleAction::Allow => "allow",
            RuleAction::Errno(e) if e == i32::from(errno::EPERM) => "deny",
            RuleAction::Errno(_) => "errno",
            RuleAction::Kill => "kill",
            RuleAction::Log => "log",
        };
        for name in &rule.names {
            let calls: Vec<&str> = match name.strip_prefix('%') {
                Some(of) => {
                    let known = family::by_name(of).ok_or_else(|| unknown_family(of))?;
                    known.calls.to_vec()
                }
                None => vec![name.as_str()],
            };
            for call in calls {
                let Some(syscall) = Sysno::by_name(arch, call) else {
                    if name.starts_with('%') || known_anywhere(call) {
                        continue;
                    }
                    return Err(unknown_call(call, arch));
                };
                let conditions = rule.conditions.iter().map(|c| condition(c, call, rule.action)).collect();
                let named = Named {
                    name: RuleName::Own(format!("syscalls.{key}: {name}")),
                    syscall,
                    rule: Rule { conditions, action },
                };
                if rule.conditions.is_empty() { without.push(named) } else { with.push(named) }
            }
        }
    }
    with.append(&mut without);
    Ok(with)
}

fn known_anywhere(call: &str) -> bool {
    [Arch::X86_64, Arch::I386, Arch::Aarch64, Arch::Arm].iter().any(|arch| Sysno::by_name(*arch, call).is_some())
}

fn unknown_call(call: &str, arch: Arch) -> String {
    let known: Vec<&str> = (0..600).filter_map(|nr| Sysno(nr).name(arch)).collect();
    let near = crate::value::nearest(call, known.iter().copied());
    let near = near.map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
    format!("syscalls: no system call is called {call:?}{near}")
}

fn unknown_family(name: &str) -> String {
    let near = crate::value::nearest(name, family::FAMILIES.iter().map(|f| f.name));
    let near = near.map_or_else(String::new, |n| format!("; did you mean \"%{n}\"?"));
    format!("syscalls: no family is called \"%{name}\"{near}")
}

/// Arguments that the kernel takes whole: (call, index). Everything not here and not given a width is compared in
/// the half that closes: the low one for a refusal (bit 32 must not lead past it), all of it for a permission.
const WHOLE: [(&str, u8); 14] = [
    ("mmap", 0),
    ("mmap", 1),
    ("mmap", 5),
    ("mprotect", 0),
    ("mprotect", 1),
    ("munmap", 0),
    ("munmap", 1),
    ("brk", 0),
    ("mremap", 0),
    ("mremap", 1),
    ("mremap", 2),
    ("clone", 0),
    ("read", 2),
    ("write", 2),
];

fn condition(c: &ArgCondition, call: &str, action: RuleAction) -> Condition {
    let refuses = !matches!(action, RuleAction::Allow | RuleAction::Log);
    let width = match c.width {
        Some(profile::Width::W32) => Width::W32,
        Some(profile::Width::W64) => Width::W64,
        None if WHOLE.contains(&(call, c.index)) || c.value > u64::from(u32::MAX) => Width::W64,
        None if refuses => Width::W32,
        None => Width::W64,
    };
    let mask = if width == Width::W32 { c.mask & u64::from(u32::MAX) } else { c.mask };
    let op = match c.op {
        CompareOp::Eq => Op::Eq,
        CompareOp::Ne => Op::Ne,
        CompareOp::Lt => Op::Lt,
        CompareOp::Le => Op::Le,
        CompareOp::Gt => Op::Gt,
        CompareOp::Ge => Op::Ge,
        CompareOp::MaskedEq => Op::MaskedEq(mask),
    };
    Condition { arg: c.index, width, op, value: c.value }
}

fn family_rules(arch: Arch, name: &str, why: &str, errno: u16) -> Vec<Named> {
    let calls = family::by_name(name).map_or(&[][..], |f| f.calls);
    let one = |call: &&str| {
        let rule = Rule { conditions: Vec::new(), action: Action::Errno(errno) };
        Some(Named { name: RuleName::Own(why.to_owned()), syscall: Sysno::by_name(arch, call)?, rule })
    };
    calls.iter().filter_map(one).collect()
}
