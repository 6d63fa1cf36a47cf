//! What a parameter or a field can be.
//!
//! A call is described by a list of these, and so is a structure: the widths and alignments of the two word sizes follow from the kind, so one
//! description serves 64-bit and 32-bit callers.

use crate::{Value, ctx::Ctx, names::Bits};

/// A name and what stands under it.
pub(crate) type Param = (&'static str, Kind);

/// Decodes one word, with the whole call at hand.
pub(crate) type Decode = fn(&Ctx<'_>, u64) -> Value;

/// A structure, laid out as C does: each field at a multiple of its own alignment.
pub(crate) type Record = &'static [Param];

/// Values and their names, sorted by value.
pub(crate) type Names = &'static [(u64, &'static str)];

/// How a word, or a field of a structure, is read and shown.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// `unsigned char`.
    U8,
    /// `short`.
    I16,
    /// `unsigned short`.
    U16,
    /// `int`.
    Int,
    /// `unsigned int`.
    Uint,
    /// `long`, as wide as the caller's words.
    Long,
    /// `unsigned long`, `size_t`.
    Ulong,
    /// 64 bits; two words of a 32-bit caller.
    I64,
    /// 64 bits without sign; two words of a 32-bit caller.
    U64,
    /// 32 bits in hexadecimal.
    Hex,
    /// A word in hexadecimal.
    HexLong,
    /// 64 bits in hexadecimal.
    Hex64,
    /// A file mode of 32 bits.
    Octal,
    /// A file mode of 16 bits.
    Octal16,
    /// A pointer that is not followed.
    Addr,
    /// An address in 64 bits, whoever calls (`__u64` fields of newer structures).
    Addr64,
    /// A file descriptor.
    Fd,
    /// A file descriptor in a field of 64 bits.
    Fd64,
    /// A directory's descriptor, or `AT_FDCWD`.
    Dirfd,
    /// A user or group id: 32 bits, of which -1 means "leave it".
    Id,
    /// A user or group id of 16 bits, in the first calls of i386 and ARM.
    Id16,
    /// A signal.
    Signal,
    /// A signal in a field of 64 bits.
    Signal64,
    /// A device number (major, minor) as `dev_t` of the kernel: 32 bits.
    Dev,
    /// An enumerated constant, 32 bits.
    Enum(Names),
    /// An enumerated constant, 16 bits.
    Enum16(Names),
    /// An enumerated constant, one word.
    EnumLong(Names),
    /// An enumerated constant, 64 bits.
    Enum64(Names),
    /// A set of bits, 32 bits.
    Bits(&'static Bits),
    /// A set of bits, 16 bits.
    Bits16(&'static Bits),
    /// A set of bits, one word.
    BitsLong(&'static Bits),
    /// A set of bits, 64 bits.
    Bits64(&'static Bits),
    /// A path that ends with a zero byte. Shown whole.
    Path,
    /// A path that the kernel does not look up, or another string.
    Str,
    /// Text in an array of this many bytes.
    Chars(u16),
    /// Bytes in an array.
    Raw(u16),
    /// Padding, or something that nobody wants to see, of that many bytes.
    Skip(u16),
    /// That many words of padding.
    SkipLong(u16),
    /// A structure inside a structure.
    Rec(Record),
    /// An array inside a structure.
    Array(u16, &'static Kind),
    /// A pointer to a structure that the kernel reads.
    Ptr(Record),
    /// A pointer to a structure that the kernel writes.
    OutPtr(Record),
    /// A pointer to a structure that the kernel reads and writes.
    InOutPtr(Record),
    /// A pointer to one value that the kernel reads.
    To(&'static Kind),
    /// A pointer to one value that the kernel writes.
    OutTo(&'static Kind),
    /// A pointer to one value that the kernel reads and writes.
    InOutTo(&'static Kind),
    /// A pointer to this many items that the kernel reads.
    Items(u16, &'static Kind),
    /// A pointer to this many items that the kernel writes.
    OutItems(u16, &'static Kind),
    /// A pointer to items that the kernel reads, as many as the numbered word says.
    Counted(u8, &'static Kind),
    /// A buffer that the kernel reads, as long as the numbered word says.
    Buf(u8),
    /// A buffer that the kernel writes, as long as the result says.
    OutBuf,
    /// A path that the kernel writes, with a zero byte at its end. Shown whole.
    OutStr,
    /// Something else that can be said at the entry: one word.
    In(Decode),
    /// Something else of 32 bits.
    In32(Decode),
    /// Something else in a field of 64 bits.
    In64(Decode),
    /// What the kernel has written when the call has succeeded.
    Out(Decode),
    /// What is said at the entry, and said again when the call has succeeded.
    InOut(Decode),
    /// What the kernel has written when the call was interrupted (the rest of a sleep).
    OnInterrupt(Decode),
}

/// The parameters of a call.
#[derive(Clone, Copy)]
pub(crate) enum Params {
    /// The same for every call.
    Fixed(&'static [Param]),
    /// According to what is asked. May exchange the words, where the true ones lie in memory (socketcall(2)).
    Choose(fn(&mut Ctx<'_>) -> &'static [Param]),
}

/// What a call returns when it succeeds.
#[derive(Clone, Copy)]
pub(crate) enum Ret {
    /// A number.
    Number,
    /// A file descriptor.
    Fd,
    /// An address.
    Address,
    /// A file mode.
    Octal,
    /// Something else; nothing: the number says it all.
    With(fn(&Ctx<'_>, i64) -> Option<Value>),
}

/// One call, or several that are alike.
pub(crate) struct Spec {
    /// Names, separated by blanks.
    pub(crate) names: &'static str,
    /// What it is given.
    pub(crate) params: Params,
    /// What it returns.
    pub(crate) ret: Ret,
}

/// A call that returns a number.
pub(crate) const fn call(names: &'static str, params: &'static [Param]) -> Spec {
    Spec { names, params: Params::Fixed(params), ret: Ret::Number }
}

/// A call that returns a descriptor.
pub(crate) const fn opens(names: &'static str, params: &'static [Param]) -> Spec {
    Spec { names, params: Params::Fixed(params), ret: Ret::Fd }
}

/// A call whose result needs words.
pub(crate) const fn returns(names: &'static str, params: &'static [Param], ret: Ret) -> Spec {
    Spec { names, params: Params::Fixed(params), ret }
}

/// A call whose parameters depend on what is asked.
pub(crate) const fn chooses(names: &'static str, choose: fn(&mut Ctx<'_>) -> &'static [Param], ret: Ret) -> Spec {
    Spec { names, params: Params::Choose(choose), ret }
}

impl Kind {
    /// Size and alignment in bytes as a field of a structure; 4 bytes of alignment are enough for 64 bits where `aligned` is false (i386).
    pub(crate) fn layout(self, word: usize, aligned: bool) -> (usize, usize) {
        let eight = if aligned { 8 } else { 4 };
        match self {
            Self::U8 => (1, 1),
            Self::I16 | Self::U16 | Self::Octal16 | Self::Id16 | Self::Enum16(_) | Self::Bits16(_) => (2, 2),
            Self::Int | Self::Uint | Self::Hex | Self::Octal | Self::Fd | Self::Dirfd | Self::Id | Self::Signal => {
                (4, 4)
            }
            Self::Dev | Self::Enum(_) | Self::Bits(_) | Self::In32(_) => (4, 4),
            Self::I64 | Self::U64 | Self::Hex64 | Self::Addr64 | Self::Fd64 | Self::Signal64 => (8, eight),
            Self::Enum64(_) | Self::Bits64(_) | Self::In64(_) => (8, eight),
            Self::Chars(n) | Self::Raw(n) | Self::Skip(n) => (usize::from(n), 1),
            Self::SkipLong(n) => (usize::from(n) * word, word),
            Self::Rec(fields) => record_layout(fields, word, aligned),
            Self::Array(n, item) => {
                let (size, align) = item.layout(word, aligned);
                (size * usize::from(n), align)
            }
            _ => (word, word),
        }
    }

    /// Whether the parameter takes 64 bits wherever they have to be found.
    pub(crate) fn is_64(self) -> bool {
        matches!(self, Self::I64 | Self::U64 | Self::Hex64 | Self::Bits64(_) | Self::Enum64(_) | Self::In64(_))
    }
}

/// Size and alignment of a structure in bytes.
pub(crate) fn record_layout(fields: Record, word: usize, aligned: bool) -> (usize, usize) {
    let (mut at, mut widest) = (0_usize, 1);
    for (_, kind) in fields {
        let (size, align) = kind.layout(word, aligned);
        at = at.next_multiple_of(align) + size;
        widest = widest.max(align);
    }
    (at.next_multiple_of(widest), widest)
}
