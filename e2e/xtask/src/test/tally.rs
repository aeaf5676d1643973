//! The count over all runners: what passed, failed, was skipped, and how long the slowest took.

use std::fmt;

/// Counts and names, summed over stages.
#[derive(Default)]
pub struct Tally {
    /// Tests and checks that passed.
    pub passed: u32,
    /// Tests and checks that failed.
    pub failed: u32,
    /// What was skipped, and why.
    pub skips: Vec<String>,
    /// What failed.
    pub failures: Vec<String>,
    times: Vec<(f64, String)>,
}

impl Tally {
    /// One more passed check.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// One more failure, called `name`.
    pub fn fail(&mut self, name: &str) {
        self.failed += 1;
        self.failures.push(name.to_owned());
    }

    /// One more skip with its reason.
    pub fn skip(&mut self, what: &str) {
        self.skips.push(what.to_owned());
    }

    /// Remembers how long a test took.
    pub fn time(&mut self, seconds: f64, name: &str) {
        self.times.push((seconds, name.to_owned()));
    }

    /// The `n` slowest tests, slowest first.
    pub fn slowest(&self, n: usize) -> Vec<(f64, &str)> {
        let mut all: Vec<(f64, &str)> = self.times.iter().map(|(s, name)| (*s, name.as_str())).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.truncate(n);
        all
    }

    /// Adds the result lines of `cargo test` (`test result: ok. 3 passed; 0 failed; 1 ignored; …`). Returns how many
    /// tests ran.
    pub fn add_libtest(&mut self, output: &str, what: &str) -> u32 {
        let before = self.passed + self.failed;
        for line in output.lines().filter_map(|l| l.trim().strip_prefix("test result: ")) {
            let count = |word: &str| -> u32 {
                line.split([';', '.'])
                    .filter_map(|part| part.trim().strip_suffix(word))
                    .find_map(|n| n.trim().parse().ok())
                    .unwrap_or(0)
            };
            self.passed += count("passed");
            for _ in 0..count("failed") {
                self.fail(what);
            }
            for _ in 0..count("ignored") {
                self.skip(&format!("{what}: ignored"));
            }
        }
        self.passed + self.failed - before
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skips.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_lines_are_summed() {
        let mut tally = Tally::default();
        let text = "running 4 tests\n\
                    test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        assert_eq!(tally.add_libtest(text, "doctests"), 6);
        assert_eq!(tally.to_string(), "4 passed, 2 failed, 1 skipped");
        let none = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(tally.add_libtest(none, "doctests"), 0, "a runner that ran nothing");
    }

    #[test]
    fn the_slowest_come_first() {
        let mut tally = Tally::default();
        for (seconds, name) in [(1.0, "b"), (3.0, "a"), (2.0, "c")] {
            tally.time(seconds, name);
        }
        assert_eq!(tally.slowest(2), [(3.0, "a"), (2.0, "c")]);
    }
}
