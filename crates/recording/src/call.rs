//! A system call, as often as it was made.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tipstaff_abi::enumerable::Pick;
use tipstaff_abi::{Arch, Sysno};
use tipstaff_report::Bytes;

use crate::table::Row;
use crate::{MOST_TUPLES, Phase, Select, Table, selected, words};

/// One call of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Whose table the number belongs to.
    #[serde(with = "words::arch")]
    pub arch: Arch,
    /// The number, of x32 with its bit.
    pub number: u32,
    /// The name, or `#NUMBER`.
    pub name: String,
    /// By whom and when.
    pub seen: Table<Seen>,
    /// What came of it; null: not recorded.
    #[serde(deserialize_with = "words::present")]
    pub results: Option<Results>,
    /// The argument words that are told apart; null: none are.
    #[serde(deserialize_with = "words::present")]
    pub arguments: Option<Arguments>,
    /// How often a filter refused it; null: not recorded.
    #[serde(deserialize_with = "words::present")]
    pub refused: Option<u64>,
}

/// A call by one executable in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// When.
    pub phase: Phase,
    /// By what program, by its path as the kernel has it; empty where nobody could say.
    pub executable: Bytes,
    /// How often; 0: known to be needed, though it was not counted.
    pub count: u64,
    /// When first, in nanoseconds since the run began.
    pub first_ns: u64,
}

/// How calls returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Without an error.
    pub ok: u64,
    /// With one.
    pub errnos: Table<ErrnoCount>,
}

/// An error, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrnoCount {
    /// Its number.
    pub errno: i32,
    /// How often.
    pub count: u64,
}

/// Values of the selected argument words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// Which words, under which masks.
    pub selected: Vec<Select>,
    /// Too many different values: any are to be expected. `values` is empty then.
    pub demoted: bool,
    /// Each combination that was seen: one number for each of `selected`.
    pub values: BTreeSet<Vec<u64>>,
}

/// What a call is called; `#NUMBER` where the table has no name.
#[must_use]
pub fn call_name(arch: Arch, number: u32) -> String {
    Sysno(number).name(arch).map_or_else(|| format!("#{number}"), str::to_owned)
}

impl Call {
    /// A call that has not been seen yet.
    #[must_use]
    pub fn new(arch: Arch, number: u32) -> Self {
        Self::selecting(arch, number, selected(arch, number))
    }

    /// The same, with other argument words than the usual ones.
    #[must_use]
    pub fn selecting(arch: Arch, number: u32, selected: &[Pick]) -> Self {
        let arguments = (!selected.is_empty()).then(|| Arguments {
            selected: selected.iter().map(|&pick| pick.into()).collect(),
            demoted: false,
            values: BTreeSet::new(),
        });
        Self {
            arch,
            number,
            name: call_name(arch, number),
            seen: Table::default(),
            results: None,
            arguments,
            refused: None,
        }
    }

    /// It was made `count` times more.
    pub fn made(&mut self, phase: Phase, executable: &Bytes, count: u64, at_ns: u64) {
        let key = (phase, executable.clone());
        let row = self.seen.entry(key, || Seen { phase, executable: executable.clone(), count: 0, first_ns: at_ns });
        row.count = row.count.saturating_add(count);
        row.first_ns = row.first_ns.min(at_ns);
    }

    /// It returned `value`: -4095 to -1 is an errno.
    pub fn returned(&mut self, value: i64, count: u64) {
        let results = self.results.get_or_insert_default();
        if (-4095..0).contains(&value) {
            let errno = -value as i32;
            let row = results.errnos.entry(errno, || ErrnoCount { errno, count: 0 });
            row.count = row.count.saturating_add(count);
        } else {
            results.ok = results.ok.saturating_add(count);
        }
    }

    /// How often it was made in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.seen.iter().fold(0, |sum, row| sum.saturating_add(row.count))
    }

    /// When it was seen first.
    #[must_use]
    pub fn first(&self) -> Option<&Seen> {
        self.seen.iter().min_by_key(|row| row.first_ns)
    }
}

impl Arguments {
    /// Adds a combination; past [`MOST_TUPLES`] any are to be expected.
    pub fn add(&mut self, values: Vec<u64>) {
        if self.demoted {
            return;
        }
        self.values.insert(values);
        if self.values.len() > MOST_TUPLES {
            self.demote();
        }
    }

    /// Any values are to be expected.
    pub fn demote(&mut self) {
        self.demoted = true;
        self.values.clear();
    }

    pub(crate) fn is_consistent(&self) -> bool {
        let shape = self.selected.len();
        shape > 0
            && self.selected.iter().all(|select| usize::from(select.index) < 6)
            && self.values.iter().all(|values| values.len() == shape)
            && (!self.demoted || self.values.is_empty())
    }
}

impl Row for Call {
    type Key = (Arch, u32);

    fn key(&self) -> Self::Key {
        (self.arch, self.number)
    }
}

impl Row for Seen {
    type Key = (Phase, Bytes);

    fn key(&self) -> Self::Key {
        (self.phase, self.executable.clone())
    }
}

impl Row for ErrnoCount {
    type Key = i32;

    fn key(&self) -> i32 {
        self.errno
    }
}
