//! Documents: which files count, in which order, and on which side of the split. Knows nothing of tokens.
//!
//! A document is one file. It is named by the BLAKE3 digest of its bytes and by nothing else, so paths, folder order and
//! thread count change nothing: documents are written in rising order of digest (which also shuffles them), exact
//! duplicates are kept once, and what is held out depends on (seed, digest) alone.
//!
//! A file with a NUL byte in its first 8 KiB is *binary* and no document, unless it is asked for: pictures and programs are
//! no text to learn from, and a folder of sources often has some. No text in UTF-8 holds that byte (UTF-16 text does).
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use coalition_protocol::Digest;
use rayon::prelude::*;

use crate::error::DataError;
use crate::progress::{Progress, Stage};

/// Bytes of a file in which a NUL makes it binary: as many as git (8000) and grep (32 KiB) look at, roughly.
pub const PROBED: u64 = 8 << 10;

/// One file worth reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Its length in bytes, above 0.
    pub bytes: u64,
    /// Where it lies; of several equal files, the first by name.
    pub path: PathBuf,
}

/// All documents, sorted by digest, and what was passed by.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Documents to train on.
    pub train: Vec<Document>,
    /// Documents held out.
    pub held_out: Vec<Document>,
    /// Files equal to another one.
    pub duplicates: u64,
    /// Files without a byte.
    pub empty: u64,
    /// Files that are not text, where that is allowed.
    pub not_utf8: u64,
    /// Binary files, sorted.
    pub binary: Vec<PathBuf>,
}

/// What [`gather`] needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Documents must be UTF-8.
    pub text: bool,
    /// Those that are not are passed by instead of being an error.
    pub skip_not_utf8: bool,
    /// Share of documents held out, in [0, 1).
    pub held_out: f64,
    /// Seed of the split.
    pub seed: u64,
    /// Binary files are documents like others.
    pub binary: bool,
    /// Stop taking documents, in digest order, once they hold so many bytes.
    pub limit_bytes: Option<u64>,
}

enum Read1 {
    Document(Document),
    Empty,
    NotUtf8,
    Binary(PathBuf),
}

/// Reads every file once, in parallel on the current pool.
pub fn gather(files: Vec<PathBuf>, rules: Rules, progress: &dyn Progress) -> Result<Gathered, DataError> {
    progress.begin(Stage::Read, 0);
    let read: Vec<Read1> = files.into_par_iter().map(|f| read_once(f, rules, progress)).collect::<Result<_, _>>()?;
    let mut out = Gathered::default();
    let mut all = Vec::with_capacity(read.len());
    for r in read {
        match r {
            Read1::Document(d) => all.push(d),
            Read1::Empty => out.empty += 1,
            Read1::NotUtf8 => out.not_utf8 += 1,
            Read1::Binary(path) => out.binary.push(path),
        }
    }
    out.binary.sort_unstable();
    all.sort_unstable_by(|a, b| (a.digest, &a.path).cmp(&(b.digest, &b.path)));
    let before = all.len();
    all.dedup_by(|later, first| later.digest == first.digest);
    out.duplicates = (before - all.len()) as u64;
    if let Some(limit) = rules.limit_bytes {
        let mut sum = 0;
        let enough = all.iter().position(|d| {
            sum += d.bytes;
            sum >= limit
        });
        if let Some(last) = enough {
            all.truncate(last + 1);
        }
    }
    split(all, rules, &mut out)?;
    Ok(out)
}

/// Each document falls by its own draw. If all fell on one side, the one with the nearest draw changes sides.
fn split(all: Vec<Document>, rules: Rules, out: &mut Gathered) -> Result<(), DataError> {
    if rules.held_out == 0.0 {
        out.train = all;
        return Ok(());
    }
    if all.len() < 2 {
        if all.is_empty() {
            return Ok(());
        }
        return Err(DataError::CannotHoldOut { share: rules.held_out, documents: all.len() as u64 });
    }
    let draws: Vec<f64> = all.iter().map(|d| draw(rules.seed, d.digest)).collect();
    let by_draw = |a: &usize, b: &usize| draws[*a].total_cmp(&draws[*b]);
    let lowest = (0..all.len()).min_by(by_draw);
    let highest = (0..all.len()).max_by(by_draw);
    for (n, d) in all.into_iter().enumerate() {
        let held = draws[n] < rules.held_out;
        if (held || Some(n) == lowest) && Some(n) != highest {
            out.held_out.push(d);
        } else {
            out.train.push(d);
        }
    }
    Ok(())
}

