//! Amounts of tokens as people write them: `300G`, `400k`, `8192`. Decimal suffixes, exact integers, no rounding.

use crate::Problem;

/// The largest amount: 2^53, above which a JSON number is no longer exact (RFC 8785 carries numbers as f64).
pub const MAX: u64 = 1 << 53;

/// Suffixes of the API and their powers of 1000; the same ones, with the same meaning, as in a Kubernetes quantity.
const SUFFIXES: [(char, u64); 4] = [('k', 1_000), ('M', 1_000_000), ('G', 1_000_000_000), ('T', 1_000_000_000_000)];

/// Reads an amount of tokens.
///
/// The problem's field is empty: the caller knows it ([`Problem::under`]).
///
/// ```
/// use coalition_spec::tokens;
///
/// assert_eq!(tokens::parse("400k"), Ok(400_000));
/// let problem = tokens::parse("9008T").unwrap_err().under("spec.training.tokens");
/// assert!(problem.to_string().starts_with("spec.training.tokens: \"9008T\": must be at most 9007T"));
/// ```
pub fn parse(text: &str) -> Result<u64, Problem> {
    let wrong = |bound: &str| {
        Problem::new(
            "",
            format!("{text:?}"),
            bound,
            "Write whole tokens with one of the suffixes k, M, G, T (powers of 1000), such as 400k, 4M, 300G or 8192.",
        )
    };
    let (digits, scale) = match text.chars().last().and_then(|c| SUFFIXES.iter().find(|(s, _)| *s == c)) {
        Some((s, scale)) => (&text[..text.len() - s.len_utf8()], *scale),
        None => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("is not an amount of tokens"));
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .filter(|n| *n <= MAX)
        .ok_or_else(|| wrong("must be at most 9007T (2^53 tokens)"))
}

/// Writes an amount so that [`parse`] reads the same number back: the largest suffix that leaves no fraction.
///
/// ```
/// use coalition_spec::tokens;
///
/// assert_eq!((tokens::format(1_500_000), tokens::approximate(1_234_567)), ("1500k".to_owned(), "1.23M".to_owned()));
/// ```
pub fn format(tokens: u64) -> String {
    for (suffix, scale) in SUFFIXES.iter().rev() {
        if tokens != 0 && tokens.is_multiple_of(*scale) {
            return format!("{}{suffix}", tokens / scale);
        }
    }
    tokens.to_string()
}

/// Writes an amount for people, with three significant digits: `1.23M`.
pub fn approximate(tokens: u64) -> String {
    for (suffix, scale) in SUFFIXES.iter().rev() {
        if tokens >= *scale {
            let x = tokens as f64 / *scale as f64;
            let decimals = usize::from(x < 100.0) + usize::from(x < 10.0);
            return format!("{x:.decimals$}{suffix}");
        }
    }
    tokens.to_string()
}
