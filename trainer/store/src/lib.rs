//! Object stores, the commit log of an incarnation, checkpoints as safetensors with a manifest.
