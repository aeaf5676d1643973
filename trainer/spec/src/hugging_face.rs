//! Reading and writing a Hugging Face `config.json`.
