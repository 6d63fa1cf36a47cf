//! Which stage it is. A runtime does not tell a hook, and runs the same command at each stage that it is configured for; so it is read off
//! the state.

use crate::state::{State, Status};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// prestart or createRuntime: the container's process exists and has not been let go; record it.
    Start {
        /// Its process id, in our PID namespace.
        pid: i32,
    },
    /// poststop: the container has ended; write the profile.
    Finish,
    /// Nothing, and why.
    Ignore(&'static str),
}

impl Stage {
    /// Reads the stage off the state. `outside(pid)`: that process is in another mount namespace than we are, as it is for hooks that a runtime runs
    /// outside of the container.
    pub fn of(state: &State, outside: impl Fn(i32) -> bool) -> Self {
        match (state.status, state.pid) {
            (Status::Stopped, _) => Self::Finish,
            (Status::Creating | Status::Created, pid) if pid <= 1 => Self::Ignore(
                "createContainer runs inside the container: prestart or createRuntime starts the recording",
            ),
            // Without a PID namespace of its own, the pid is the same one inside: runc's createContainer.
            (Status::Creating | Status::Created, pid) if !outside(pid) => Self::Ignore(
                "this runs in the container's own mount namespace: prestart or createRuntime starts the recording",
            ),
            (Status::Creating | Status::Created, pid) => Self::Start { pid },
            (Status::Running, _) => Self::Ignore(
                "startContainer and poststart come too late: prestart or createRuntime starts the recording",
            ),
            (Status::Paused, _) => Self::Ignore("a paused container neither starts nor ends"),
        }
    }
}

/// Whether a process is in another mount namespace than we are. Where that cannot be seen (it has ended, or /proc is another's), it is
/// taken for outside: to start is what then fails, with the reason.
pub(crate) fn outside(pid: i32) -> bool {
    let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/mnt")).ok();
    match (of("self"), of(&pid.to_string())) {
        (Some(ours), Some(its)) => ours != its,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(json: &str) -> Stage {
        Stage::of(&State::parse(json.as_bytes()).expect("a state"), |_| true)
    }

    fn runc(status: &str, pid: &str) -> Stage {
        stage(&format!(
            r#"{{"ociVersion":"1.0.2-dev","id":"t2","status":"{status}",{pid}"bundle":"/b","annotations":{{"a":"b"}}}}"#
        ))
    }

    fn crun(status: &str, pid: i32) -> Stage {
        stage(&format!(
            r#"{{"ociVersion":"1.0","id":"c1","pid":{pid},"root":"/b/rootfs","bundle":"/b","status":"{status}","annotations":{{"a":"b"}}}}"#
        ))
    }

    #[test]
    fn the_five_stages_of_runc() {
        assert_eq!(runc("creating", r#""pid":27234,"#), Stage::Start { pid: 27234 });
        // createContainer: the number that the process has inside.
        assert!(matches!(runc("creating", r#""pid":1,"#), Stage::Ignore(why) if why.contains("createContainer")));
        assert!(matches!(runc("running", r#""pid":27234,"#), Stage::Ignore(why) if why.contains("poststart")));
        assert_eq!(runc("stopped", ""), Stage::Finish);
    }

    #[test]
    fn the_five_stages_of_crun() {
        assert_eq!(crun("created", 4711), Stage::Start { pid: 4711 });
        assert!(matches!(crun("created", 0), Stage::Ignore(why) if why.contains("createContainer")));
        assert!(matches!(crun("running", 4711), Stage::Ignore(_)));
        assert_eq!(crun("stopped", 0), Stage::Finish);
    }

    #[test]
    fn inside_the_container_nothing_is_started() {
        let state = State::parse(br#"{"id":"t","status":"creating","pid":27234,"bundle":"/b"}"#).expect("a state");
        assert!(matches!(Stage::of(&state, |_| false), Stage::Ignore(why) if why.contains("own mount namespace")));
        assert_eq!(Stage::of(&state, |_| true), Stage::Start { pid: 27234 });
        // We are in our own.
        assert!(!outside(std::process::id() as i32));
    }
}
