//! A worker's pod, final as created: nothing of it is changed later. It meets the restricted profile of pod security, whatever
//! the site's settings say.
use std::collections::BTreeMap;

use coalition_crds::amounts::Quantity as Amount;
use coalition_crds::names::{BIRTH_LABEL, INDEX_LABEL};
use coalition_crds::training_run::{Compute, Resources};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    ObjectFieldSelector, Pod, PodSecurityContext, PodSpec, Probe, ProjectedVolumeSource, ResourceRequirements,
    SeccompProfile, SecretKeySelector, SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Input;
use super::config::FILE;
use crate::names;

/// The one container.
pub const CONTAINER: &str = "trainer";
/// Folder of the configuration.
const CONFIG: &str = "/etc/coalition";
/// The pod's token for the gateway. The kubelet renews it; the trainer reads it anew for every request.
pub(super) const TOKEN_FILE: &str = "/var/run/coalition/token/token";
const TOKEN_FOLDER: &str = "/var/run/coalition/token";
/// Where the data set is kept while the pod lives.
pub(super) const CACHE: &str = "/var/cache/coalition";
/// Seconds that a token is valid: what a kubelet renews at 80 %, and the least that most clusters give.
const TOKEN_SECONDS: i64 = 3600;
/// Where the supervisor says that its worker has joined the gang: that is when its pod is Ready.
const HEALTH_PORT: i32 = 8080;
/// Names that AWS tools read, and under which the Secret has them.
const CREDENTIALS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// The pod of a worker. `config` names its ConfigMap.
pub fn pod(input: &Input<'_>, index: u32, birth: i64, config: &str) -> Pod {
    let asked = &input.spec().site_run;
    let settings = input.settings;
    let account = settings.pair(&asked.training_run.namespace).map(|p| p.service_account.clone());
    let mut metadata = input.metadata(names::pod(input.name(), index, birth));
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(INDEX_LABEL.to_owned(), index.to_string());
    labels.insert(BIRTH_LABEL.to_owned(), birth.to_string());
    if !settings.worker.annotations.is_empty() {
        metadata.annotations = Some(settings.worker.annotations.clone());
    }
    let spec = PodSpec {
        containers: vec![container(input, index)],
        restart_policy: Some("Never".to_owned()),
        service_account_name: account,
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(i64::from(settings.worker.termination_grace_period_seconds)),
        node_selector: Some(settings.worker.node_selector.clone()).filter(|s| !s.is_empty()),
        tolerations: Some(settings.worker.tolerations.clone()).filter(|t| !t.is_empty()),
        priority_class_name: priority(input),
        runtime_class_name: settings.worker.runtime_class_name.clone(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        volumes: Some(volumes(config)),
        ..PodSpec::default()
    };
    Pod { metadata, spec: Some(spec), status: None }
}

fn container(input: &Input<'_>, index: u32) -> Container {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only).filter(|r| *r),
        ..VolumeMount::default()
    };
    let file = format!("{CONFIG}/{FILE}");
    let (index, health) = (index.to_string(), format!("$(POD_IP):{HEALTH_PORT}"));
    let args = ["supervise", "--config", &file, "--worker", &index, "--listen", "$(POD_IP):0", "--health", &health];
    Container {
        name: CONTAINER.to_owned(),
        image: Some(input.image().to_owned()),
        args: Some(args.map(str::to_owned).to_vec()),
        env: Some(env(input)),
        resources: resources(&input.spec().site_run.shape.resources, &input.settings.worker.resources),
        volume_mounts: Some(vec![
            mount("config", CONFIG, true),
            mount("token", TOKEN_FOLDER, true),
            mount("cache", CACHE, false),
            mount("tmp", "/tmp", false),
        ]),
        readiness_probe: Some(Probe {
            http_get: Some(HTTPGetAction {
                path: Some("/readyz".to_owned()),
                port: IntOrString::Int(HEALTH_PORT),
                ..HTTPGetAction::default()
            }),
            period_seconds: Some(2),
            ..Probe::default()
        }),
        // What a failed worker said last is asked of the log, not of a file.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn env(input: &Input<'_>) -> Vec<EnvVar> {
    let store = &input.settings.store;
    let plain =
        |name: &str, value: &str| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None };
    let from =
        |name: &str, source: EnvVarSource| EnvVar { name: name.to_owned(), value: None, value_from: Some(source) };
    let ip = ObjectFieldSelector { field_path: "status.podIP".to_owned(), api_version: None };
    let mut env = vec![from("POD_IP", EnvVarSource { field_ref: Some(ip), ..EnvVarSource::default() })];
    for name in CREDENTIALS {
        let key = SecretKeySelector { key: name.to_owned(), name: store.secret_name.clone(), optional: None };
        env.push(from(name, EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() }));
    }
    env.extend(store.endpoint.as_deref().map(|e| plain("AWS_ENDPOINT_URL", e)));
    env.push(plain("AWS_REGION", &store.region));
    if store.plain_http {
        env.push(plain("COALITION_S3_PLAIN_HTTP", "1"));
    }
    env
}

fn volumes(config: &str) -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let token = ServiceAccountTokenProjection {
        audience: Some(names::AUDIENCE.to_owned()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
    };
    let sources = vec![VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() }];
    vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource { name: config.to_owned(), ..ConfigMapVolumeSource::default() }),
            ..Volume::default()
        },
        Volume {
            name: "token".to_owned(),
            projected: Some(ProjectedVolumeSource { sources: Some(sources), default_mode: None }),
            ..Volume::default()
        },
        empty("cache"),
        empty("tmp"),
    ]
}

/// The site's own PriorityClass for the run's. A request that names one without such is refused before (`admit`).
fn priority(input: &Input<'_>) -> Option<String> {
    let class = input.spec().site_run.shape.priority_class_name.as_ref()?;
    input.settings.priority_classes.get(class).cloned()
}

/// What the run sets, and the site's where it sets nothing.
fn resources(run: &Resources, site: &Resources) -> Option<ResourceRequirements> {
    let chosen = if run.is_empty() { site } else { run };
    if chosen.is_empty() {
        return None;
    }
    let amounts = |c: &Compute| -> BTreeMap<String, Quantity> {
        let amount = |a: &Amount| Quantity(a.text().into_owned());
        let named = |name: &str, a: &Option<Amount>| a.as_ref().map(|a| (name.to_owned(), amount(a)));
        named("cpu", &c.cpu).into_iter().chain(named("memory", &c.memory)).collect()
    };
    Some(ResourceRequirements {
        requests: chosen.requests.as_ref().map(amounts),
        limits: chosen.limits.as_ref().map(amounts),
        claims: None,
    })
}
