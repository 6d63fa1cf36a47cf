//! The published JSON Schema.

/// JSON Schema (draft 2020-12) of the report, as published in `schema/report.schema.json`.
pub const JSON_SCHEMA: &str = include_str!("../schema/report.schema.json");
