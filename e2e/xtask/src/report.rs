//! `cargo xtask report`: every row of every committed result file, as a plain table or as JSON.

use crate::results::{self, ResultFile, Row};
use crate::say;
use anyhow::{Context, Result};

/// Options of `report`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask report                 every figure with its bar and whether it holds\n  \
    cargo xtask report train-step      the figures of one bench\n  \
    cargo xtask report -o json         the same for programs")]
pub struct Args {
    /// Only this bench or campaign
    name: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Forms of output.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Output {
    /// Columns for people
    Table,
    /// The files as one JSON array
    Json,
}

/// Prints the rows.
pub fn run(args: &Args) -> Result<()> {
    let mut files = results::read_all(&results::folder())?;
    if let Some(name) = &args.name {
        files.retain(|file| file.bench == *name);
        if files.is_empty() {
            anyhow::bail!(
                "no result of `{name}` is committed; `cargo xtask report` without a name prints those that are"
            );
        }
    }
    match args.output {
        Output::Json => say::line(&serde_json::to_string_pretty(&files).context("results are not JSON")?),
        Output::Table => print_table(&files),
    }
    Ok(())
}

fn print_table(files: &[ResultFile]) {
    if files.is_empty() {
        say::line(
            "no result file yet: `cargo xtask bench --list` and `cargo xtask campaign --list` name what can be measured",
        );
        return;
    }
    let mut missed = 0;
    for file in files {
        say::title(&format!("{} ({}, commit {})", file.bench, file.date, file.commit));
        say::line(&format!("   {}", file.machine));
        let mut table = vec![["", "figure", "ours", "peer", "ratio", "unit", "bar"].map(str::to_owned)];
        for row in &file.rows {
            missed += u32::from(row.holds == Some(false));
            table.push(cells(row));
        }
        for line in align(&table) {
            say::line(&line);
        }
        for row in &file.rows {
            let pairs = pairs(&row.pairs);
            let notes: Vec<&str> =
                [&row.spread, &pairs, &row.note].into_iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
            if !notes.is_empty() {
                say::line(&format!("   {}: {}", row.name, notes.join("; ")));
            }
        }
    }
    say::line(&format!("\n{} figures, {missed} bars missed", files.iter().map(|f| f.rows.len()).sum::<usize>()));
}

/// The ratio of each pair; empty if the file has none.
fn pairs(ratios: &[f64]) -> String {
    let list: Vec<String> = ratios.iter().map(|r| format!("{r:.3}")).collect();
    if list.is_empty() { String::new() } else { format!("ratio of each pair {}", list.join(", ")) }
}

fn cells(row: &Row) -> [String; 7] {
    let mark = match row.holds {
        Some(true) => "ok",
        Some(false) => "MISS",
        None => "",
    };
    let peer = match (row.peer, &row.peer_name) {
        (Some(value), Some(name)) => format!("{} ({name})", number(value)),
        _ => "-".to_owned(),
    };
    let ratio = row.ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.3}"));
    [mark.to_owned(), row.name.clone(), number(row.ours), peer, ratio, row.unit.clone(), row.bar.clone()]
}

/// Four significant digits, which is more than most of these repeat to.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || value.abs() >= 1000.0 {
        return format!("{value:.0}");
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.digits$}")
}

fn align(table: &[[String; 7]]) -> Vec<String> {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    table
        .iter()
        .map(|row| {
            let line: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
            format!("   {}", line.join("  ").trim_end())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(number(0.012_345_6), "0.01235");
        assert_eq!(number(1.5), "1.500");
        assert_eq!(number(4009.4), "4009");
        assert_eq!(number(0.0), "0");
    }

    #[test]
    fn pairs_are_listed_where_the_file_has_them() {
        assert_eq!(pairs(&[]), "");
        assert_eq!(pairs(&[1.012_34, 0.998]), "ratio of each pair 1.012, 0.998");
    }

    #[test]
    fn a_missed_bar_is_loud() {
        let row = Row::alone("restart", "s", 1.4).bar("<= 1").unwrap();
        assert_eq!(cells(&row)[0], "MISS");
    }
}
