//! Where each parameter lies in a flat vector (D3): sorted Hugging Face names, tied ones once, each padded. Must not know
//! values. The outer step has the same layout from the same definition; a test of the trainer binary holds them together.
use coalition_kernels::DecaySpan;
use coalition_spec::model::ModelConfig;
use coalition_spec::parameters::ParamInfo;

/// Elements that every tensor is padded to a multiple of (D3).
pub const PADDING: usize = 4096;

/// One parameter's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Name, shape, decay, first values.
    pub info: ParamInfo,
    /// Its first element in the vector.
    pub offset: usize,
    /// Its elements, without padding.
    pub len: usize,
}

/// The places of all parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    entries: Vec<Entry>,
    elements: usize,
}

impl Layout {
    /// The layout of a model.
    pub fn new(config: &ModelConfig) -> Self {
        let mut elements = 0;
        let mut entries: Vec<Entry> = Vec::new();
        for info in config.parameters() {
            let len = info.numel();
            entries.push(Entry { info, offset: elements, len });
            elements += len.next_multiple_of(PADDING);
        }
        Self { entries, elements }
    }

    /// Every parameter, by name.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Elements of the vector, padding included.
    pub const fn elements(&self) -> usize {
        self.elements
    }

    /// The index of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.entries.binary_search_by(|e| e.info.name.as_str().cmp(name)).ok()
    }

    /// Where AdamW works and where it decays. Padding lies outside every span, so it stays zero.
    pub fn spans(&self) -> Vec<DecaySpan> {
        self.entries.iter().map(|e| DecaySpan { start: e.offset, len: e.len, decay: e.info.decay }).collect()
    }
}
