//! Amounts of tokens: exact, and refused with a way out.
#![allow(clippy::unwrap_used)]
use coalition_spec::tokens::{MAX, approximate, format, parse};
use proptest::prelude::*;
use rstest::rstest;

#[rstest]
#[case("0", 0)]
#[case("8192", 8192)]
#[case("400k", 400_000)]
#[case("4M", 4_000_000)]
#[case("300G", 300_000_000_000)]
#[case("9007T", 9_007_000_000_000_000)]
#[case("9007199254740992", MAX)]
#[case("007k", 7000)]
fn reads(#[case] text: &str, #[case] want: u64) {
    assert_eq!(parse(text), Ok(want));
}

#[rstest]
#[case("")]
#[case("k")]
#[case("4K")]
#[case("4m")]
#[case("4 M")]
#[case(" 4M")]
#[case("4.5M")]
#[case("-4M")]
#[case("+4")]
#[case("1e6")]
#[case("4Mi")]
#[case("٤")]
#[case("4é")]
#[case("9008T")]
#[case("9007199254740993")]
#[case("99999999999999999999999T")]
fn refuses(#[case] text: &str) {
    let told = parse(text).unwrap_err();
    assert!(told.value.contains(text) && !told.bound.is_empty() && told.way_out.contains("400k"), "{told}");
}

#[test]
fn a_long_value_is_cut() {
    assert!(parse(&"9".repeat(10_000)).unwrap_err().to_string().len() < 400);
}

#[test]
fn for_people() {
    let told: Vec<String> = [0, 999, 1000, 1234, 12_345, 123_456, 4_194_304, 2_000_000_000].map(approximate).into();
    assert_eq!(told, ["0", "999", "1.00k", "1.23k", "12.3k", "123k", "4.19M", "2.00G"]);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(n in 0..=MAX) {
        prop_assert_eq!(parse(&format(n)), Ok(n));
    }

    #[test]
    fn nothing_panics(s in ".{0,40}") {
        if let Ok(n) = parse(&s) {
            prop_assert!(n <= MAX);
        }
    }
}
