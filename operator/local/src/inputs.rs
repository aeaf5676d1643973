//! What a local run is started with, besides its manifest: state folder, data set, trainer, faults on request. Only looks; all
//! of it is refused before anything is written. Must not know how a run goes.
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use coalition_data::index::TokenizerRef;
use coalition_data::{Dataset, Samples, Verify};
use coalition_protocol::SiteId;
use coalition_spec::RunSpec;
use coalition_spec::data::{Builtin, Tokenizer};
use rustix::fs::{Access, access};

use crate::LocalError;
use crate::faults::KillPlan;
use crate::paste;
use crate::setup::RunOptions;
use crate::site::Shape;

/// The trainer's file name, as Cargo builds it.
const TRAINER: &str = "coalition-trainer";

/// What the files of programs begin with: ELF's magic number (System V ABI, chapter 4), or the name of an interpreter.
const PROGRAMS: [&[u8]; 2] = [b"\x7fELF", b"#!"];

/// A path that is written into configuration files and addresses, which hold text.
fn text(argument: &str, path: &Path) -> Result<(), LocalError> {
    if path.to_str().is_some() {
        return Ok(());
    }
    Err(LocalError::Argument {
        argument: format!("{argument} {}", path.display()),
        what: "the path is not UTF-8, and workers are told of it in JSON: use another name, or a link to it".to_owned(),
    })
}

/// The state folder can be made, or written if it is there.
pub(crate) fn state_folder(dir: &Path) -> Result<(), LocalError> {
    text("--dir", dir)?;
    let Some(there) = dir.ancestors().find(|p| p.symlink_metadata().is_ok()) else { return Ok(()) };
    if !there.is_dir() {
        let what = format!("{} is not a folder: give a --dir that is one, or that does not exist yet", there.display());
        return Err(LocalError::Write { path: dir.to_owned(), what });
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| LocalError::write(dir, &e.into()))
}

/// The faults asked for can happen: at sites of this run, at steps that come.
pub(crate) fn kills(plans: &[KillPlan], sites: &BTreeMap<SiteId, Shape>, spec: &RunSpec) -> Result<(), LocalError> {
    let names = || sites.keys().map(SiteId::as_str).collect::<Vec<_>>().join(", ");
    let (tokens, batch) = (spec.training.tokens, spec.training.batch_tokens);
    let last = tokens.div_ceil(batch.max(1));
    for plan in plans {
        let refused = |what| Err(LocalError::Argument { argument: format!("--kill {plan}"), what });
        if !sites.contains_key(&plan.site) {
            return refused(format!("there is no site {:?}: this run has {}", plan.site.as_str(), names()));
        }
        if plan.step > last {
            return refused(format!(
                "the run has {last} inner steps (training.tokens / batchTokens = {tokens} / {batch}), shared by its sites: \
                 name one that comes"
            ));
        }
    }
    Ok(())
}

/// Every data set that a folder was given for is one of the run's.
pub(crate) fn data_names(options: &RunOptions, name: &str) -> Result<(), LocalError> {
    match options.data.iter().find(|(given, _)| *given != name) {
        None => Ok(()),
        Some((given, dir)) => Err(LocalError::Argument {
            argument: format!("--data {given}={}", dir.display()),
            what: format!("spec.data.mixture names no data set {given:?}: it names {name:?}; write --data {name}=DIR"),
        }),
    }
}

/// Where the data set lies: as given with `--data`, below `COALITION_DATA`, where it lay before, or next to the manifest.
pub(crate) fn data_folder(
    options: &RunOptions,
    before: Option<&Path>,
    base: &Path,
    name: &str,
) -> Result<PathBuf, LocalError> {
    let holds = |p: &Path| p.join(coalition_data::index::FILE).is_file();
    let absolute = |p: &Path| std::path::absolute(p).map_err(|e| LocalError::read(p, &e));
    if let Some(dir) = options.data.get(name) {
        text("--data", dir)?;
        return match before.filter(|_| !holds(dir)) {
            Some(before) => Err(LocalError::Data {
                name: name.to_owned(),
                what: format!("there is no data set in {}: {}", absolute(dir)?.display(), gone(name, before, holds)),
            }),
            None => absolute(dir),
        };
    }
    let mut tried = Vec::new();
    if let Some(all) = std::env::var_os("COALITION_DATA").filter(|v| !v.is_empty()).map(PathBuf::from) {
        tried.extend([all.join(name), all]);
    }
    tried.extend(before.map(Path::to_owned));
    tried.push(base.join(name));
    // What is there without being a data set is likely the text to make one of: it stays.
    let out = paste::path(&if base.join(name).exists() { base.join(format!("{name}-data")) } else { base.join(name) });
    if let Some(found) = tried.iter().find(|p| holds(p)) {
        text("the data set's folder", found)?;
        return absolute(found);
    }
    let tried = tried.iter().map(|p| absolute(p).map(|p| p.display().to_string()));
    let tried = tried.collect::<Result<Vec<_>, _>>()?.join(" or ");
    let way_out = match before {
        Some(before) => gone(name, before, holds),
        None => format!(
            "`coalition-trainer data prepare --out {out} FILES…` makes one of files and folders with text; then `--data {name}={out}` \
             says where it lies"
        ),
    };
    let what = format!("spec.data.mixture names it, and there is no data set in {tried}: {way_out}");
    Err(LocalError::Data { name: name.to_owned(), what })
}

