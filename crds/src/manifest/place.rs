//! Which field a line of a broken YAML file stands in, by its indentation: good enough to find the place, and no more. Must not
//! be used for a file that can be read.

/// The path of the innermost key on or before `line` (from 1), such as `spec.sites.min`; empty if there is none. Entries of
/// lists are not counted.
pub(super) fn field_at(text: &str, line: u64) -> String {
    let mut path: Vec<(usize, &str)> = Vec::new();
    for text in text.lines().take(usize::try_from(line).unwrap_or(usize::MAX)) {
        if text.starts_with("---") {
            path.clear();
        }
        let inner = text.trim_start_matches([' ', '-']);
        let indent = text.len() - inner.len();
        let Some((key, _)) = inner.split_once(':') else { continue };
        if key.is_empty() || !key.chars().all(|c| c.is_alphanumeric() || "_./".contains(c)) {
            continue;
        }
        path.retain(|(other, _)| *other < indent);
        path.push((indent, key));
    }
    path.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::field_at;

    #[test]
    fn the_innermost_key_is_found() {
        let text = "kind: A\nspec:\n  sites:\n    min: 1\n  # note: x\n  list:\n  - workers: 2\n    threads: [\n---\nkind: B\n";
        for (line, field) in [
            (1, "kind"),
            (4, "spec.sites.min"),
            (5, "spec.sites.min"),
            (7, "spec.list.workers"),
            (8, "spec.list.threads"),
            (9, ""),
            (10, "kind"),
            (99, "kind"),
        ] {
            assert_eq!(field_at(text, line), field, "line {line}");
        }
    }
}
