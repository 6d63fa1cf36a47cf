//! Profiles, presets and their lowering to a plan.
//!
//! A [`profile::Profile`] says what is allowed, in TOML or by flags; a [`profile::Loader`] finds it by name and
//! follows its `extends`. The modules of [`value`] are the small languages inside: sizes, durations, network rules.
#![forbid(unsafe_code)]

pub mod base;
pub mod lower;
pub mod presets;
pub mod profile;
pub mod value;
