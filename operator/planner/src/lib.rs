//! The decisions: what a run needs next, as pure functions.