/// The way out for a run that was at work already: another data set would not be the one it trains on.
fn gone(name: &str, before: &Path, holds: impl Fn(&Path) -> bool) -> String {
    if holds(before) {
        return format!("the run's own lies in {0}, so give no --data, or `--data {name}={0}`", paste::path(before));
    }
    format!(
        "the run's own lay in {}: bring it back, or say where it is with `--data {name}=DIR`. One that is prepared anew from other \
         text is another data set, which cannot go on with this run",
        paste::path(before)
    )
}

/// Opens the data set and checks that it fits the model.
pub(crate) fn read_data(folder: &Path, spec: &RunSpec) -> Result<Samples, LocalError> {
    let name = &spec.data.dataset;
    let bad = |what: String| LocalError::Data { name: name.clone(), what };
    // Once for every runner, whatever the size: workers compare sizes only, and what a token means is not seen from it.
    let dataset = Dataset::open(folder, Verify::All).map_err(|e| bad(e.to_string()))?;
    let index = dataset.index();
    let model = spec.model.config.vocab_size as u64;
    if u64::from(index.vocab_size) > model {
        return Err(bad(format!(
            "it has a vocabulary of {0} tokens, spec.model has {model}: must be at most the model's. Prepare it with a \
             smaller one, or give the model vocab_size {0}",
            index.vocab_size
        )));
    }
    // That the manifest's tokenizer names this data set is checked with the manifest.
    let wanted = match &spec.data.tokenizer {
        Tokenizer::Builtin(Builtin::Bytes) => "{builtin: bytes}".to_owned(),
        Tokenizer::File { dataset, file } => format!("{{dataset: {dataset}, file: {file}}}"),
    };
    let found = match &index.tokenizer {
        TokenizerRef::Bytes => "{builtin: bytes}".to_owned(),
        TokenizerRef::Bpe { file, .. } => format!("{{dataset: {name}, file: {file}}}"),
    };
    if wanted != found {
        return Err(bad(format!(
            "spec.data.tokenizer is {wanted}, it was prepared with {found}: write `tokenizer: {found}` in the manifest, or \
             prepare it again (`data prepare --help` names the tokenizers)"
        )));
    }
    Samples::new(std::sync::Arc::new(dataset), spec.data.sequence_length, spec.training.seed)
        .map_err(|e| bad(e.to_string()))
}

/// The trainer: as given, beside this program, or on the PATH.
pub(crate) fn trainer(given: Option<&Path>) -> Result<PathBuf, LocalError> {
    let missing = |program: &Path, what: &str| LocalError::Program {
        program: program.to_owned(),
        what: format!("{what}: build it with `cargo build -p coalition-trainer`, or name it with --trainer PATH"),
    };
    if let Some(path) = given {
        text("--trainer", path)?;
        let path = std::path::absolute(path).map_err(|e| LocalError::read(path, &e))?;
        return if !path.is_file() {
            Err(missing(&path, "there is no such file"))
        } else if !is_program(&path) {
            Err(missing(&path, "it is not a program that this user may start"))
        } else {
            Ok(path)
        };
    }
    // Beside this program; test programs lie one folder deeper.
    let here = std::env::current_exe().ok();
    let beside = here.iter().flat_map(|p| p.ancestors().skip(1).take(2)).map(|d| d.join(TRAINER));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|d| d.join(TRAINER)).collect::<Vec<_>>();
    beside
        .chain(on_path)
        .find(|p| is_program(p))
        .ok_or_else(|| missing(Path::new(TRAINER), "it is neither beside this program nor on the PATH"))
}

/// True for a file that this user may start and that begins as a program does.
fn is_program(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = |file: std::fs::File| file.take(4).read_to_end(&mut first).is_ok();
    path.is_file()
        && access(path, Access::EXEC_OK).is_ok()
        && std::fs::File::open(path).is_ok_and(read)
        && PROGRAMS.iter().any(|p| first.starts_with(p))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use coalition_data::{PrepareOptions, Silent, TokenizerChoice, prepare};

    use super::*;

    #[test]
    fn a_tokenizer_file_is_that_of_the_data_set() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("text");
        std::fs::write(&source, "fn main() { println!(\"hello, hello\"); }\n".repeat(200)).unwrap();
        let make = |name: &str, tokenizer| {
            let out = dir.path().join(name);
            let options = PrepareOptions::new(vec![source.clone()], out.clone());
            prepare(&PrepareOptions { tokenizer, held_out_share: 0.0, ..options }, &Silent).unwrap();
            out
        };
        let (bytes, bpe) = (make("bytes", TokenizerChoice::Bytes), make("bpe", TokenizerChoice::TrainBpe(258)));
        let text = include_str!("../../../crds/examples/quickstart.yaml");
        let mut spec = crate::manifest::one(Path::new("quickstart.yaml"), text).unwrap().spec;
        let told =
            |folder: &Path, spec: &RunSpec| read_data(folder, spec).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(told(&bytes, &spec), "");
        assert!(
            told(&bpe, &spec).contains("write `tokenizer: {dataset: rust, file: tokenizer.json}`"),
            "{}",
            told(&bpe, &spec)
        );
        let file = |file: &str| Tokenizer::File { dataset: "rust".to_owned(), file: file.to_owned() };
        spec.data.tokenizer = file("tokenizer.json");
        assert_eq!(told(&bpe, &spec), "");
        assert!(told(&bytes, &spec).contains("write `tokenizer: {builtin: bytes}`"), "{}", told(&bytes, &spec));
        spec.data.tokenizer = file("other.json");
        let said = told(&bpe, &spec);
        assert!(said.contains("spec.data.tokenizer is {dataset: rust, file: other.json}"), "{said}");
        assert!(said.contains("write `tokenizer: {dataset: rust, file: tokenizer.json}`"), "{said}");
    }
}
