//! Rights as single sentences: who may do what, to what, where. Read from rendered Roles, and compared with what scenarios say
//! that they used. Must not know which of them are right.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

/// One verb on one resource that a Role gives to an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `NAMESPACE:NAME` of the ServiceAccount.
    pub account: String,
    /// The Role, as [`crate::title`] calls it.
    pub role: String,
    /// Where it holds; none for the whole cluster.
    pub namespace: Option<String>,
    /// API group; empty for a path.
    pub group: String,
    /// Resource, with its subresource; or a path.
    pub resource: String,
    /// Verb.
    pub verb: String,
    /// The names it is bound to; none for all.
    pub names: BTreeSet<String>,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        write!(f, "{}: {} {}{group}", self.role, self.verb, self.resource)
    }
}

/// What was asked of an API server, as a scenario left it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// `NAMESPACE:NAME` of the ServiceAccount.
    pub account: String,
    /// Verb.
    pub verb: String,
    /// API group; empty for a path.
    pub group: String,
    /// Resource, with its subresource; empty for a path.
    pub resource: String,
    /// Namespace; none for all at once, and for what has none.
    pub namespace: Option<String>,
    /// The objects.
    pub names: BTreeSet<String>,
    /// The path, if it was no resource.
    pub path: Option<String>,
    /// The answer.
    pub code: u16,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.path.as_deref().unwrap_or(&self.resource);
        write!(f, "{}: {} {what}", self.account, self.verb)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        let place = self.namespace.as_deref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        write!(f, "{place} [{}]: {}", names.join(" "), self.code)
    }
}

impl Use {
    /// True if it was refused for want of a right, or by who judges what is written.
    pub fn is_refused(&self) -> bool {
        self.code == 403
    }

    /// True if the two differ in the answer alone.
    pub fn is_as(&self, other: &Self) -> bool {
        let what = |one: &Self| (one.account.clone(), one.verb.clone(), one.group.clone(), one.resource.clone());
        what(self) == what(other)
            && (&self.namespace, &self.path) == (&other.namespace, &other.path)
            && self.names.is_subset(&other.names)
    }

    /// The verbs that it needed: what a patch made new needed `create` too, which no request says.
    pub fn verbs(&self) -> Vec<&str> {
        if self.verb == "patch" && self.code == 201 { vec!["patch", "create"] } else { vec![&self.verb] }
    }

    /// What it used of `grants` for `verb`: of those that allow it the narrowest, so that a wide right that a narrow one stands
    /// in for is not taken for used. Nothing if none allows it.
    pub fn covered<'a>(&self, verb: &str, grants: &'a BTreeSet<Grant>) -> Vec<&'a Grant> {
        let width = |grant: &Grant| (grant.namespace.is_none(), grant.names.is_empty());
        let fit: Vec<&Grant> = grants.iter().filter(|grant| self.fits(verb, grant)).collect();
        let least = fit.iter().map(|grant| width(grant)).min();
        fit.into_iter().filter(|grant| Some(width(grant)) == least).collect()
    }

    fn fits(&self, verb: &str, grant: &Grant) -> bool {
        let named = || grant.names.is_empty() || self.names.iter().any(|name| grant.names.contains(name));
        self.account == grant.account
            && verb == grant.verb
            && self.group == grant.group
            && self.path.as_deref().unwrap_or(&self.resource) == grant.resource
            && (grant.namespace.is_none() || grant.namespace == self.namespace)
            && named()
    }
}

/// What one scenario left.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The namespace of the release.
    pub namespace: String,
    /// Its values.
    pub values: Value,
    /// What its identities asked.
    pub uses: Vec<Use>,
}

/// What the scenarios left in `folder`, by the name of the file. An error if there is nothing, or if one does not know.
pub fn scenarios(folder: &Path) -> Result<BTreeMap<String, Scenario>> {
    let mut out = BTreeMap::new();
    let none = || format!("no scenario left in {} what it used: `cargo xtask test --only suites`", folder.display());
    for entry in fs::read_dir(folder).with_context(none)? {
        let path = entry.with_context(none)?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        out.insert(name, serde_json::from_str(&text).with_context(|| format!("{} says: {text}", path.display()))?);
    }
    if out.is_empty() {
        bail!(none());
    }
    Ok(out)
}

