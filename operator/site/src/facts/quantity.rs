//! Amounts as Kubernetes writes them, as numbers. Pure. Must not know what they measure.

/// Suffixes and what they stand for, in thousandths; the longest first where one begins with another.
const SUFFIXES: [(&str, f64); 13] = [
    ("Ki", 1024e3),
    ("Mi", 1024e3 * 1024.0),
    ("Gi", 1024e3 * 1024.0 * 1024.0),
    ("Ti", 1024e3 * 1024.0 * 1024.0 * 1024.0),
    ("Pi", 1024e3 * 1024.0 * 1024.0 * 1024.0 * 1024.0),
    ("n", 1e-6),
    ("u", 1e-3),
    ("m", 1.0),
    ("k", 1e6),
    ("M", 1e9),
    ("G", 1e12),
    ("T", 1e15),
    ("P", 1e18),
];

/// The amount in thousandths; 0 for one that cannot be read, as an API server takes none such.
pub fn thousandths(text: &str) -> i128 {
    let found = SUFFIXES.iter().find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|n| (n, *unit)));
    let (number, unit) = found.unwrap_or((text, 1e3));
    number.parse::<f64>().map_or(0, |n| (n * unit).round() as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("2", 2000),
            ("500m", 500),
            ("0.5", 500),
            ("1Gi", 1 << 30),
            ("64Gi", 64 << 30),
            ("128974848", 128_974_848_000),
            ("1e3", 1_000_000),
            ("100k", 100_000_000),
            ("1500n", 0),
            ("none", 0),
        ] {
            let expected: i128 = if text.ends_with("Gi") { expected * 1000 } else { expected };
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
