//! From rules to a proven seccomp filter: compiler, interpreter and disassembler.
//!
//! # Words
//! - A **filter** has one **table** for each architecture and an action for calls of every other one.
//! - A table maps system calls to or-bound **rules**: the first rule that matches decides.
//! - A rule is and-bound **conditions** and an **action**; without conditions it always matches.
//! - A **program** is what the kernel runs: classic BPF instructions.
//!
//! # Reading order
//! [`Action`], [`Condition`], [`Rule`], [`Table`], [`Filter`] say what is meant, and [`Filter::decide`] is that
//! meaning, written as plainly as possible. [`Filter::compile`] goes through three stages: `optimize` simplifies the
//! rules of one call, `lower` turns everything into one graph of word comparisons, and `emit` lays the graph out as
//! instructions. [`run`] executes a program as the kernel would, and [`prove`] compares it with `decide` at every
//! point where the two could differ.
//!
//! ```
//! use std::collections::BTreeMap;
//! use tipstaff_abi::{Arch, Sysno};
//! use tipstaff_seccomp::{Action, Condition, Filter, Op, Rule, Table, Width, prove};
//!
//! let ioctl = Sysno::by_name(Arch::X86_64, "ioctl").unwrap();
//! let tiocsti = Condition { arg: 1, width: Width::W32, op: Op::Eq, value: 0x5412 };
//! let rule = Rule { conditions: vec![tiocsti], action: Action::Errno(1) };
//! let filter = Filter {
//!     tables: vec![Table {
//!         arch: Arch::X86_64,
//!         rules: BTreeMap::from([(ioctl.0, vec![rule])]),
//!         default: Action::Allow,
//!         unknown: Action::Errno(38),
//!     }],
//!     foreign: Action::KillProcess,
//! };
//! let program = filter.compile().unwrap();
//! prove(&filter, &program).unwrap();
//! ```
#![forbid(unsafe_code)]

mod action;
mod cache;
mod check;
mod condition;
mod disassemble;
mod emit;
mod error;
mod filter;
mod graph;
mod lower;
mod optimize;
mod program;
mod prove;
mod rule;
mod run;

pub use action::Action;
pub use cache::always_allows;
pub use check::{Fault, check};
pub use condition::{Condition, Op, Width};
pub use disassemble::disassemble;
pub use error::Error;
pub use filter::{Filter, Table};
pub use program::Program;
pub use prove::{Counterexample, prove};
pub use rule::Rule;
pub use run::run;
