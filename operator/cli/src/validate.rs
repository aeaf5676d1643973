//! `validate -f FILE`: everything that is wrong with a manifest, at once; or, with `-o wide`, what it comes to.
use std::io::Read;
use std::path::Path;

use coalition_crds::Problem;
use coalition_local::manifest::{PARTIAL, Resolved};
use coalition_local::{LocalError, doubts, exit_code, manifest};
use coalition_spec::memory;
use coalition_spec::run::SiteTemplate;
use comfy_table::{ContentArrangement, Table, presets};

use crate::Failure;
use crate::args::{Output, Validate};
use crate::cluster::dry_run;
use crate::out::{note, say};
use crate::show::{bytes, count};
use crate::style;

/// Columns of a table that no terminal bounds: lines must not depend on who looks.
const WIDTH: u16 = 160;

/// Checks and shows; then asks a server, if that is wished and there is nothing wrong yet.
pub fn validate(v: &Validate) -> Result<u8, Failure> {
    let text = text(v)?;
    let code = here(&text, v)?;
    if code != exit_code::OK || !(v.server || v.reach.is_given()) {
        return Ok(code);
    }
    let (problems, server) = dry_run::problems(&text, &v.reach)?;
    if problems.is_empty() {
        match v.output {
            Output::Json | Output::Yaml => print(&[], v.output)?,
            Output::Table | Output::Wide => say!("{} by {server}, in a dry run", style::good("accepted")),
        }
        return Ok(exit_code::OK);
    }
    match v.output {
        Output::Json | Output::Yaml => print(&problems, v.output)?,
        Output::Table | Output::Wide => {
            note!("{server} refuses it:");
            table(&problems, v.output == Output::Wide);
        }
    }
    Ok(exit_code::MANIFEST)
}

/// The manifest.
fn text(v: &Validate) -> Result<String, LocalError> {
    // clap demands one of them.
    let file = v.file.as_deref().or(v.manifest.as_deref()).unwrap_or(Path::new("-"));
    if file != Path::new("-") {
        return manifest::text(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|e| LocalError::read(Path::new("standard input"), &e))?;
    Ok(text)
}

/// What this program knows by itself.
fn here(text: &str, v: &Validate) -> Result<u8, LocalError> {
    let asks = v.server || v.reach.is_given();
    match (manifest::check(text), v.output) {
        // The server's answer is the whole of it then.
        (Ok(_), Output::Json | Output::Yaml) if asks => Ok(exit_code::OK),
        (Ok(_), Output::Json | Output::Yaml) => print(&[], v.output).map(|()| exit_code::OK),
        (Ok(runs), output) => {
            for r in &runs {
                valid(r);
                if output == Output::Wide {
                    sizes(r);
                }
                for doubt in doubts::of_manifest(&r.spec) {
                    note!("{} with the pretended sites of `local`: {doubt}", style::warning("warning:"));
                }
                if let Some(told) = r.left_aside() {
                    say!("{}", style::faint(&told));
                }
            }
            if runs.is_empty() {
                say!("{} no TrainingRun in it", style::good("valid"));
            }
            Ok(exit_code::OK)
        }
        (Err(refused), output) => {
            match output {
                Output::Json | Output::Yaml => print(&refused.problems, output)?,
                Output::Table | Output::Wide => table(&refused.problems, output == Output::Wide),
            }
            if refused.partial {
                note!("{}", style::warning(PARTIAL));
            }
            Ok(exit_code::MANIFEST)
        }
    }
}

fn valid(r: &Resolved) {
    let t = &r.spec.training;
    say!(
        "{} TrainingRun/{}: {} parameters, {} tokens, {}, {} inner steps a round",
        style::good("valid"),
        r.run,
        count(r.spec.model.config.parameter_count()),
        count(t.tokens),
        sites(r.spec.sites.min, r.spec.sites.max),
        t.steps_per_round()
    );
}

/// What the numbers of a run come to: rounds, steps, and the memory of each shape of a site.
fn sizes(r: &Resolved) {
    let (t, s) = (&r.spec.training, &r.spec.sites);
    let samples = t.batch_tokens / (r.spec.data.sequence_length as u64).max(1);
    let round = t.outer.tokens_per_round.saturating_mul(u64::from(s.max)).max(1);
    let steps = t.tokens.div_ceil(t.batch_tokens.max(1));
    let mut lines = vec![
        ("parameters", r.spec.model.config.parameter_count().to_string()),
        (
            "inner step",
            format!("{} tokens: {samples} samples of {} at each site", t.batch_tokens, r.spec.data.sequence_length),
        ),
        ("round", format!("{} inner steps, {} tokens at each site", t.steps_per_round(), t.outer.tokens_per_round)),
        (
            "run",
            format!("{} rounds with {}, {steps} inner steps in all", t.tokens.div_ceil(round), sites(s.max, s.max)),
        ),
        ("silent site", format!("replaced after {} s", s.replace_after_seconds)),
    ];
    for template in &r.spec.site_templates {
        let m = memory::count(&r.spec.model.config, t.precision, template.shape);
        let worker = m.masters.saturating_add(m.moments).saturating_add(m.gradients);
        let workers = match template.shape.workers {
            1 => "its worker".to_owned(),
            n => format!("each of {n} workers"),
        };
        lines.push((
            "memory",
            format!(
                "{} a site, {} in {workers}, and activations ({})",
                bytes(m.site),
                bytes(worker),
                selects(template)
            ),
        ));
    }
    for (name, value) in lines {
        say!("  {name:<11} {value}");
    }
}

fn selects(t: &SiteTemplate) -> String {
    let labels: Vec<String> = t.selector.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    if labels.is_empty() { "sites without a template above".to_owned() } else { labels.join(", ") }
}

fn sites(min: u32, max: u32) -> String {
    match (min, max) {
        (_, 1) => "one site".to_owned(),
        (min, max) if min == max => format!("{max} sites"),
        (min, max) => format!("{min} to {max} sites"),
    }
}

/// One line a problem; `wide` names the object too, and folds nothing.
fn table(problems: &[Problem], wide: bool) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(if wide { ContentArrangement::Disabled } else { ContentArrangement::Dynamic });
    if table.width().is_none() {
        table.set_width(WIDTH);
    }
    let mut header = vec!["LINE", "FIELD", "VALUE", "PROBLEM", "WAY OUT"];
    if wide {
        header.insert(1, "OBJECT");
    }
    table.set_header(header);
    for p in problems {
        let line = p.line.map(|l| l.to_string()).unwrap_or_default();
        let field = if p.field.is_empty() && !wide { &p.object } else { &p.field };
        let mut row = vec![line.as_str(), field, &p.value, &p.bound, &p.way_out];
        if wide {
            row.insert(1, &p.object);
        }
        table.add_row(row);
    }
    // comfy-table pads every line to the full width.
    for line in table.to_string().lines() {
        say!("{}", line.trim_end());
    }
    let n = problems.len();
    say!("{}", style::error(&format!("{n} problem{}", if n == 1 { "" } else { "s" })));
}

fn print(problems: &[Problem], output: Output) -> Result<(), LocalError> {
    let bug = |e: String| LocalError::Bug(e);
    let text = if output == Output::Yaml {
        serde_saphyr::to_string(&problems).map_err(|e| bug(e.to_string()))?
    } else {
        serde_json::to_string_pretty(problems).map_err(|e| bug(e.to_string()))?
    };
    say!("{}", text.trim_end());
    Ok(())
}
