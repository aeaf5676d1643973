//! What the charts render, as files beside this one: a change of a template is seen as what it changes in a cluster.
//! `INSTA_UPDATE=always cargo test -p coalition-charts` writes them anew; read the difference before keeping it.

use anyhow::{Result, ensure};
use coalition_charts::{Helm, NAMESPACE, all_values, chart, root, values};
use serde_json::Value;
use std::fs;

#[test]
fn every_file_of_values_renders_what_was_seen_before() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    for name in all_values()? {
        let said = helm.template("coalition", NAMESPACE, &[&values(&name)])?;
        assert!(said.good, "ci/{name}-values.yaml is refused: {}", said.err);
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.as_str(), said.out);
        });
    }
    Ok(())
}

#[test]
fn helm_finds_no_fault_with_either_chart() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    let lint = |name: &str, extra: &[String]| -> Result<()> {
        let mut args = vec!["lint".to_owned(), "--strict".to_owned(), chart(name).display().to_string()];
        args.extend_from_slice(extra);
        let said = helm.run(&args)?;
        ensure!(said.good, "{name} {extra:?}: {}{}", said.out, said.err);
        Ok(())
    };
    lint("coalition-crds", &[])?;
    lint("coalition", &[])?;
    for name in all_values()? {
        lint("coalition", &["--values".to_owned(), values(&name).display().to_string()])?;
    }
    Ok(())
}

#[test]
fn charts_have_the_version_of_the_programs_they_install() -> Result<()> {
    for name in ["coalition-crds", "coalition"] {
        let text = fs::read_to_string(chart(name).join("Chart.yaml"))?;
        let about: Value = serde_saphyr::from_str(&text)?;
        assert_eq!(about["version"], env!("CARGO_PKG_VERSION"), "charts/{name}/Chart.yaml");
        assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"), "charts/{name}/Chart.yaml");
    }
    Ok(())
}

#[test]
fn helm_renders_for_the_kubernetes_that_is_tested() -> Result<()> {
    let pins = fs::read_to_string(root().join("e2e/tools/k8s/go.mod"))?;
    let line = format!("k8s.io/kubernetes v{}", coalition_charts::KUBERNETES);
    assert!(pins.contains(&line), "e2e/tools/k8s/go.mod has no `{line}`: change the constant with it");
    Ok(())
}

#[test]
fn the_chart_of_kinds_keeps_every_one_of_them() -> Result<()> {
    let Some(helm) = Helm::find_or_skip() else { return Ok(()) };
    let said = helm.template("coalition-crds", NAMESPACE, &[])?;
    assert!(said.good, "{}", said.err);
    let all = coalition_charts::objects(&said.out)?;
    let kinds: Vec<&Value> = all.iter().filter(|o| o["kind"] == "CustomResourceDefinition").collect();
    assert_eq!(kinds.len(), fs::read_dir(root().join("crds/yaml"))?.count());
    for kind in kinds {
        assert_eq!(kind["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{}", kind["metadata"]["name"]);
        // Rendered, it is the definition that is committed: no brace was taken for an action.
        let name = kind["spec"]["names"]["plural"].as_str().unwrap_or_default();
        let text = fs::read_to_string(root().join(format!("crds/yaml/{name}.yaml")))?;
        assert_eq!(kind["spec"], serde_saphyr::from_str::<Value>(&text)?["spec"], "{name}");
    }
    Ok(())
}
