//! Writing to people. A reader that left (`status | head`) is no error and no panic: there is nobody left to tell.
use std::fmt::Arguments;
use std::io::{self, Write};

use coalition_local::exit_code;

/// Writes to standard output; ends the program, well, if nobody reads it.
pub fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(i32::from(exit_code::OK));
    }
}

/// A line for standard output.
pub fn line(text: Arguments<'_>) {
    bytes(format!("{text}\n").as_bytes());
}

/// A line for standard error. A run goes on when nobody watches it.
pub fn aside(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A line for standard output.
macro_rules! say {
    ($($t:tt)*) => { $crate::out::line(format_args!($($t)*)) };
}
/// A line for standard error.
macro_rules! note {
    ($($t:tt)*) => { $crate::out::aside(format_args!($($t)*)) };
}
pub(crate) use {note, say};
