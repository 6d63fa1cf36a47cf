//! What a decoded call is made of.

use tipstaff_abi::Arch;

/// One argument or one part of a structure, with everything that is needed to print it and nothing about how it is printed.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A signed number.
    Int(i64),
    /// A number without sign.
    Uint(u64),
    /// A word best read in hexadecimal.
    Hex(u64),
    /// A file mode or umask, read in octal.
    Octal(u32),
    /// An enumerated constant by its name: `SEEK_SET`, `SIGTERM`, `AF_UNIX`, `AT_FDCWD`.
    Name(&'static str),
    /// A set of bits: the names that were known, in the table's order, and the bits that no name covers (0: none).
    Flags {
        /// Names of the bits that are set.
        names: Vec<&'static str>,
        /// Bits that are set and have no name.
        rest: u64,
    },
    /// Bytes of a string or of a buffer. `cut` says that there were more.
    Bytes {
        /// The bytes that are shown.
        bytes: Vec<u8>,
        /// There was more than is shown.
        cut: bool,
    },
    /// A pointer of which nothing more is said: it is null (0), opaque, or could not be read.
    Address(u64),
    /// A file descriptor, with what it refers to where that was asked for and could be found.
    Fd {
        /// The number.
        number: i32,
        /// `/proc/PID/fd/N`'s target.
        path: Option<Vec<u8>>,
    },
    /// A structure's fields, in the order in which they are shown.
    Struct(Vec<(&'static str, Value)>),
    /// An array. `more` says that it went on.
    List {
        /// The items that are shown.
        items: Vec<Value>,
        /// There were more than are shown.
        more: bool,
    },
}

/// A value with the name of its parameter in the man page.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// The parameter's name: `pathname`, `flags`.
    pub name: &'static str,
    /// What was given.
    pub value: Value,
}

/// A system call: what was asked for, and, once it has returned, what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The table that the number belongs to.
    pub arch: Arch,
    /// The number.
    pub number: u32,
    /// The name, or `syscall_0x1f4` where the table has none.
    pub name: std::borrow::Cow<'static, str>,
    /// The six words, as they were in the registers at the entry.
    pub raw: [u64; 6],
    /// The arguments of this call. What the kernel fills in is an [`Value::Address`] until the call has returned.
    pub args: Vec<Arg>,
    /// How it returned; absent while it runs, and when it never did (exit, a kill, an exec that replaced the thread).
    pub returned: Option<Returned>,
}

/// How a call returned.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned {
    /// The value of the result register as a signed number: -4095 to -1 is a negated errno.
    pub value: i64,
    /// The errno's name, `ENOENT`; also the kernel's own `ERESTARTSYS` and its kin, which no program sees.
    pub errno: Option<&'static str>,
    /// The result in words where a number says too little: a descriptor with its path, flags, an address.
    pub shown: Option<Value>,
}
