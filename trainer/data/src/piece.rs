//! How a large document is read: in pieces that fit into memory, cut at places that depend on the document alone. Knows
//! nothing of tokens.
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::documents::Document;
use crate::error::DataError;

/// Bytes of one piece of work, nominally. Large enough that a piece amortises opening its file, small enough that the
/// pieces in flight (a few a thread) stay within tens of MiB.
pub const PIECE: u64 = 1 << 20;
/// How far before its nominal end a piece of text looks for a line end to stop at.
const LOOK_BACK: u64 = 1 << 16;

/// A part of a document, small enough to hold in memory.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The document.
    pub document: &'a Document,
    /// Which piece of it, from 0.
    pub number: u64,
}

impl<'a> Piece<'a> {
    /// All pieces of `documents`, in order.
    pub fn of(documents: &'a [Document]) -> impl Iterator<Item = Self> {
        documents
            .iter()
            .flat_map(|document| (0..document.bytes.div_ceil(PIECE)).map(move |number| Self { document, number }))
    }

    /// True for a document's first piece.
    pub const fn is_first(&self) -> bool {
        self.number == 0
    }

    /// True for a document's last piece.
    pub const fn is_last(&self) -> bool {
        self.number + 1 == self.document.bytes.div_ceil(PIECE)
    }

    /// Its bytes. Text is cut after a line end where one is near, else between two characters, so that where it is cut
    /// depends on the document alone. Whoever joins the pieces compares them with the document's digest.
    pub fn read(&self, text: bool) -> Result<Vec<u8>, DataError> {
        let path = &self.document.path;
        let unreadable = |e| DataError::reading(path, e);
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.len() != self.document.bytes {
            return Err(DataError::Changed { path: path.clone() });
        }
        let start = self.cut(&file, self.number, text).map_err(unreadable)?;
        let end = self.cut(&file, self.number + 1, text).map_err(unreadable)?;
        let mut bytes = vec![0; end.saturating_sub(start) as usize];
        file.read_exact_at(&mut bytes, start).map_err(unreadable)?;
        Ok(bytes)
    }

    /// Where piece `number` begins.
    fn cut(&self, file: &File, number: u64, text: bool) -> std::io::Result<u64> {
        let nominal = number * PIECE;
        if number == 0 || nominal >= self.document.bytes || !text {
            return Ok(nominal.min(self.document.bytes));
        }
        let from = nominal - LOOK_BACK;
        let mut window = vec![0; LOOK_BACK as usize + 1];
        file.read_exact_at(&mut window, from)?;
        if let Some(n) = window[..LOOK_BACK as usize].iter().rposition(|b| *b == b'\n') {
            return Ok(from + n as u64 + 1);
        }
        // Bytes 0b10xxxxxx continue a character; a character has at most three of them.
        let back = window.iter().rev().take(4).position(|b| b & 0xC0 != 0x80).unwrap_or(0);
        Ok(nominal - back as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::documents::{Rules, gather};
    use crate::progress::Silent;

    #[test]
    fn pieces_of_text_join_to_the_document_and_are_text() {
        let dir = tempfile::tempdir().unwrap();
        let rules =
            Rules { text: true, skip_not_utf8: false, held_out: 0.0, seed: 7, binary: false, limit_bytes: None };
        // No line end anywhere near the cuts in the first, three-byte characters across them in both.
        for (name, text) in [("euro", "€".repeat(1_000_003)), ("lines", "äöü\n".repeat(500_001))] {
            let path = dir.path().join(name);
            fs::write(&path, &text).unwrap();
            let g = gather(vec![path], rules, &Silent).unwrap();
            let mut joined = Vec::new();
            for piece in Piece::of(&g.train) {
                let bytes = piece.read(true).unwrap();
                std::str::from_utf8(&bytes).unwrap();
                assert!(bytes.len() as u64 <= PIECE + LOOK_BACK);
                joined.extend(bytes);
            }
            assert!(Piece::of(&g.train).count() > 1);
            assert!(joined == text.as_bytes(), "{name}");
        }
    }
}
