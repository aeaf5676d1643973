//! What trainers talk to: HTTP and JSON, idempotent, fenced.
