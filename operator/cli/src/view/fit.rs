//! Lines that must fit a terminal: what matters least is left out first, as a terminal cuts what stands last, whatever it is. Pure.

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How soon it may be missed: the highest is left out first, 0 never.
    pub rank: u8,
    /// What it says.
    pub text: String,
}

impl Part {
    /// A part of this rank.
    pub fn new(rank: u8, text: impl Into<String>) -> Self {
        Self { rank, text: text.into() }
    }
}

/// Between two parts.
const GAP: &str = "  ";

/// The parts in their order, as many as `width` columns hold.
pub fn fit(parts: &[Part], width: usize) -> String {
    let mut kept: Vec<&Part> = parts.iter().filter(|p| !p.text.is_empty()).collect();
    loop {
        let line = kept.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join(GAP);
        // Of several that matter equally little, the last.
        let least = kept.iter().enumerate().filter(|(_, p)| p.rank > 0).max_by_key(|(i, p)| (p.rank, *i));
        match least {
            Some((i, _)) if line.chars().count() > width => {
                kept.remove(i);
            }
            _ => return line.trim_end().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_goes_first() {
        let parts =
            [Part::new(3, "training"), Part::new(2, "loss 5.1"), Part::new(9, "held-out"), Part::new(0, "9 s left")];
        for (width, line) in [
            (40, "training  loss 5.1  held-out  9 s left"),
            (37, "training  loss 5.1  9 s left"),
            (27, "loss 5.1  9 s left"),
            (17, "9 s left"),
            (0, "9 s left"),
        ] {
            assert_eq!(fit(&parts, width), line, "{width}");
        }
        assert_eq!(fit(&[Part::new(1, "a"), Part::new(1, ""), Part::new(1, "b")], 4), "a  b");
        assert_eq!(fit(&[Part::new(1, "a"), Part::new(1, "b")], 3), "a");
    }
}
