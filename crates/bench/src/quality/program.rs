//! The programs, what each needs, and how often it is recorded.

use std::process::Command;

use crate::system;

/// The run that nobody records for the profile.
pub const HELD_OUT: &str = "held";

/// A program and what is done with it.
pub struct Program {
    /// What the table calls it.
    pub name: &'static str,
    /// `main RUN` is what is recorded; `drive RUN`, where there is one, is its client.
    pub script: &'static str,
    /// What must be installed: the program, and Debian's package.
    needs: &'static [(&'static str, &'static str)],
    /// The runs that are recorded.
    pub runs: &'static [&'static str],
    /// The user that it runs as, if it is not root.
    pub user: Option<&'static str>,
    /// What tells the version.
    version: &'static [&'static str],
}

const THREE: &[&str] = &["1", "2", "3"];

/// All of them.
pub const PROGRAMS: &[Program] = &[
    Program {
        name: "busybox",
        script: include_str!("programs/busybox.sh"),
        needs: &[("busybox", "busybox-static")],
        runs: THREE,
        user: None,
        version: &["busybox"],
    },
    Program {
        name: "nginx",
        script: include_str!("programs/nginx.sh"),
        needs: &[("nginx", "nginx-light"), ("busybox", "busybox-static")],
        runs: THREE,
        user: None,
        version: &["nginx", "-v"],
    },
    Program {
        name: "redis",
        script: include_str!("programs/redis.sh"),
        needs: &[("redis-server", "redis-server"), ("redis-cli", "redis-tools")],
        runs: THREE,
        user: None,
        version: &["redis-server", "--version"],
    },
    Program {
        name: "postgresql",
        script: include_str!("programs/postgresql.sh"),
        needs: &[("psql", "postgresql"), ("setpriv", "util-linux")],
        runs: THREE,
        user: Some("postgres"),
        version: &["psql", "--version"],
    },
    Program {
        name: "python3",
        script: include_str!("programs/python3.sh"),
        needs: &[("python3", "python3"), ("openssl", "openssl")],
        runs: THREE,
        user: None,
        version: &["/usr/bin/python3", "--version"],
    },
    Program {
        name: "sqlite3",
        script: include_str!("programs/sqlite3.sh"),
        needs: &[("sqlite3", "sqlite3")],
        runs: THREE,
        user: None,
        version: &["sqlite3", "--version"],
    },
    Program {
        name: "git",
        script: include_str!("programs/git.sh"),
        needs: &[("git", "git")],
        runs: THREE,
        user: None,
        version: &["/usr/bin/git", "--version"],
    },
    Program {
        name: "i386",
        script: include_str!("programs/i386.sh"),
        needs: &[],
        runs: &["1", "2"],
        user: None,
        version: &["gcc", "--version"],
    },
    Program {
        name: "threads",
        script: include_str!("programs/threads.sh"),
        needs: &[],
        runs: &["1", "2"],
        user: None,
        version: &["gcc", "--version"],
    },
    Program {
        name: "unshare",
        script: include_str!("programs/unshare.sh"),
        needs: &[("unshare", "util-linux")],
        runs: &["1", "2"],
        user: None,
        version: &["unshare", "--version"],
    },
];

impl Program {
    /// What is not installed, if something is not.
    pub fn missing(&self) -> Option<String> {
        let found = |program: &str| {
            system::find(program).is_some() || std::path::Path::new("/usr/sbin").join(program).is_file()
        };
        let (program, package) = self.needs.iter().find(|(program, _)| !found(program))?;
        Some(format!("{program} is not installed (apt-get install {package})"))
    }

    /// Its version, in the first line of what it says of itself.
    pub fn version(&self) -> String {
        let Some((program, args)) = self.version.split_first() else { return String::new() };
        let Ok(output) = Command::new(program).args(args).output() else { return "?".to_owned() };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().next().unwrap_or_default().replace('|', "/");
        // The first word with a dot between digits.
        let word = line.split([' ', '=', '/']).find(|word| {
            let word = word.trim_start_matches('v');
            word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.')
        });
        word.unwrap_or(&line).trim_matches(['v', ',', '(', ')']).to_owned()
    }

    /// Whether it has a client.
    pub fn is_driven(&self) -> bool {
        self.script.contains("\ndrive() {")
    }
}
