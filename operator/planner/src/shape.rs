//! Which shape a site's part of a run gets: the first template whose selector matches the site's labels. What a pod needs and a
//! trainer need not know (image, cores, memory) is here and not in the resolved run.
use std::collections::BTreeMap;

use coalition_crds::TrainingRunSpec;
use coalition_crds::training_run::Shape;
use coalition_spec::run::matches;

/// The shape for a site with these labels; none if no template matches.
pub fn of(spec: &TrainingRunSpec, labels: &BTreeMap<String, String>) -> Option<Shape> {
    let t = spec.site_templates.iter().find(|t| matches(&t.selector.match_labels, labels))?;
    Some(Shape {
        workers: t.workers,
        cpu_threads: t.cpu_threads,
        image: spec.trainer.image.clone(),
        resources: t.resources.clone(),
        priority_class_name: spec.priority_class_name.clone(),
    })
}
