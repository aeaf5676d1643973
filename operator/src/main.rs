//! `coalition-operator`: the wiring of the roles.
fn main() {}