/// Every right that these objects give to ServiceAccounts.
pub fn grants(objects: &[Value]) -> Result<BTreeSet<Grant>> {
    let mut out = BTreeSet::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for binding in objects.iter().filter(|object| object["subjects"].is_array()) {
        let mut title = binding["roleRef"].clone();
        title["metadata"] = binding["metadata"].clone();
        title["metadata"]["name"] = binding["roleRef"]["name"].clone();
        let title = crate::title(&title);
        let role = objects.iter().find(|object| crate::title(object) == title);
        let role = role.with_context(|| format!("{} leads to no role", crate::title(binding)))?;
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            let account = format!("{}:{}", text(&subject["namespace"]), text(&subject["name"]));
            for rule in role["rules"].as_array().into_iter().flatten() {
                let words = |at: &str| rule[at].as_array().into_iter().flatten().map(text).collect::<BTreeSet<_>>();
                let paths = words("nonResourceURLs").into_iter().map(|path| (String::new(), path));
                let resources = words("resources");
                let pairs = words("apiGroups").into_iter();
                let pairs = pairs.flat_map(|group| resources.iter().map(move |what| (group.clone(), what.clone())));
                for (group, resource) in paths.chain(pairs) {
                    out.extend(words("verbs").into_iter().map(|verb| Grant {
                        account: account.clone(),
                        role: title.clone(),
                        namespace: binding["metadata"]["namespace"].as_str().map(str::to_owned),
                        group: group.clone(),
                        resource: resource.clone(),
                        verb,
                        names: words("resourceNames"),
                    }));
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    fn objects() -> Vec<Value> {
        let role = |kind: &str, namespace: Option<&str>, rule: Value| {
            let metadata = json!({"name": "r", "namespace": namespace});
            let subjects = json!([{"kind": "ServiceAccount", "name": "me", "namespace": "home"}]);
            [
                json!({"kind": kind, "metadata": metadata, "rules": [rule]}),
                json!({"kind": format!("{kind}Binding"), "metadata": metadata, "subjects": subjects,
                    "roleRef": {"kind": kind, "name": "r"}}),
            ]
        };
        let wide = json!({"apiGroups": [""], "resources": ["pods", "leases"], "verbs": ["get", "list"]});
        let narrow = json!({"apiGroups": [""], "resources": ["leases"], "resourceNames": ["mine"], "verbs": ["get"]});
        [role("ClusterRole", None, wide), role("Role", Some("home"), narrow)].concat()
    }

    fn used(verb: &str, resource: &str, namespace: &str, name: &str) -> Use {
        let (account, names) = ("home:me".to_owned(), [name.to_owned()].into());
        let (group, resource, verb) = (String::new(), resource.to_owned(), verb.to_owned());
        Use { account, verb, group, resource, namespace: Some(namespace.to_owned()), names, path: None, code: 200 }
    }

    #[test]
    fn two_uses_are_alike_whatever_was_answered_if_the_one_names_no_more() {
        let refused = Use { code: 403, ..used("get", "leases", "home", "mine") };
        let both = Use { names: ["mine", "other"].map(str::to_owned).into(), ..used("get", "leases", "home", "mine") };
        assert!(refused.is_as(&both) && !both.is_as(&refused));
        assert!(!refused.is_as(&used("list", "leases", "home", "mine")));
        assert!(!refused.is_as(&used("get", "leases", "away", "mine")));
    }

    #[test]
    fn a_use_is_that_of_the_narrowest_right() {
        let grants = grants(&objects()).unwrap();
        assert_eq!(grants.len(), 5, "{grants:?}");
        let of = |one: Use| one.covered(&one.verb, &grants).iter().map(|grant| grant.role.clone()).collect::<Vec<_>>();
        assert_eq!(of(used("get", "leases", "home", "mine")), ["Role home/r"]);
        assert_eq!(of(used("get", "leases", "home", "other")), ["ClusterRole r"]);
        assert_eq!(of(used("get", "leases", "away", "mine")), ["ClusterRole r"]);
        assert_eq!(of(used("delete", "pods", "home", "x")), Vec::<String>::new());
        assert_eq!(
            of(Use { account: "home:you".to_owned(), ..used("get", "pods", "home", "x") }),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_patch_that_made_something_needed_to_create_it() {
        let patch = used("patch", "pods", "home", "x");
        assert_eq!(patch.verbs(), ["patch"]);
        assert_eq!(Use { code: 201, ..patch }.verbs(), ["patch", "create"]);
    }

    #[test]
    fn a_folder_without_scenarios_is_an_error_that_says_how_to_get_some() {
        let folder = tempfile::tempdir().unwrap();
        for at in [folder.path().to_owned(), folder.path().join("absent")] {
            let error = format!("{:#}", scenarios(&at).unwrap_err());
            assert!(error.contains("--only suites"), "{error}");
        }
        fs::write(folder.path().join("a.json"), r#"{"missing": "the log grew"}"#).unwrap();
        assert!(format!("{:#}", scenarios(folder.path()).unwrap_err()).contains("the log grew"));
    }
}
