//! From what was seen to the files: the profile, and beside it the recording that it follows from.
//!
//! A runtime's profile has no place for where it comes from and what it may lack. So the recording is kept with it, as `PROFILE.rec`: runs,
//! counts, executables, and whether anything was missed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tipstaff_abi::Arch;
use tipstaff_artifact::Target;
use tipstaff_oci_seccomp::runtimes::Runtime;
use tipstaff_oci_seccomp::{self as oci, Document, Env, Form};
use tipstaff_record::{LearnOptions, learn};
use tipstaff_recording::{Phase, Recording, Run};

use crate::annotation::read_input;
use crate::place::Place;
use crate::wire::{Card, End};

/// Writes what a run of a container adds to its files. `reasons` are why it may lack something, besides what the run itself knows.
pub fn publish(place: &Place, card: &Card, run: Run, reasons: Vec<String>) -> End {
    let mut end = End { output: card.output.clone(), incomplete: reasons, ..End::default() };
    end.incomplete.extend(run.completeness.shortfalls().filter(|s| s.reason.is_loss()).map(ToString::to_string));
    end.names = run.calls.iter().filter(|call| call.seen.iter().any(|seen| counts(seen.phase))).count();
    match write(place, card, run) {
        Ok(beyond) => end.beyond = beyond,
        Err(why) => end.failed = Some(why),
    }
    end
}

/// What a container needs from the moment on at which its filter is in force.
fn counts(phase: Phase) -> bool {
    LearnOptions::default().phases.contains(&phase)
}

/// Whether a profile could be written if the container did nothing: what stands in its way is told before the container starts, and not when all
/// that was recorded is lost.
///
/// # Errors
/// The output may not be there, or holds something else; nothing can be added to the input profile, or to what is there.
pub fn check(card: &Card) -> Result<(), String> {
    let (profile, beside) = targets(card)?;
    let told = |why: String| format!("{:?}: {why}", card.output);
    let there = there(&profile).map_err(told)?;
    if there.is_some() {
        kept(&beside)?;
    }
    let Some(arch) = Arch::native() else { return Ok(()) };
    let nothing = oci::learn::Learned { arch, calls: Vec::new(), about: Vec::new() };
    compose(card, there.as_ref(), &nothing).map(drop).map_err(told)
}

fn targets(card: &Card) -> Result<(Target, Target), String> {
    let target = |path: &Path| Target::below(&card.roots, path).map_err(|e| e.to_string());
    Ok((target(&card.output)?, target(&recording_of(&card.output))?))
}

/// What the container needs and its input profile refuses.
fn write(place: &Place, card: &Card, run: Run) -> Result<Vec<String>, String> {
    let (profile, beside) = targets(card)?;
    // From here to the end nobody else writes: what is there is read, added to, and put back.
    let _lock = place.outputs().map_err(|e| e.to_string())?;
    let there = there(&profile)?;
    let mut recording = Recording::from(run);
    let mut learned = learn(&recording, LearnOptions::default()).ok_or("nothing was recorded")?;
    learned.add_runtimes(&runtimes(card), card.bundle.no_new_privileges);
    learned.add_always();
    let (document, beyond) = compose(card, there.as_ref(), &learned)?;
    // A recording without its profile is a leftover of another one.
    if there.is_some() {
        recording = kept(&beside)?.merge(recording);
    }
    beside.replace(recording.to_json().as_bytes()).map_err(|e| e.to_string())?;
    profile.replace(document.to_json().as_bytes()).map_err(|e| e.to_string())?;
    Ok(beyond)
}

/// The runtimes that are to start the container under the profile: the one that did, or any where that is not known.
fn runtimes(card: &Card) -> Vec<Runtime> {
    let known = card.runtime.as_deref().and_then(|name| name.parse().ok());
    known.map_or_else(|| Runtime::ALL.to_vec(), |one| vec![one])
}

/// The profile that is there already. Another kind of file is nobody's to replace.
fn there(profile: &Target) -> Result<Option<Document>, String> {
    let Some(text) = profile.read().map_err(|e| e.to_string())? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text).into_owned();
    // Made by somebody to be written to.
    if text.trim().is_empty() {
        return Ok(None);
    }
    let told = |e: oci::Error| format!("it is there and no profile ({e}); remove it, or choose another output");
    oci::parse(&text).map(Some).map_err(told)
}

fn kept(beside: &Target) -> Result<Recording, String> {
    let Some(text) = beside.read().map_err(|e| e.to_string())? else { return Ok(Recording::default()) };
    let told = |e| format!("{}: {e}; remove it", beside.path().display());
    Recording::parse(&String::from_utf8_lossy(&text)).map_err(told)
}

/// What is there and the input profile, with what this run adds to them; and what that needs and the input profile refuses by name. Such a call stays refused, also
/// where what is there allows it: that is said for the input profile's own rules, and not for what its default action does to the rest.
fn compose(
    card: &Card,
    there: Option<&Document>,
    learned: &oci::learn::Learned,
) -> Result<(Document, Vec<String>), String> {
    let input = card.input.as_deref().map(read_input).transpose().map_err(|e| e.to_string())?;
    let env =
        Env { arch: learned.arch, kernel: tipstaff_sys::ids::release(), caps: &card.bundle.capabilities, form: None };
    let (mut learned, mut there) = (learned.clone(), there.cloned());
    let mut beyond = BTreeSet::new();
    let input = match input {
        None => None,
        Some(mut input) => {
            with_own_architecture(&mut input, learned.arch);
            let refused = oci::extend::refused_by_name(&input, &env).map_err(|e| e.to_string())?;
            learned.calls.retain(|call| !refused.contains(&call.name()) || !beyond.insert(call.name()));
            for entry in there.iter_mut().flat_map(|there| &mut there.syscalls).flatten() {
                entry.names.iter_mut().for_each(|names| names.retain(|name| !refused.contains(name)));
            }
            for entries in there.iter_mut().filter_map(|there| there.syscalls.as_mut()) {
                entries.retain(|entry| entry.name.is_some() || entry.names.as_ref().is_some_and(|all| !all.is_empty()));
            }
            Some(input)
        }
    };
    let base = match (input, there) {
        (Some(input), Some(there)) => Some(union(&[input, there], &env)?),
        (Some(one), None) => Some(one),
        (None, there) => there,
    };
    let made = match base {
        Some(base) => oci::extend::extend(&base, &learned, &env).map(|made| made.document),
        None => learned.document(&Default::default()).map(|made| made.document),
    };
    Ok((made.map_err(|e| e.to_string())?, beyond.into_iter().collect()))
}

/// A list of architectures without this machine's own would refuse the container everything.
fn with_own_architecture(input: &mut Document, arch: Arch) {
    let own = arch.oci_name().to_owned();
    if let Some(list) = input.architectures.as_mut().filter(|list| !list.is_empty() && !list.contains(&own)) {
        list.push(own);
    }
}

/// What any of these allows. The same document twice is that document, in its own dialect.
fn union(both: &[Document; 2], env: &Env<'_>) -> Result<Document, String> {
    let [input, there] = both;
    if input == there {
        return Ok(there.clone());
    }
    oci::merge::documents(both, env, Form::Strict).map(|made| made.document).map_err(|e| e.to_string())
}

/// `P.rec` of a profile `P`.
pub fn recording_of(profile: &Path) -> PathBuf {
    let mut name: OsString = profile.as_os_str().to_owned();
    name.push(".rec");
    name.into()
}
