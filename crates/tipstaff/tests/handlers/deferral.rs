//! deferral
