//! The files in `yaml/` are what the types say, and so are the templates of the chart.
#![allow(clippy::unwrap_used, clippy::panic)]
use coalition_crds::generate;
use serde_json::Value;
use std::path::Path;

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [crate_folder.join("yaml"), crate_folder.join("../charts/coalition-crds/templates/crds")];
    let mut expected = Vec::new();
    for (name, crd) in generate::all().unwrap() {
        let texts = [generate::yaml(&crd).unwrap(), generate::template(&crd).unwrap()];
        for (folder, text) in folders.iter().zip(&texts) {
            let path = folder.join(format!("{name}.yaml"));
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(&found == text, "{} is not what the types say; run `cargo xtask crds`", path.display());
        }
        // What is written reads back as the same definition: no string was taken for a number or a boolean.
        assert_eq!(serde_saphyr::from_str::<Value>(&texts[0]).unwrap(), crd, "{name}");
        expected.push(format!("{name}.yaml"));
    }
    expected.sort();
    for folder in folders {
        let mut files: Vec<String> =
            std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files, expected, "a file in {} that no type stands behind", folder.display());
    }
}

#[test]
fn a_template_keeps_the_definition_and_prints_braces_as_they_are() {
    let crd = serde_json::json!({"metadata": {"name": "x"}, "spec": {"description": "a {{brace}}"}});
    let text = generate::template(&crd).unwrap();
    assert!(text.contains("helm.sh/resource-policy: keep"), "{text}");
    // A person who reads the template as helm does: the action prints its own opening.
    assert!(text.contains("a {{ \"{{\" }}brace}}"), "{text}");
}
