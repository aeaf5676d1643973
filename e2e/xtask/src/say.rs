//! What a person sees: titles, notes, warnings, sizes and times. Colour only on a terminal that wants it; everything else
//! is plain lines, so that a log reads as well as a screen.

use owo_colors::OwoColorize;
use std::io::IsTerminal;
use std::time::Duration;

/// Whether standard output is a terminal that wants colour (<https://no-color.org>).
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The start of a larger part of the work.
pub fn title(text: &str) {
    if colour() {
        println!("\n{} {}", "==".bright_black(), text.bold());
    } else {
        println!("\n== {text}");
    }
}

/// One plain line.
pub fn line(text: &str) {
    println!("{text}");
}

/// Something that went well.
pub fn good(text: &str) {
    if colour() { println!("{} {text}", "ok".green()) } else { println!("ok {text}") }
}

/// Something a person should know although the work goes on.
pub fn warn(text: &str) {
    if colour() { eprintln!("{} {text}", "warning:".yellow().bold()) } else { eprintln!("warning: {text}") }
}

/// Why the work stops.
pub fn error(text: &str) {
    if colour() { eprintln!("{} {text}", "error:".red().bold()) } else { eprintln!("error: {text}") }
}

/// A size in decimal units, as download pages state them.
pub fn bytes(n: u64) -> String {
    let n = n as f64;
    for (unit, size) in [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] {
        if n >= size {
            return format!("{:.1} {unit}", n / size);
        }
    }
    format!("{n} B")
}

/// A duration as a person says it.
pub fn time(d: Duration) -> String {
    let s = d.as_secs_f64();
    if s < 60.0 { format!("{s:.1} s") } else { format!("{} min {:02} s", d.as_secs() / 60, d.as_secs() % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(bytes(531_000_000), "531.0 MB");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(bytes(4_900_000_000), "4.9 GB");
        assert_eq!(time(Duration::from_millis(4_120)), "4.1 s");
        assert_eq!(time(Duration::from_secs(125)), "2 min 05 s");
    }
}
