//! From an engine's dialect to the runtime specification's, for one machine: what the engine itself does before it calls a runtime.

use crate::import;
use crate::{Document, Env, Error, Form, Syscall};

impl Document {
    /// The document as the runtime specification has it: entries that count on this machine, errnos as numbers, architectures in one list.
    /// It keeps what only other releases of a runtime know: names of calls, architectures without a table here.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and what to write instead.
    pub fn resolved(&self, env: &Env<'_>) -> Result<Self, Error> {
        // Everything in it is looked at, also what does not count here.
        import::evaluate(self, env)?;
        if self.is_off(env) {
            return Ok(Self { default_action: "SCMP_ACT_ALLOW".into(), ..Self::default() });
        }
        let form = env.form.unwrap_or_else(|| self.form());
        let (default_errno_ret, default) = import::default_action(self)?;
        let mut syscalls = Vec::new();
        for (at, entry) in self.syscalls.iter().flatten().enumerate() {
            let path = format!("syscalls[{at}]");
            let (errno_ret, action) = import::entry_action(entry, &path)?;
            if !import::counts(entry, &path, env, form)? || action == default {
                continue;
            }
            let names = entry.names.iter().flatten().chain(entry.name.iter().filter(|name| !name.is_empty()));
            let plain = Syscall {
                names: Some(names.cloned().collect()),
                action: entry.action.clone(),
                errno_ret,
                ..Syscall::default()
            };
            let args = entry.args.as_deref().unwrap_or_default();
            if import::repeats(entry) {
                // What runc makes of it, in so many words.
                syscalls.extend(args.iter().map(|arg| Syscall { args: Some(vec![arg.clone()]), ..plain.clone() }));
            } else {
                syscalls.push(Syscall { args: (!args.is_empty()).then(|| args.to_vec()), ..plain });
            }
        }
        Ok(Self {
            default_action: self.default_action.clone(),
            default_errno_ret,
            architectures: self.native_architectures(env),
            flags: self.flags.clone().filter(|flags| !flags.is_empty()),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            syscalls: (!syscalls.is_empty()).then_some(syscalls),
            ..Self::default()
        })
    }

    /// Whether it stands for no filter at all: the engines read an empty profile so.
    pub(crate) fn is_off(&self, env: &Env<'_>) -> bool {
        let engine = matches!(env.form, Some(Form::Docker | Form::Containers));
        engine && self.default_action.is_empty() && self.syscalls.as_ref().is_none_or(Vec::is_empty)
    }

    fn native_architectures(&self, env: &Env<'_>) -> Option<Vec<String>> {
        let own = self.arch_map.iter().flatten().find(|entry| import::is_native(&entry.architecture, env));
        let mapped = own.map(|entry| {
            let subs = entry.sub_architectures.iter().flatten();
            std::iter::once(&entry.architecture).chain(subs).cloned().collect::<Vec<_>>()
        });
        mapped.or_else(|| self.architectures.clone()).filter(|list| !list.is_empty())
    }
}
