//! Names that follow from other names: of a run, and of what belongs to it. Pure.
use coalition_protocol::ids::BadName;
use coalition_protocol::{Digest, RunId};

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

#[cfg(test)]
mod tests {
    use crate::*;

    #[test]
    fn a_run_is_named_by_its_object_and_not_by_its_name_alone() {
        let one = run_id("rust-code", "a").unwrap();
        assert_eq!(one, run_id("rust-code", "a").unwrap());
        assert_ne!(one, run_id("rust-code", "b").unwrap());
        assert!(one.as_str().starts_with("rust-code-"), "{one}");
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
