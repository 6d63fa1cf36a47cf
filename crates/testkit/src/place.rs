//! Where things are kept: caches that every user may read, scratch directories that one user may
//! write.
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::User;

/// The target directory of the build that this test belongs to. A test lives in
/// `TARGET/PROFILE/deps/`.
pub fn target_dir() -> PathBuf {
    build_dir().parent().expect("a build directory has a parent").to_owned()
}

/// `TARGET/PROFILE` of the build that this test belongs to.
pub(crate) fn build_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let mut dir = test.parent().expect("a program lies in a directory");
    // Documentation tests and plain binaries lie elsewhere: then the first ancestor that looks like
    // a build directory.
    while !dir.join("deps").is_dir() {
        dir = dir.parent().expect("a test lies below a build directory");
    }
    dir.to_owned()
}

/// A directory that every user may enter, whatever the checkout's own permissions are: compiled
/// guests and copies of the binary are kept there from run to run. It belongs to whoever runs the
/// suite, and to nobody else may it be writable.
pub(crate) fn shared() -> PathBuf {
    let dir = PathBuf::from(format!("/tmp/tipstaff-testkit-{}", User::me()));
    match fs::DirBuilder::new().mode(0o755).create(&dir) {
        Ok(()) => fs::set_permissions(&dir, Permissions::from_mode(0o755)).expect("own directory"),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => panic!("{}: {error}", dir.display()),
    }
    let found = fs::symlink_metadata(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    assert!(
        found.is_dir() && found.uid() == User::me() && found.mode() & 0o7777 == 0o755,
        "{} is not a directory of ours with mode 0755: somebody else made it",
        dir.display()
    );
    dir
}

/// Makes `path` by `make` unless it is there; one process at a time, and nobody ever sees half of
/// it. `make` writes to the path that it is given, which is renamed into place.
pub(crate) fn once(path: &Path, mode: u32, make: impl FnOnce(&Path)) {
    if path.exists() {
        return;
    }
    let dir = path.parent().expect("a cached file lies in a directory");
    make_dir(dir);
    let lock = File::create(dir.join(".lock")).expect("lock file");
    lock.lock().expect("lock");
    if path.exists() {
        return;
    }
    let part = path.with_extension("part");
    make(&part);
    fs::set_permissions(&part, Permissions::from_mode(mode)).expect("own file");
    fs::rename(&part, path).expect("rename into place");
}

pub(crate) fn make_dir(dir: &Path) {
    fs::create_dir_all(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("own directory");
}

/// A directory of its own for one test, writable by the user that the test runs as, removed at the
/// end.
#[derive(Debug)]
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A new, empty one for `user`.
    pub fn new(user: User) -> Self {
        let dir = tempfile::Builder::new().prefix("scratch-").tempdir_in(shared()).expect("scratch directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("own directory");
        user.own(dir.path());
        Self(dir)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of `name` in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the file `name`, with the directories above it, owned as the scratch directory is.
    /// Returns its path.
    pub fn file(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        self.dirs(path.parent().expect("a file lies in a directory"));
        fs::write(&path, content).expect("scratch file");
        self.hand_over(&path);
        path
    }

    /// Makes the directory `name`, owned as the scratch directory is. Returns its path.
    pub fn dir(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.join(name);
        self.dirs(&path);
        path
    }

    fn dirs(&self, path: &Path) {
        if path.is_dir() {
            return;
        }
        self.dirs(path.parent().expect("below the scratch directory"));
        fs::create_dir(path).expect("scratch directory");
        self.hand_over(path);
    }

    fn hand_over(&self, path: &Path) {
        let owner = fs::metadata(self.path()).expect("own directory");
        chown(path, Some(owner.uid()), Some(owner.gid())).expect("hand over");
    }
}
