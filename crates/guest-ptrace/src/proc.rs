//! What proc(5) tells of a task that is ours to say: who traces it, what state it is in, what it waits in. Pure: text in, text out.

/// A file below /proc/PID that tells of tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// proc_pid_status(5).
    Status,
    /// proc_pid_stat(5).
    Stat,
    /// proc_pid_wchan(5).
    Channel,
}

/// What a task's state is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// As the kernel has it.
    True,
    /// It stands in a stop of ours that no guest knows of.
    Running,
    /// Its process was stopped, and no guest traces it.
    Stopped,
}

impl File {
    /// By the last part of a path.
    pub fn named(path: &[u8]) -> Option<Self> {
        match path.rsplit(|&byte| byte == b'/').next()? {
            b"status" => Some(Self::Status),
            b"stat" => Some(Self::Stat),
            b"wchan" => Some(Self::Channel),
            _ => None,
        }
    }

    /// The task whose file this is, as the path names it: `…/PID/status`, `…/PID/task/TID/status`.
    pub fn subject(path: &[u8]) -> Option<(Self, i32)> {
        let file = Self::named(path)?;
        let number = path.rsplit(|&byte| byte == b'/').nth(1)?;
        Some((file, str::from_utf8(number).ok()?.parse().ok()?))
    }

    /// The text with another tracer and another state, or None if it says so already.
    pub fn told(self, text: &str, tracer: i32, state: State) -> Option<String> {
        let told = match self {
            Self::Status => status(text, tracer, state),
            Self::Stat => stat(text, state),
            Self::Channel => match state {
                // What it is in as long as it is stopped, where the reader may know at all.
                State::Stopped if text == "ptrace_stop" => "do_signal_stop".to_owned(),
                State::Running if text == "ptrace_stop" => "0".to_owned(),
                _ => text.to_owned(),
            },
        };
        (told != text).then_some(told)
    }
}

fn status(text: &str, tracer: i32, state: State) -> String {
    let mut told = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        match (line, state) {
            (line, _) if line.starts_with("TracerPid:\t") => told.push_str(&format!("TracerPid:\t{tracer}\n")),
            (line, State::Running) if line.starts_with("State:\tt ") => told.push_str("State:\tR (running)\n"),
            (line, State::Stopped) if line.starts_with("State:\tt ") => told.push_str("State:\tT (stopped)\n"),
            (line, _) => told.push_str(line),
        }
    }
    told
}

/// The state is the third field, behind a name that may hold anything.
fn stat(text: &str, state: State) -> String {
    let letter = match state {
        State::True => return text.to_owned(),
        State::Running => 'R',
        State::Stopped => 'T',
    };
    match text.rfind(") t ") {
        Some(at) => format!("{}{letter}{}", &text[..at + 2], &text[at + 3..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tt (\nState:\tt (tracing stop)\nPid:\t7\nTracerPid:\t99\nThreads:\t1\n";

    #[test]
    fn a_path_names_file_and_task() {
        for (path, found) in [
            ("/proc/7/status", Some((File::Status, 7))),
            ("/proc/7/task/8/stat", Some((File::Stat, 8))),
            ("/elsewhere/7/wchan", Some((File::Channel, 7))),
            ("/proc/7/stat ", None),
            ("/proc/self/statm", None),
            ("/proc/stat", None),
            ("status", None),
            ("", None),
        ] {
            assert_eq!(File::subject(path.as_bytes()), found, "{path}");
        }
        assert_eq!(File::named(b"self/status"), Some(File::Status));
        assert_eq!(File::named(b"status/"), None);
    }

    #[test]
    fn status_tells_the_tracer_and_the_state() {
        let told = File::Status.told(STATUS, 0, State::Stopped).expect("another text");
        assert_eq!(told, "Name:\tt (\nState:\tT (stopped)\nPid:\t7\nTracerPid:\t0\nThreads:\t1\n");
        let told = File::Status.told(STATUS, 99, State::Running).expect("another text");
        assert!(told.contains("State:\tR (running)\n") && told.contains("TracerPid:\t99\n"), "{told}");
        assert_eq!(File::Status.told(STATUS, 99, State::True), None, "as it is");
    }

    #[test]
    fn stat_tells_the_state_behind_any_name() {
        let text = "7 (a) t (b) ) t 1 7 7\n";
        assert_eq!(File::Stat.told(text, 5, State::Stopped).as_deref(), Some("7 (a) t (b) ) T 1 7 7\n"));
        assert_eq!(File::Stat.told(text, 5, State::True), None);
        assert_eq!(File::Stat.told("7 (a) S 1 7\n", 5, State::Running), None, "only what we hold is changed");
    }

    #[test]
    fn a_wait_channel_of_ours_is_not_told() {
        assert_eq!(File::Channel.told("ptrace_stop", 0, State::Stopped).as_deref(), Some("do_signal_stop"));
        assert_eq!(File::Channel.told("0", 0, State::Stopped), None, "whoever may not know is told nothing");
    }
}
