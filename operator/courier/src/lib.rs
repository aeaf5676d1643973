//! Moves contributions and checkpoints between sites: fetch, verify, hold, serve.
