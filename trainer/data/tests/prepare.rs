//! Preparing and reading back: the same bytes whatever the machine does, and nothing half-written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use coalition_data::dataset::Side;
use coalition_data::prepare::{PrepareOptions, TokenizerChoice, prepare};
use coalition_data::{DataError, Dataset, HeldOut, Samples, Silent, Verify};
use coalition_protocol::IntervalSet;
use coalition_protocol::bits::BatchHash;
use rstest::rstest;

/// 60 small texts, two of them equal, one large enough for several pieces, one empty.
fn corpus(root: &Path, reverse: bool) {
    let mut files: Vec<(String, String)> = (0..60)
        .map(|n| {
            let lines: Vec<String> =
                (0..200).map(|k| format!("let value_{} = {};\n", (n * 7 + k) % 31, k * n)).collect();
            let body = lines.concat();
            (format!("d{}/f{n}.rs", n % 5), body)
        })
        .collect();
    files.push(("copy.rs".to_owned(), files[3].1.clone()));
    files.push(("empty.rs".to_owned(), String::new()));
    files.push(("large.rs".to_owned(), "fn größer() -> u32 { 7 }\n".repeat(44_000)));
    files.push(("other.txt".to_owned(), "not wanted".to_owned()));
    if reverse {
        files.reverse();
        for f in &mut files {
            f.0 = format!("renamed/{}", f.0);
        }
    }
    for (name, body) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }
}

fn options(source: &Path, out: &Path, tokenizer: TokenizerChoice, threads: usize) -> PrepareOptions {
    PrepareOptions {
        include: vec!["*.rs".to_owned()],
        tokenizer,
        held_out_share: 0.2,
        tokens_per_shard: 100_000,
        threads,
        ..PrepareOptions::new(vec![source.to_owned()], out.to_owned())
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .collect()
}

#[rstest]
#[case::bytes(TokenizerChoice::Bytes)]
#[case::bpe(TokenizerChoice::TrainBpe(400))]
fn threads_names_and_order_change_no_byte(#[case] tokenizer: TokenizerChoice) {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    corpus(&a, false);
    corpus(&b, true);
    let mut results = Vec::new();
    for (n, (source, threads)) in [(&a, 1), (&a, 3), (&b, 2)].into_iter().enumerate() {
        let out = dir.path().join(format!("out{n}"));
        prepare(&options(source, &out, tokenizer.clone(), threads), &Silent).unwrap();
        results.push(contents(&out));
    }
    assert_eq!(results[0], results[1], "thread count");
    assert_eq!(results[0], results[2], "names and folder order");
    assert!(results[0].len() > 5, "several shards: {:?}", results[0].keys());
}

#[rstest]
#[case::bytes(TokenizerChoice::Bytes)]
#[case::bpe(TokenizerChoice::TrainBpe(400))]
fn every_byte_of_every_document_is_there_once(#[case] tokenizer: TokenizerChoice) {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("a"), dir.path().join("out"));
    corpus(&source, false);
    let index = prepare(&options(&source, &out, tokenizer, 2), &Silent).unwrap();
    assert_eq!((index.passed_by.duplicates, index.passed_by.empty, index.passed_by.filtered), (1, 1, 1));
    let data = Dataset::open(&out, Verify::All).unwrap();
    assert_eq!(data.index(), &index);
    let t = data.tokenizer().unwrap();

    // The oracle reads the sources by itself.
    let mut expected: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for folder in ["", "d0", "d1", "d2", "d3", "d4"] {
        for e in fs::read_dir(source.join(folder)).unwrap() {
            let p = e.unwrap().path();
            if p.extension().is_some_and(|x| x == "rs") && fs::metadata(&p).unwrap().len() > 0 {
                expected.insert(fs::read(&p).unwrap(), 1);
            }
        }
    }
    let mut found: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for (side, split) in [(Side::Train, &index.train), (Side::HeldOut, &index.held_out)] {
        let mut tokens = Vec::new();
        data.read(side, 0, data.tokens(side) as usize, &mut tokens).unwrap();
        assert_eq!(t.bytes_of(&tokens), split.bytes);
        let documents: Vec<&[u32]> = tokens.split_inclusive(|x| *x == t.eos()).collect();
        assert_eq!(documents.len() as u64, split.documents);
        for d in documents {
            assert_eq!((d[0], d[d.len() - 1]), (t.bos(), t.eos()));
            *found.entry(t.decode(d)).or_default() += 1;
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn a_pass_feeds_every_window_once_and_the_audit_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("a"), dir.path().join("out"));
    corpus(&source, false);
    prepare(&options(&source, &out, TokenizerChoice::Bytes, 2), &Silent).unwrap();
    let data = Arc::new(Dataset::open(&out, Verify::Small).unwrap());
    let samples = Samples::new(data.clone(), 3000, 5).unwrap();
    let n = samples.per_pass();
    assert_eq!(n, (data.tokens(Side::Train) - 1) / 3000);
    for pass in 0..2 {
        let mut windows: Vec<u64> = (pass * n..(pass + 1) * n).map(|p| samples.place(p).unwrap().window).collect();
        assert_ne!(windows, (0..n).collect::<Vec<_>>());
        windows.sort_unstable();
        assert_eq!(windows, (0..n).collect::<Vec<_>>());
    }
    // Against one flat read of the split.
    let mut flat = Vec::new();
    data.read(Side::Train, 0, data.tokens(Side::Train) as usize, &mut flat).unwrap();
    let mut sum = BatchHash::default();
    for p in (5..9).chain(20..21) {
        let w = samples.place(p).unwrap().window as usize;
        assert_eq!(samples.get(p).unwrap(), flat[w * 3000..w * 3000 + 3001]);
        sum = sum.plus(BatchHash::of(p, &flat[w * 3000..w * 3000 + 3001]));
    }
    let set = IntervalSet::span(5, 9).union(&IntervalSet::span(20, 21));
    assert_eq!(samples.batch_hash(&set).unwrap(), sum);
    assert_ne!(samples.batch_hash(&IntervalSet::span(5, 9)).unwrap(), sum);

    let held = HeldOut::new(data.clone(), 100, 17).unwrap();
    assert_eq!(held.len(), 17);
    let (tokens, bytes) = held.get(16).unwrap();
    assert_eq!(tokens.len(), 101);
    assert_eq!(bytes, tokens[1..].iter().filter(|t| **t < 256).count() as u64);
    assert!(held.get(17).is_err());
}

#[test]
fn special_words_in_a_document_stay_text() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("a"), dir.path().join("out"));
    fs::create_dir(&source).unwrap();
    let body = "a <|eos|> b <|bos|> c\n".repeat(50);
    fs::write(source.join("x.rs"), &body).unwrap();
    let o = PrepareOptions { held_out_share: 0.0, ..options(&source, &out, TokenizerChoice::TrainBpe(300), 1) };
    let index = prepare(&o, &Silent).unwrap();
    assert_eq!((index.train.documents, index.train.bytes), (1, body.len() as u64));
    // The same when the tokenizer comes from a file.
    let again = dir.path().join("again");
    let (path, bos, eos) = (out.join("tokenizer.json"), "<|bos|>".to_owned(), "<|eos|>".to_owned());
    let o = PrepareOptions { out: again, tokenizer: TokenizerChoice::File { path, bos, eos }, ..o };
    assert_eq!(prepare(&o, &Silent).unwrap().train, index.train);
}

