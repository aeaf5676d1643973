//! Tables for people: columns of words, no lines. Pure.
use comfy_table::{ContentArrangement, Table, presets};

/// A table; nothing is folded, so that lines can be searched, and no line ends with blanks.
pub fn plain<I>(header: &[&str], rows: I) -> String
where
    I: IntoIterator<Item = Vec<String>>,
{
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
