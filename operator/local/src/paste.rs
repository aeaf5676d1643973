//! Commands as people paste them into a shell: what is told as a way out must work as it stands. Must not know when to tell it.
use std::path::Path;

pub use coalition_data::shell::{path, quoted};
use coalition_protocol::SiteId;

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
    fn commands_are_whole() {
        let dir = Path::new("/srv/my runs/one");
        assert_eq!(command("resume", dir), "kubectl-coalition resume '/srv/my runs/one'");
        let south = "south".parse().unwrap();
        assert_eq!(fault_return(&south, dir), "kubectl-coalition fault return south '/srv/my runs/one'");
    }
}
