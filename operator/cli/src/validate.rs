//! `validate -f FILE`: everything that is wrong with a manifest, at once.
use std::io::Read;
use std::path::Path;

use coalition_crds::Problem;
use coalition_local::{LocalError, exit_code, manifest};
use comfy_table::{ContentArrangement, Table, presets};

use crate::args::{Output, Validate};
use crate::out::say;
use crate::show::count;
use crate::style;

/// Checks and shows.
pub fn validate(v: &Validate) -> Result<u8, LocalError> {
    let text = if v.file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| LocalError::read(Path::new("standard input"), &e))?;
        text
    } else {
        manifest::text(&v.file)?
    };
    match (manifest::check(&text), v.output) {
        (Ok(_), Output::Json | Output::Yaml) => print(&[], v.output).map(|()| exit_code::OK),
        (Ok(runs), _) => {
            for r in &runs {
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
                if !r.others.is_empty() {
                    say!("{}", style::faint(&format!("left aside: {}", r.others.join(", "))));
                }
            }
            if runs.is_empty() {
                say!("{} no TrainingRun in it", style::good("valid"));
            }
            Ok(exit_code::OK)
        }
        (Err(problems), output) => {
            match output {
                Output::Json | Output::Yaml => print(&problems, output)?,
                _ => table(&problems),
            }
            Ok(exit_code::MANIFEST)
        }
    }
}

fn sites(min: u32, max: u32) -> String {
    match (min, max) {
        (_, 1) => "one site".to_owned(),
        (min, max) if min == max => format!("{max} sites"),
        (min, max) => format!("{min} to {max} sites"),
    }
}

fn table(problems: &[Problem]) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // Not a terminal: no width to fit, and lines that do not depend on who looks.
    if table.width().is_none() {
        table.set_width(160);
    }
    table.set_header(["LINE", "FIELD", "VALUE", "PROBLEM", "WAY OUT"]);
    for p in problems {
        let line = p.line.map(|l| l.to_string()).unwrap_or_default();
        let field = if p.field.is_empty() { &p.object } else { &p.field };
        table.add_row([line.as_str(), field, &p.value, &p.bound, &p.way_out]);
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
