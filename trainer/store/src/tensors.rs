//! Tensors in safetensors files: what is written, where each tensor lies, and back. Knows nothing of stores or of what
//! the numbers mean.
use std::collections::HashMap;

use bytes::Bytes;
use coalition_protocol::Digest;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};

/// Files are split so that each holds at most so many bytes of tensors, unless one tensor alone is larger: one request to
/// a store then stays within minutes on a slow link.
pub const FILE_BYTES: u64 = 256 << 20;
/// Most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

/// Type of a tensor's elements. Both are IEEE 754, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dtype {
    /// 4 bytes.
    F32,
    /// 8 bytes.
    F64,
}

impl Dtype {
    /// Bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    const fn theirs(self) -> safetensors::Dtype {
        match self {
            Self::F32 => safetensors::Dtype::F32,
            Self::F64 => safetensors::Dtype::F64,
        }
    }
}

/// A tensor: row-major elements under a name (for parameters, the Hugging Face name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its elements' bytes.
    pub data: Bytes,
}

impl Tensor {
    /// From f32 elements.
    pub fn f32(name: impl Into<String>, shape: Vec<usize>, elements: &[f32]) -> Self {
        let data: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F32, shape, data: data.into() }
    }

    /// From f64 elements.
    pub fn f64(name: impl Into<String>, shape: Vec<usize>, elements: &[f64]) -> Self {
        let data: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F64, shape, data: data.into() }
    }

    /// Its elements, if they are f32.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let whole = self.data.as_chunks().0;
        (self.dtype == Dtype::F32).then(|| whole.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// Its elements, if they are f64.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        let whole = self.data.as_chunks().0;
        (self.dtype == Dtype::F64).then(|| whole.iter().map(|b| f64::from_le_bytes(*b)).collect())
    }

    fn expected_bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.dtype.size(), |a, d| a.checked_mul(*d))
    }
}

/// Where a tensor lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TensorEntry {
    /// What it is part of: `x`, `m`, `v`, `theta`, `u`, …
    pub group: String,
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The file it lies in.
    pub file: String,
    /// Where its first byte lies in that file.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Digest of those bytes.
    pub blake3: Digest,
}

/// A file and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileEntry {
    /// Its name in the manifest's folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Digest of its bytes.
    pub blake3: Digest,
}

/// A file ready to be written.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Its bytes, in parts that follow each other; the tensors' bytes are not copied.
    pub parts: Vec<Bytes>,
    /// Its line in a manifest.
    pub file: FileEntry,
    /// Its tensors' lines.
    pub tensors: Vec<TensorEntry>,
}

/// Splits sorted tensors into files of at most [`FILE_BYTES`].
pub fn split(mut tensors: Vec<Tensor>) -> Vec<Vec<Tensor>> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut files: Vec<Vec<Tensor>> = Vec::new();
    let mut room = 0;
    for t in tensors {
        let bytes = t.data.len() as u64;
        match files.last_mut() {
            Some(file) if bytes <= room => file.push(t),
            _ => {
                files.push(vec![t]);
                room = FILE_BYTES;
            }
        }
        room = room.saturating_sub(bytes);
    }
    files
}

/// One safetensors file named `name` that holds `tensors` of `group`. An error says which tensor cannot be written.
pub fn encode(group: &str, name: &str, mut tensors: Vec<Tensor>) -> Result<Encoded, String> {
    // The order of the format: larger elements first, so that all are aligned, then by name.
    tensors.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    let mut at = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for t in &tensors {
        if t.shape.len() > MOST_DIMENSIONS || t.expected_bytes() != Some(t.data.len()) {
            return Err(format!("{} has {} bytes for shape {:?} of {:?}", t.name, t.data.len(), t.shape, t.dtype));
        }
        let info =
            TensorInfo { dtype: t.dtype.theirs(), shape: t.shape.clone(), data_offsets: (at, at + t.data.len()) };
        at += t.data.len();
        infos.push((t.name.clone(), info));
    }
    let mut names: Vec<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
    names.sort_unstable();
    if let Some(name) = names.array_windows().find_map(|[a, b]| (a == b).then_some(a)) {
        return Err(format!("{name} is there twice"));
    }
    // transformers refuses a file without this mark. One entry only: a map of several has no fixed order.
    let mark = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(mark), infos).map_err(|e| e.to_string())?;
    let mut json = serde_json::to_vec(&metadata).map_err(|e| e.to_string())?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);

    let mut offset = header.len() as u64;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header);
    let mut entries = Vec::with_capacity(tensors.len());
    let mut parts = vec![Bytes::from(header)];
    for t in tensors {
        hasher.update(&t.data);
        let bytes = t.data.len() as u64;
        entries.push(TensorEntry {
            group: group.to_owned(),
            name: t.name,
            dtype: t.dtype,
            shape: t.shape,
            file: name.to_owned(),
            offset,
            bytes,
            blake3: Digest::of(&t.data),
        });
        offset += bytes;
        parts.push(t.data);
    }
    let file = FileEntry { name: name.to_owned(), bytes: offset, blake3: hasher.finalize().into() };
    Ok(Encoded { parts, file, tensors: entries })
}

