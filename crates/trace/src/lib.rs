//! ptrace(2) with types: a request that the tracee's state forbids does not compile.
#![forbid(unsafe_code)]
