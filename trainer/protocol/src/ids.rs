//! Names and counters, each a type of its own so that none is taken for another.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// Position of a record in a run's chain; rises by one with every record (D6).
    Seq
);
counter!(
    /// Changes only by rewind or takeover (D8). The first is 1.
    Epoch
);
counter!(
    /// Raised by the hub each time a site is assigned to the run (D8). The first is 1.
    Incarnation
);
counter!(
    /// Raised by the site alone at every formation of the gang (D8). The first is 1.
    Attempt
);
counter!(
    /// One outer step, t in the definitions. The first is 1; round 0 is the initial state.
    Round
);

/// A name that is not a DNS label.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{value:?} is not a valid {what}: use 1 to 63 lowercase letters, digits and '-', starting and ending with a letter or digit"
)]
pub struct BadName {
    /// What the name was for.
    pub what: &'static str,
    /// What was given, shortened.
    pub value: String,
}

fn is_label(s: &str) -> bool {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !s.is_empty()
        && s.len() <= 63
        && s.bytes().all(|b| ok(b) || b == b'-')
        && s.bytes().next().is_some_and(ok)
        && s.bytes().last().is_some_and(ok)
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(s: String) -> Result<Self, BadName> {
                if is_label(&s) {
                    Ok(Self(s))
                } else {
                    Err(BadName { what: $what, value: s.chars().take(80).collect() })
                }
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(s: &str) -> Result<Self, BadName> {
                Self::try_from(s.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(n: $name) -> Self {
                n.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label!(
    /// A run, as minted in its genesis record: not a Kubernetes UID, so a rebuilt hub replays to the same bits.
    RunId, "run name"
);
label!(
    /// A site, as minted in the genesis record.
    SiteId, "site name"
);
