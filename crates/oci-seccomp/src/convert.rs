//! From one dialect to another, as far as the document itself can stay.

use tipstaff_abi::errno;

use crate::{Document, Env, Error, Form, import};

impl Document {
    /// The document in another form. The runtime specification's is for one machine, so it is evaluated; between the engines' forms the entries stay
    /// as they are, errnos are written as the form writes them, and `minKernel`, which containers-common passes over, is decided here.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and what to write instead.
    pub fn in_form(&self, form: Form, env: &Env<'_>) -> Result<Self, Error> {
        let own = env.form.unwrap_or_else(|| self.form());
        if form == Form::Strict {
            return self.resolved(env);
        }
        import::evaluate(self, env)?;
        if form == own {
            return Ok(self.clone());
        }
        let mut document = self.clone();
        let by_name = |number: Option<u32>| {
            let number = i32::try_from(number?).ok()?;
            errno::name(number).filter(|_| form == Form::Containers).map(str::to_owned)
        };
        if !self.is_off(env) {
            document.default_errno_ret = import::default_action(self)?.0;
            document.default_errno = by_name(document.default_errno_ret);
        }
        let Some(entries) = &mut document.syscalls else { return Ok(document) };
        let mut kept = Vec::new();
        for (at, mut entry) in std::mem::take(entries).into_iter().enumerate() {
            let path = format!("syscalls[{at}]");
            entry.errno_ret = import::entry_action(&entry, &path)?.0;
            entry.errno = by_name(entry.errno_ret);
            if form == Form::Containers && !import::kernel_counts(&entry, &path, env)? {
                continue;
            }
            for condition in [&mut entry.includes, &mut entry.excludes].into_iter().flatten() {
                if form == Form::Containers {
                    condition.min_kernel = None;
                }
            }
            kept.push(entry);
        }
        *entries = kept;
        Ok(document)
    }
}
