//! Commands as people paste them into a shell: what is told as a way out must work as it stands. Must not know when to tell it.
use std::path::Path;

use coalition_protocol::SiteId;

/// A word as a shell reads it back: as it is, or in single quotes.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A path as a shell reads it back.
pub fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// `kubectl-coalition VERB DIR`, such as `kubectl-coalition resume /srv/run`.
pub fn command(verb: &str, dir: &Path) -> String {
    format!("kubectl-coalition {verb} {}", path(dir))
}

/// The command that starts a site which is down on request.
pub fn fault_return(site: &SiteId, dir: &Path) -> String {
    command(&format!("fault return {site}"), dir)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_reads_them() {
        for (word, shown) in
            [("/a/b-1.2", "/a/b-1.2"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$x", "'$x'"), ("", "''")]
        {
            assert_eq!(quoted(word), shown);
        }
    }

    #[test]
    fn commands_are_whole() {
        let dir = Path::new("/srv/my runs/one");
        assert_eq!(command("resume", dir), "kubectl-coalition resume '/srv/my runs/one'");
        let south = "south".parse().unwrap();
        assert_eq!(fault_return(&south, dir), "kubectl-coalition fault return south '/srv/my runs/one'");
    }
}
