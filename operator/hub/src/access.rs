//! Who may read a run's history: each member's ServiceAccount that one object, and nothing else. Must not know what it reads.
use coalition_crds::names::{GROUP, RUN_LABEL, SITE_LABEL, site_namespace};
use coalition_protocol::{RunId, SiteId};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};

use crate::apply::MANAGER;
use crate::names;

/// The ServiceAccount of every site at the hub, in the site's namespace there.
pub const ACCOUNT: &str = "site";

/// The Role and its RoleBinding, in the namespace of the run.
pub fn objects(run: &RunId, site: &SiteId, owner: Option<OwnerReference>) -> (Role, RoleBinding) {
    let name = names::reader(run, site);
    let text = |s: &str| s.to_owned();
    let labels = [(text(RUN_LABEL), run.to_string()), (text(SITE_LABEL), site.to_string())];
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        labels: Some(labels.into()),
        owner_references: owner.map(|o| vec![o]),
        ..ObjectMeta::default()
    };
    let rule = PolicyRule {
        api_groups: Some(vec![text(GROUP)]),
        resources: Some(vec![text("runhistories")]),
        resource_names: Some(vec![run.to_string()]),
        verbs: ["list", "watch"].map(text).to_vec(),
        ..PolicyRule::default()
    };
    let account = Subject {
        kind: text("ServiceAccount"),
        name: text(ACCOUNT),
        namespace: Some(site_namespace(site.as_str())),
        api_group: None,
    };
    let role_ref = RoleRef { api_group: text("rbac.authorization.k8s.io"), kind: text("Role"), name };
    (
        Role { metadata: metadata.clone(), rules: Some(vec![rule]) },
        RoleBinding { metadata, role_ref, subjects: Some(vec![account]) },
    )
}

/// Writes both. Written again, nothing changes.
pub async fn grant(
    client: &Client,
    namespace: &str,
    run: &RunId,
    site: &SiteId,
    owner: Option<OwnerReference>,
) -> Result<(), (String, kube::Error)> {
    let (role, binding) = objects(run, site, owner);
    let name = names::reader(run, site);
    let params = PatchParams::apply(MANAGER).force();
    let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
    roles.patch(&name, &params, &Patch::Apply(&role)).await.map_err(|e| (format!("Role/{name}"), e))?;
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    bindings.patch(&name, &params, &Patch::Apply(&binding)).await.map_err(|e| (format!("RoleBinding/{name}"), e))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_member_may_read_its_history_and_nothing_else() {
        let (role, binding) = objects(&"a-1".parse().unwrap(), &"north".parse().unwrap(), None);
        let rules = role.rules.unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].resource_names.as_deref(), Some(["a-1".to_owned()].as_slice()));
        assert_eq!(rules[0].verbs, ["list", "watch"]);
        let subject = &binding.subjects.unwrap()[0];
        assert_eq!((subject.namespace.as_deref(), subject.name.as_str()), (Some("site-north"), "site"));
        assert_eq!(binding.role_ref.name, role.metadata.name.unwrap());
    }
}
