//! Colours, on terminals only.
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use owo_colors::OwoColorize;

use crate::args::Color;

static ON: AtomicBool = AtomicBool::new(false);

/// Decides once whether to use colours.
pub fn set(color: Color) {
    let on = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                && std::io::stdout().is_terminal()
                && std::io::stderr().is_terminal()
        }
    };
    ON.store(on, Ordering::Relaxed);
}

/// True if colours are used.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

fn paint(text: &str, with: impl Fn(&str) -> String) -> String {
    if is_on() { with(text) } else { text.to_owned() }
}

/// What is wrong.
pub fn error(text: &str) -> String {
    paint(text, |t| t.red().bold().to_string())
}
/// What someone may want to act on.
pub fn warning(text: &str) -> String {
    paint(text, |t| t.yellow().to_string())
}
/// What is well.
pub fn good(text: &str) -> String {
    paint(text, |t| t.green().to_string())
}
/// What is there for completeness.
pub fn faint(text: &str) -> String {
    paint(text, |t| t.dimmed().to_string())
}
/// What to look at first.
pub fn strong(text: &str) -> String {
    paint(text, |t| t.bold().to_string())
}
