//! File name patterns for choosing sources. Knows nothing of the file system: text against text.
//!
//! `*` stands for any run of characters but `/`, `**` for any run at all, `?` for one character but `/`. A pattern without
//! `/` is held against the file's name, one with `/` against its path below the folder that was named.

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<char>,
    whole_path: bool,
}

impl Pattern {
    /// Takes a pattern as written.
    pub fn new(text: &str) -> Self {
        let trimmed = text.trim_start_matches("./");
        Self { text: trimmed.chars().collect(), whole_path: trimmed.contains('/') }
    }

    /// True if `relative` (with `/` between its parts) is meant.
    pub fn matches(&self, relative: &str) -> bool {
        let against = if self.whole_path { relative } else { relative.rsplit('/').next().unwrap_or(relative) };
        let against: Vec<char> = against.chars().collect();
        matches(&self.text, &against)
    }
}

/// Row by row over the pattern, so the cost is its length times the text's, with no backtracking to blow up.
fn matches(pattern: &[char], text: &[char]) -> bool {
    // here[n]: the pattern read so far matches the first n characters.
    let mut here = vec![false; text.len() + 1];
    here[0] = true;
    let mut rest = pattern;
    while let Some((first, tail)) = rest.split_first() {
        let mut next = vec![false; text.len() + 1];
        match first {
            '*' => {
                let deep = tail.first() == Some(&'*');
                rest = if deep { &tail[1..] } else { tail };
                let mut open = false;
                for n in 0..=text.len() {
                    open = here[n] || (open && n > 0 && (deep || text[n - 1] != '/'));
                    next[n] = open;
                }
                // `**/` also stands for no folder at all.
                if deep && rest.first() == Some(&'/') {
                    let mut skipped = next.clone();
                    for n in 0..text.len() {
                        skipped[n + 1] = next[n] && text[n] == '/';
                    }
                    skipped[0] = false;
                    for (to, from) in skipped.iter_mut().zip(&here) {
                        *to |= *from;
                    }
                    next = skipped;
                    rest = &rest[1..];
                }
            }
            one => {
                for n in 0..text.len() {
                    let same = if *one == '?' { text[n] != '/' } else { *one == text[n] };
                    next[n + 1] = here[n] && same;
                }
                rest = tail;
            }
        }
        here = next;
    }
    here[text.len()]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*.rs", "lib.rs", true)]
    #[case("*.rs", "deep/er/lib.rs", true)]
    #[case("*.rs", "lib.rs.bak", false)]
    #[case("lib.??", "src/lib.rs", true)]
    #[case("src/*.rs", "src/lib.rs", true)]
    #[case("src/*.rs", "src/a/lib.rs", false)]
    #[case("src/**/*.rs", "src/a/b/lib.rs", true)]
    #[case("src/**/*.rs", "src/lib.rs", true)]
    #[case("**/tests/*", "a/tests/x", true)]
    #[case("**/tests/*", "tests/x", true)]
    #[case("**/tests/*", "contests/x", false)]
    #[case("**", "a/b/c", true)]
    #[case("*", "", true)]
    #[case("", "x", false)]
    #[case("./a/*", "a/x", true)]
    #[case("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false)]
    fn table(#[case] pattern: &str, #[case] path: &str, #[case] expected: bool) {
        assert_eq!(Pattern::new(pattern).matches(path), expected, "{pattern} against {path}");
    }
}
