//! What must hold in a run, checked all at once: every problem is told, not the first. Must not look anything up.

mod model;
mod sites;
mod training;

use crate::{ModelConfig, Problem, RunSpec};

/// Gathers problems; each check is one call.
#[derive(Default)]
struct Checks {
    problems: Vec<Problem>,
}

impl Checks {
    fn that(&mut self, holds: bool, problem: impl FnOnce() -> Problem) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// A whole number within bounds.
    fn whole(&mut self, field: &str, value: u64, (min, max): (u64, u64), unit: &str) {
        self.that((min..=max).contains(&value), || {
            Problem::new(
                field,
                value,
                format!("must be {min} to {max}{}{unit}", if unit.is_empty() { "" } else { " " }),
                format!("Set it to {}.", if value < min { min } else { max }),
            )
        });
    }

    /// A finite number within `low` and `high`, each inclusive or not as the text `bound` says.
    fn real(&mut self, field: &str, value: f64, holds: bool, bound: &str, usual: &str) {
        self.that(value.is_finite() && holds, || {
            Problem::new(field, value, format!("must be {bound}"), format!("{usual} is usual."))
        });
    }
}

impl RunSpec {
    /// Everything that is wrong with this run, with paths as in a manifest below `spec`; empty if it can be trained.
    pub fn problems(&self) -> Vec<Problem> {
        let mut c = Checks::default();
        model::check(&mut c, &self.model.config);
        c.whole("model.init.seed", self.model.init.seed, (0, crate::tokens::MAX), "");
        training::data(&mut c, self);
        training::training(&mut c, self);
        sites::check(&mut c, self);
        c.problems
    }
}

impl ModelConfig {
    /// Everything that is wrong with this model, with paths as in a manifest below `spec`; empty if it can be built.
    pub fn problems(&self) -> Vec<Problem> {
        let mut c = Checks::default();
        model::check(&mut c, self);
        c.problems
    }
}
