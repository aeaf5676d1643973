//! Writing to people. A reader that left (`data prepare … | head`) is no error and no panic: there is nobody left to tell, and
//! what was to be done is done.
use std::fmt::Arguments;
use std::io::{self, Write};

/// Bytes for standard output.
pub fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// A line for standard output.
pub fn line(text: Arguments<'_>) {
    bytes(format!("{text}\n").as_bytes());
}

/// A line for standard error.
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
