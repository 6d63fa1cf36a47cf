//! Recordings in words, for people.

use tipstaff_recording::Target;

/// What was recorded: `nginx -c x`, `process 17`, `container web`.
#[must_use]
pub fn target(target: &Target) -> String {
    match target {
        Target::Command { argv, .. } => {
            let words: Vec<String> = argv.iter().map(ToString::to_string).collect();
            words.join(" ")
        }
        Target::Process { pids } => {
            let words: Vec<String> = pids.iter().map(ToString::to_string).collect();
            format!("process {}", words.join(", "))
        }
        Target::Cgroup { path } => format!("control group {path}"),
        Target::Container(container) => format!("container {}", container.id),
    }
}