/// The tensors of a file whose digest has been verified, compared with the manifest's lines for it. An error says what
/// differs.
pub fn decode(bytes: &Bytes, entries: &[&TensorEntry]) -> Result<Vec<Tensor>, String> {
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    if metadata.tensors().len() != entries.len() {
        return Err(format!("{} tensors, the manifest lists {}", metadata.tensors().len(), entries.len()));
    }
    let mut out = Vec::with_capacity(entries.len());
    for e in entries {
        let info = metadata.info(&e.name).ok_or_else(|| format!("no tensor {}", e.name))?;
        let start = 8 + header + info.data_offsets.0;
        let end = 8 + header + info.data_offsets.1;
        if (start as u64, (end - start) as u64) != (e.offset, e.bytes)
            || info.dtype != e.dtype.theirs()
            || info.shape != e.shape
        {
            return Err(format!(
                "tensor {} lies elsewhere or has another type or shape than the manifest says",
                e.name
            ));
        }
        if end > bytes.len() {
            return Err(format!("tensor {} ends beyond the file", e.name));
        }
        let data = bytes.slice(start..end);
        out.push(Tensor { name: e.name.clone(), dtype: e.dtype, shape: e.shape.clone(), data });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(e: &Encoded) -> Bytes {
        e.parts.iter().flatten().copied().collect::<Vec<u8>>().into()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_library_reads_what_we_write(
            small in proptest::collection::vec(any::<f32>(), 1..40),
            large in proptest::collection::vec(any::<f64>(), 1..40),
        ) {
            let tensors = vec![
                Tensor::f32("b.weight", vec![small.len()], &small),
                Tensor::f64("a.weight", vec![1, large.len()], &large),
                Tensor::f32("a.scalar", vec![], &small[..1]),
            ];
            let e = encode("x", "x.safetensors", tensors.clone()).unwrap();
            let bytes = joined(&e);
            prop_assert_eq!(Digest::of(&bytes), e.file.blake3);
            prop_assert_eq!(bytes.len() as u64, e.file.bytes);
            let theirs = SafeTensors::deserialize(&bytes).unwrap();
            for t in &tensors {
                let view = theirs.tensor(&t.name).unwrap();
                prop_assert_eq!(view.data(), &t.data[..]);
                prop_assert_eq!(view.shape(), &t.shape[..]);
            }
            for entry in &e.tensors {
                let at = entry.offset as usize;
                prop_assert_eq!(Digest::of(&bytes[at..at + entry.bytes as usize]), entry.blake3);
            }
            let lines: Vec<&TensorEntry> = e.tensors.iter().collect();
            let mut back = decode(&bytes, &lines).unwrap();
            back.sort_by(|a, b| a.name.cmp(&b.name));
            let mut sorted = tensors;
            sorted.sort_by(|a, b| a.name.cmp(&b.name));
            prop_assert_eq!(back, sorted);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let odd = Tensor { data: Bytes::from_static(&[0; 7]), ..Tensor::f32("a", vec![2], &[0.0, 0.0]) };
        assert!(encode("x", "f", vec![odd]).is_err());
        let twice = vec![Tensor::f32("a", vec![1], &[0.0]), Tensor::f32("a", vec![1], &[1.0])];
        assert!(encode("x", "f", twice).unwrap_err().contains("twice"));
        let e = encode("x", "f", vec![Tensor::f32("a", vec![2], &[1.0, 2.0])]).unwrap();
        let mut line = e.tensors[0].clone();
        line.shape = vec![1, 2];
        assert!(decode(&joined(&e), &[&line]).is_err());
        assert!(decode(&Bytes::from_static(b"short"), &[]).is_err());
    }

    #[test]
    fn files_are_split_by_size() {
        let zeros = Bytes::from(vec![0_u8; 100 << 20]);
        let t = |n: &str| Tensor { name: n.to_owned(), dtype: Dtype::F32, shape: vec![25 << 20], data: zeros.clone() };
        let files = split(vec![t("c"), t("a"), t("b"), t("d"), t("e")]);
        let names: Vec<Vec<&str>> = files.iter().map(|f| f.iter().map(|t| t.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    }
}
