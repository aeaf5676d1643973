//! Time as a decision sees it: milliseconds on the hub's own clock, handed in. Only differences mean anything, and no
//! other machine's clock is ever compared with it.
use serde::{Deserialize, Serialize};

/// An instant on the hub's local clock, in milliseconds from an origin that stays the same while the hub's memory lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Milliseconds from `earlier` to here; 0 if the clock went back.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
    /// So many milliseconds later.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Milliseconds of so many seconds.
pub const fn seconds(s: u64) -> u64 {
    s.saturating_mul(1000)
}

/// Milliseconds in words for people: `850 ms`, `12 s`, `3 min 20 s`.
pub fn words(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..120_000 => format!("{} s", millis / 1000),
        _ => format!("{} min {} s", millis / 60_000, millis / 1000 % 60),
    }
}
