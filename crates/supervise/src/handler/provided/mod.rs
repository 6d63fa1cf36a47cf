//! Handlers that are there already.
