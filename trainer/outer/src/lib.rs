//! The outer step: vector layout, difference, weighted mean, Nesterov, digests (pure).
