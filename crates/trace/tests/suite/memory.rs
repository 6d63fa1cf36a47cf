//! Reading a tracee's memory, good and bad.

use tipstaff_trace::{Address, Config, Error, Launch, Observer, Resume, Stop, Task, Text, TextEnd};

use crate::kit::{guest, run_with};

/// Looks at the execve's own path and argv, and at places that are not there.
#[derive(Default)]
struct Reader {
    path: Option<Text>,
    cut: Option<Text>,
    argv: Vec<Text>,
    looked: bool,
}

impl Observer for Reader {
    fn on_stop(&mut self, _: &Task, stop: &mut Stop) -> Resume {
        let memory = stop.memory();
        if let (Stop::Entered(s), None) = (&*stop, &self.path) {
            let [path, argv, ..] = s.call().args;
            self.path = Some(memory.text(Address(path), 4096));
            self.cut = Some(memory.text(Address(path), 3));
            for at in (0..).map(|n| Address(argv).offset(n * 8)) {
                let word = memory.read_array::<8>(at).map(u64::from_ne_bytes).expect("argv");
                if word == 0 {
                    break;
                }
                self.argv.push(memory.text(Address(word), 4096));
            }
            assert_eq!(memory.text(Address::NULL, 10), Text { bytes: vec![], end: TextEnd::Unreadable });
            assert_eq!(memory.read(Address(u64::MAX - 2), &mut [0; 16]), 0);
            assert_eq!(memory.read_array::<4>(Address(8)), None);
            assert!(matches!(memory.write(Address(8), b"x"), Err(Error::Refused { .. })));
        }
        if let Stop::Executed(s) = &*stop {
            self.looked = true;
            top_of_the_stack(s.registers().expect("registers").sp(), &memory);
        }
        Resume::AsBefore
    }
}

/// Above the stack there is a hole: a read across its edge gives what lies before it, and a string that runs into it says so.
fn top_of_the_stack(sp: u64, memory: &tipstaff_trace::Memory<'_>) {
    let mut page = Address(sp / 4096 * 4096);
    while memory.read_array::<1>(page.offset(4096)).is_some() {
        page = page.offset(4096);
    }
    let edge = page.offset(4096);
    let start = Address(edge.0 - 100);
    let mut buffer = [0; 300];
    assert_eq!(memory.read(start, &mut buffer), 100);
    memory.write(Address(edge.0 - 3), b"abc").expect("the stack can be written");
    let text = memory.text(Address(edge.0 - 3), 100);
    assert_eq!(text, Text { bytes: b"abc".to_vec(), end: TextEnd::Unreadable });
    memory.write(Address(edge.0 - 1), b"\0").expect("the stack can be written");
    let text = memory.text(Address(edge.0 - 3), 100);
    assert_eq!(text, Text { bytes: b"ab".to_vec(), end: TextEnd::Nul });
    assert_eq!(memory.text(Address(edge.0 - 3), 2).end, TextEnd::Nul);
}

#[test]
fn strings_words_and_holes() {
    let mut reader = Reader::default();
    let launch: Launch = guest("exit").args(["0", "", "zwei drei"]);
    run_with(Config::default(), launch, &mut reader);
    let path = tipstaff_testkit::guest("exit").into_os_string().into_encoded_bytes();
    assert_eq!(reader.path, Some(Text { bytes: path.clone(), end: TextEnd::Nul }));
    assert_eq!(reader.cut, Some(Text { bytes: path[..3].to_vec(), end: TextEnd::Limit }));
    let argv: Vec<_> = reader.argv.iter().map(|text| text.bytes.as_slice()).collect();
    assert_eq!(argv, [&path[..], b"0", b"", b"zwei drei"]);
    assert!(reader.looked);
}