/// A number in [0, 1) that belongs to (seed, document): 53 bits of BLAKE3(seed LE, digest).
fn draw(seed: u64, digest: Digest) -> f64 {
    let mut bytes = seed.to_le_bytes().to_vec();
    bytes.extend(digest.0);
    let hash = Digest::of(&bytes).0;
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

fn read_once(path: PathBuf, rules: Rules, progress: &dyn Progress) -> Result<Read1, DataError> {
    let unreadable = |e| DataError::reading(&path, e);
    let mut file = File::open(&path).map_err(unreadable)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    let (mut bytes, mut kept) = (0_u64, 0);
    loop {
        let n = file.read(&mut buffer[kept..]).map_err(unreadable)?;
        let head = n.min(PROBED.saturating_sub(bytes) as usize);
        if !rules.binary && buffer[kept..kept + head].contains(&0) {
            return Ok(Read1::Binary(path));
        }
        hasher.update(&buffer[kept..kept + n]);
        bytes += n as u64;
        progress.advance(n as u64);
        if rules.text {
            let have = kept + n;
            let wrong = match std::str::from_utf8(&buffer[..have]) {
                Ok(_) => {
                    kept = 0;
                    None
                }
                // A character cut by the end of the buffer: at most 3 bytes to keep, unless the file ends here.
                Err(e) if e.error_len().is_none() && n > 0 => {
                    buffer.copy_within(e.valid_up_to()..have, 0);
                    kept = have - e.valid_up_to();
                    None
                }
                Err(e) => Some(bytes - (have - e.valid_up_to()) as u64),
            };
            if let Some(at) = wrong {
                return if rules.skip_not_utf8 { Ok(Read1::NotUtf8) } else { Err(DataError::NotUtf8 { path, at }) };
            }
        }
        if n == 0 {
            break;
        }
    }
    if bytes == 0 {
        return Ok(Read1::Empty);
    }
    Ok(Read1::Document(Document { digest: hasher.finalize().into(), bytes, path }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::progress::Silent;

    fn rules() -> Rules {
        Rules { text: false, skip_not_utf8: false, held_out: 0.3, seed: 7, binary: false, limit_bytes: None }
    }

    #[test]
    fn names_order_and_duplicates_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for n in 0..40 {
            let p = dir.path().join(format!("f{n}"));
            fs::write(&p, format!("document {}", n % 30)).unwrap();
            paths.push(p);
        }
        let one = gather(paths.clone(), rules(), &Silent).unwrap();
        paths.reverse();
        let two = gather(paths, rules(), &Silent).unwrap();
        assert_eq!(one.train, two.train);
        assert_eq!(one.held_out, two.held_out);
        assert_eq!(one.duplicates, 10);
        assert_eq!(one.train.len() + one.held_out.len(), 30);
        assert!((3..=16).contains(&one.held_out.len()), "{} of 30 at a share of 0.3", one.held_out.len());
    }

    #[test]
    fn both_sides_of_a_split_hold_something() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<_> = ["a", "b"].map(|n| dir.path().join(n)).into();
        for p in &paths {
            fs::write(p, p.display().to_string()).unwrap();
        }
        for share in [0.000_001, 0.999_999] {
            let g = gather(paths.clone(), Rules { held_out: share, ..rules() }, &Silent).unwrap();
            assert_eq!((g.train.len(), g.held_out.len()), (1, 1), "share {share}");
        }
        let e = gather(paths[..1].to_vec(), rules(), &Silent).unwrap_err();
        assert!(matches!(e, DataError::CannotHoldOut { .. }), "{e}");
        assert!(e.to_string().contains("--held-out 0") && e.to_string().contains("split -C"), "{e}");
    }

    #[test]
    fn a_nul_near_the_start_makes_a_file_binary() {
        let dir = tempfile::tempdir().unwrap();
        let at = |n: usize| {
            let path = dir.path().join(n.to_string());
            let mut bytes = vec![b'a'; 20_000];
            bytes[n] = 0;
            fs::write(&path, &bytes).unwrap();
            path
        };
        let paths = vec![at(8191), at(0), at(8192)];
        for text in [false, true] {
            let rules = Rules { text, held_out: 0.0, ..rules() };
            let g = gather(paths.clone(), rules, &Silent).unwrap();
            assert_eq!(g.binary, [paths[1].clone(), paths[0].clone()]);
            assert_eq!(g.train.len(), 1);
            let g = gather(paths.clone(), Rules { binary: true, ..rules }, &Silent).unwrap();
            assert_eq!((g.binary.len(), g.train.len()), (0, 3));
        }
    }

    #[test]
    fn what_is_not_text_is_found_across_buffers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let strict = Rules { text: true, held_out: 0.0, ..rules() };
        for good in [65_535_usize, 65_534, 65_536, 70_000] {
            let mut bytes = vec![b'a'; good];
            bytes.extend("€".as_bytes());
            fs::write(&path, &bytes).unwrap();
            assert_eq!(gather(vec![path.clone()], strict, &Silent).unwrap().train.len(), 1, "{good}");
            bytes.extend([0xE2, 0x82]);
            fs::write(&path, &bytes).unwrap();
            match gather(vec![path.clone()], strict, &Silent).unwrap_err() {
                DataError::NotUtf8 { at, .. } => assert_eq!(at, good as u64 + 3),
                e => panic!("{e}"),
            }
            let g = gather(vec![path.clone()], Rules { skip_not_utf8: true, ..strict }, &Silent).unwrap();
            assert_eq!((g.train.len(), g.not_utf8), (0, 1));
        }
    }
}
