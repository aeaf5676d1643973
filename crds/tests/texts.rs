//! Texts of programs in objects of a bounded size: cut by the bytes that they take as JSON, at a character, and told.
#![allow(clippy::unwrap_used)]
use coalition_crds::budget::{bytes, shorten, tail};
use rstest::rstest;

/// Bytes between the quotation marks.
fn written(text: &str) -> usize {
    bytes(&text) - 2
}

#[rstest]
#[case::plain("abcdefghijklmnopqrstuvwxyz")]
#[case::quotes("\"\\\n\r\t\u{8}\u{c}\"\\\n\r\t\u{8}\u{c}")]
#[case::control("\0\u{1}\u{1b}[0m\u{1f}\u{7f}\u{1b}")]
#[case::scripts("ß模型🙂Ω模型🙂Ωß")]
fn a_text_is_cut_by_what_it_takes(#[case] text: &str) {
    let all = written(text);
    for most in 0..all + 4 {
        let (begin, end) = (shorten(text, most), tail(text, most));
        assert!(text.ends_with(end) && written(end) <= most, "{most}: {end:?}");
        // As much as fits: the character before it takes at most six bytes.
        assert!(end == text || written(end) + 6 > most, "{most}: {end:?}");
        if most >= all {
            assert_eq!((begin.as_str(), end), (text, text));
        } else {
            let kept = begin.strip_suffix('…').unwrap();
            assert!(text.starts_with(kept) && written(&begin) <= most.max('…'.len_utf8()), "{most}: {begin:?}");
            assert!(written(&begin) + 6 > most, "{most}: {begin:?}");
        }
    }
}
