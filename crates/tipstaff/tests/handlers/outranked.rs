//! outranked
