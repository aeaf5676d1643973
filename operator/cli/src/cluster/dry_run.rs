//! `validate --server`: the API server's own opinion of a manifest, in a dry run that changes nothing: its rules, what stands
//! there already, whether this user may. Must not know what this program checked by itself before.
use coalition_crds::manifest::{Examined, examine};
use coalition_crds::{CheckpointPolicy, Problem, TrainingRun};
use kube::api::{Patch, PatchParams, ValidationDirective};
use kube::core::Status;
use kube::{Api, ResourceExt};

use super::{Cluster, ClusterError, Kind, MANAGER, block, connect};
use crate::args::Reach;

/// What the server has against the objects of a manifest, and which server that is, for people.
pub fn problems(text: &str, reach: &Reach) -> Result<(Vec<Problem>, String), ClusterError> {
    block(async {
        let hub = connect::hub(reach).await?;
        let examined = examine(text);
        let mut out = Vec::new();
        for policy in &examined.objects.policies {
            out.extend(ask::<CheckpointPolicy>(&hub, policy, &examined).await?);
        }
        for run in &examined.objects.runs {
            out.extend(ask::<TrainingRun>(&hub, run, &examined).await?);
        }
        out.sort_by_key(|p| p.line);
        Ok((out, hub.called))
    })
}

async fn ask<K: Kind + serde::Serialize>(
    hub: &Cluster,
    object: &K,
    manifest: &Examined,
) -> Result<Vec<Problem>, ClusterError> {
    let (kind, name) = (K::kind(&()), object.name_any());
    let label = format!("{kind}/{name}");
    let namespace = object.namespace().unwrap_or_else(|| hub.namespace.clone());
    let api: Api<K> = hub.api(Some(&namespace));
    // By force: whose field it is says nothing about whether the manifest is right.
    let params = PatchParams {
        dry_run: true,
        force: true,
        field_manager: Some(MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let mut value = serde_json::to_value(object).map_err(|e| ClusterError::Bug(e.to_string()))?;
    if let Some(map) = value.as_object_mut() {
        // Typed objects may leave it out, and no apply is taken without.
        map.insert("apiVersion".to_owned(), K::api_version(&()).into_owned().into());
        map.insert("kind".to_owned(), kind.clone().into_owned().into());
        map.remove("status");
    }
    let asked = hub.asked::<K>("patch", Some(&namespace), &name);
    match hub.timely(&asked, api.patch(&name, &params, &Patch::Apply(value))).await? {
        Ok(_) => Ok(Vec::new()),
        Err(kube::Error::Api(status)) if of_the_object(&status) => {
            let at = |p: Problem| {
                let line = manifest.objects.line(&label, &p.field);
                p.of(&label).at(line)
            };
            Ok(told(&status, &namespace).into_iter().map(at).collect())
        }
        Err(e) => Err(asked.failed(e)),
    }
}

/// True if the answer is about the object, not about the server or the user.
fn of_the_object(status: &Status) -> bool {
    let namespace_is_missing =
        status.code == 404 && status.details.as_ref().is_some_and(|d| d.kind == "namespaces" && !d.name.is_empty());
    namespace_is_missing || matches!(status.code, 400 | 409 | 413 | 422)
}

/// The answer as problems.
fn told(status: &Status, namespace: &str) -> Vec<Problem> {
    if status.code == 404 {
        let way_out = "Create it, or name another with -n.";
        return vec![Problem::new("metadata.namespace", namespace, "the cluster has no such namespace", way_out)];
    }
    let causes = status.details.iter().flat_map(|d| &d.causes);
    let found: Vec<Problem> = causes.map(|c| of_cause(&c.field, &c.message)).collect();
    if found.is_empty() { vec![Problem::from_rule("", "", &status.message)] } else { found }
}

/// One cause. Rules of ours say after the last `; ` what to do; the server's own forms begin with the kind of mistake.
fn of_cause(field: &str, message: &str) -> Problem {
    let (value, said) = match message.split_once(": ") {
        Some((head, rest)) if head.starts_with("Invalid value") => {
            // Invalid value: "object": message
            match rest.split_once(": ") {
                Some((value, said)) if value.len() < 80 => (value, said),
                _ => ("", rest),
            }
        }
        // The field was not to be touched, whatever its value.
        Some(("Forbidden", said)) => ("", said),
        _ => ("", message),
    };
    let value = if matches!(value, "\"object\"" | "\"array\"" | "\"string\"" | "\"integer\"") { "" } else { value };
    let field = if field.starts_with("<nil>") { "" } else { field };
    Problem::from_rule(field, value, said)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_becomes_problems() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "message": "TrainingRun.coalition.training \"mine\" is invalid", "reason": "Invalid", "code": 422,
            "details": {"name": "mine", "kind": "TrainingRun", "causes": [
                {"field": "spec.sites.min", "message": "Invalid value: 3: must be at most max = 2; lower min or raise max"},
                {"field": "spec.model", "message": "Forbidden: cannot change after creation: because; create a new run"},
                {"field": "spec.data", "message": "Invalid value: \"object\": must have one entry; add one"},
                {"field": "<nil>", "message": "Required value"}
            ]}
        }))
        .unwrap();
        assert!(of_the_object(&status));
        let told: Vec<String> = told(&status, "research").iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "spec.sites.min: 3: must be at most max = 2. Lower min or raise max.",
                "spec.model: cannot change after creation: because. Create a new run.",
                "spec.data: must have one entry. Add one.",
                "Required value"
            ]
        );
    }

    #[test]
    fn a_namespace_that_is_not_there_is_a_problem_and_a_missing_kind_is_not() {
        let status = |details: serde_json::Value| -> Status {
            serde_json::from_value(serde_json::json!({"message": "x", "code": 404, "details": details})).unwrap()
        };
        let missing = status(serde_json::json!({"name": "lab", "kind": "namespaces"}));
        assert!(of_the_object(&missing));
        assert!(
            super::told(&missing, "lab")
                .first()
                .unwrap()
                .to_string()
                .contains("lab: the cluster has no such namespace")
        );
        assert!(!of_the_object(&status(serde_json::json!({}))));
    }
}
