//! The known name that a mistyped one most likely means.

/// The name within two edits of `word`, or equal but for case and separators; none if two are as near.
pub(crate) fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    if let Some(same) = names.iter().find(|n| plain(n) == plain(word)) {
        return Some(same);
    }
    let most = if word.chars().count() > 4 { 2 } else { 1 };
    let mut best: Vec<(usize, &str)> = names.iter().map(|n| (distance(word, n), *n)).filter(|d| d.0 <= most).collect();
    best.sort_unstable();
    match best.as_slice() {
        [(_, only)] => Some(only),
        [first, second, ..] if first.0 < second.0 => Some(first.1),
        _ => None,
    }
}

/// Insertions, deletions and replacements that make `b` of `a` (Levenshtein 1966), one row of the table at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // Input may be long; names are not: beyond so many letters nothing is near.
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant() {
        let names = ["batchTokens", "tokens", "seed", "schedule"];
        assert_eq!(nearest("batch_tokens", &names), Some("batchTokens"));
        assert_eq!(nearest("token", &names), Some("tokens"));
        assert_eq!(nearest("shedule", &names), Some("schedule"));
        assert_eq!(nearest("learningRate", &names), None);
        assert_eq!(nearest("mn", &["min", "mon"]), None, "two are as near");
    }
}
