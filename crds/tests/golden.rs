//! The files in `yaml/` are what the types say.
#![allow(clippy::unwrap_used, clippy::panic)]
use coalition_crds::generate;

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let mut expected = Vec::new();
    for (name, crd) in generate::all().unwrap() {
        let path = folder.join(format!("{name}.yaml"));
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let text = generate::yaml(&crd).unwrap();
        assert!(found == text, "{} is not what the types say; run `cargo xtask crds`", path.display());
        // What is written reads back as the same definition: no string was taken for a number or a boolean.
        assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&text).unwrap(), crd, "{name}");
        expected.push(format!("{name}.yaml"));
    }
    let mut files: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    expected.sort();
    assert_eq!(files, expected, "a file that no type stands behind");
}
