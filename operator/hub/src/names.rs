//! Names that follow from other names: of a run, and of what belongs to it. Pure.
use coalition_protocol::ids::BadName;
use coalition_protocol::{Digest, RunId, SiteId};

/// Characters of the UID's digest in a run's name: 40 bits, so two runs of one name never meet by chance.
const UNIQUE: usize = 10;
/// The longest DNS label.
const LABEL: usize = 63;

/// The identity of a run: the object's name and a digest of its UID, so that a run that was deleted and created again under
/// its name is another run. Minted once, in its first record; nothing reads it apart again.
pub fn run_id(name: &str, uid: &str) -> Result<RunId, BadName> {
    let digest = Digest::of(uid.as_bytes()).to_string();
    let unique = digest.get(..UNIQUE).unwrap_or_default();
    // A name of an object may hold dots, a label may not.
    let plain = name.replace('.', "-");
    let head = plain.get(..plain.len().min(LABEL - UNIQUE - 1)).unwrap_or_default().trim_end_matches('-');
    format!("{head}-{unique}").parse()
}

/// The name of what lets `site` read the history of `run`.
pub fn reader(run: &RunId, site: &SiteId) -> String {
    let name = format!("coalition-run-{run}-{site}");
    if name.len() <= LABEL {
        return name;
    }
    let digest = Digest::of(name.as_bytes()).to_string();
    format!("coalition-run-{}", digest.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_object_and_not_by_its_name_alone() {
        let one = run_id("rust-code", "a").unwrap();
        assert_eq!(one, run_id("rust-code", "a").unwrap());
        assert_ne!(one, run_id("rust-code", "b").unwrap());
        assert!(one.as_str().starts_with("rust-code-"), "{one}");
    }

    #[test]
    fn a_reader_is_named_by_run_and_site() {
        let (run, long) = (run_id("a", "u").unwrap(), run_id(&"a".repeat(60), "u").unwrap());
        let (north, south) = ("north".parse().unwrap(), "south".parse().unwrap());
        assert_eq!(reader(&run, &north), format!("coalition-run-{run}-north"));
        assert_ne!(reader(&long, &north), reader(&long, &south));
        assert!(reader(&long, &north).len() <= LABEL);
    }

    #[test]
    fn the_longest_names_make_labels() {
        for name in ["a".repeat(253), format!("{}.b", "a".repeat(51)), format!("{}-b", "a".repeat(51)), "a.b.c".into()]
        {
            let id = run_id(&name, "uid").unwrap();
            assert!(id.as_str().len() <= LABEL && !id.as_str().contains("--"), "{id}");
        }
    }
}