#[test]
fn a_limit_takes_the_same_documents_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("a");
    corpus(&source, false);
    let run = |name: &str| {
        let o = options(&source, &dir.path().join(name), TokenizerChoice::Bytes, 2);
        prepare(&PrepareOptions { limit_bytes: Some(20_000), ..o }, &Silent).unwrap()
    };
    let (one, two) = (run("one"), run("two"));
    assert_eq!(one, two);
    let bytes = one.train.bytes + one.held_out.bytes;
    assert!(bytes >= 20_000, "{bytes}");
    assert!(one.train.documents + one.held_out.documents < 10);
}

#[test]
fn what_cannot_be_used_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("a");
    let out = dir.path().join("out");
    fs::create_dir(&source).unwrap();
    let o = options(&source, &out, TokenizerChoice::Bytes, 1);
    let e = prepare(&o, &Silent).unwrap_err();
    assert!(matches!(e, DataError::NoDocuments { .. }) && e.exit_code() == 65, "{e}");
    fs::write(source.join("x.rs"), [0xFF, 0xFE]).unwrap();
    fs::write(source.join("y.rs"), "text").unwrap();
    assert!(prepare(&PrepareOptions { out: dir.path().join("raw"), ..o.clone() }, &Silent).is_ok(), "bytes take it");
    let bpe = PrepareOptions { tokenizer: TokenizerChoice::TrainBpe(300), held_out_share: 0.0, ..o.clone() };
    let e = prepare(&bpe, &Silent).unwrap_err();
    assert!(matches!(e, DataError::NotUtf8 { at: 0, .. }) && e.to_string().contains("x.rs"), "{e}");
    let index = prepare(&PrepareOptions { skip_not_utf8: true, ..bpe.clone() }, &Silent).unwrap();
    assert_eq!((index.train.documents, index.passed_by.not_utf8), (1, 1));
    for (bad, part) in [
        (PrepareOptions { tokenizer: TokenizerChoice::TrainBpe(257), ..o.clone() }, "258"),
        (PrepareOptions { held_out_share: 1.0, ..o.clone() }, "below 1"),
        (PrepareOptions { held_out_share: f64::NAN, ..o.clone() }, "below 1"),
        (PrepareOptions { tokens_per_shard: 0, ..o.clone() }, "1024"),
        (PrepareOptions { sources: vec![], ..o.clone() }, "at least one"),
        (PrepareOptions { seed: u64::MAX, ..o.clone() }, "2^53"),
    ] {
        let e = prepare(&bad, &Silent).unwrap_err();
        assert!(e.exit_code() == 64 && e.to_string().contains(part), "{e}");
    }
    let e = prepare(&o, &Silent).unwrap_err();
    assert!(matches!(e, DataError::Taken { .. }), "{e}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().contains("partial")), "{left:?}");
}
