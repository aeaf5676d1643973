//! `generate`: text from a run checkpoint, so that a person sees what was learnt. Must not know training.
use std::io::{IsTerminal, Write};

use coalition_data::{Dataset, Verify};
use coalition_engine::{ModelOptions, Options, Sampling, Trainer};
use coalition_outer::VectorLayout;
use coalition_protocol::{RunId, Seq, exit, keys};
use coalition_spec::model::Architecture;
use coalition_spec::training::AdamW;
use coalition_spec::{ModelConfig, hugging_face};
use coalition_store::{BlockingStore, Location, StoreError, run_checkpoint};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Generate;
use crate::failure::{Failure, Stop};
use crate::stores;

/// A model configuration has some thirty short fields.
const LARGEST_CONFIG: u64 = 1 << 20;

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        Self::new(e.exit_code(), e.to_string())
    }
}

fn engine(e: coalition_engine::Error) -> Failure {
    match Stop::from(e) {
        Stop::Exit(f) => f,
        Stop::Rejoin(what) => Failure::bug(what),
    }
}

/// Writes text to standard output, token by token.
pub fn generate(args: Generate) -> Result<u8, Failure> {
    let bad = |what: String| Failure::new(exit::CONFIG, what);
    let run: RunId = args.run.parse().map_err(|e| bad(format!("--run: {e}")))?;
    let location: Location = args.store.parse()?;
    if let Location::Folder(folder) = &location
        && !folder.is_dir()
    {
        // Opening a store makes its folder; a mistyped name shall leave nothing behind.
        return Err(bad(format!(
            "--store {}: there is no such folder: name a site's store, the folder above `runs`; {}",
            args.store,
            stores::near(folder)
        )));
    }
    let store = BlockingStore::open(&location)?;
    let known = store.wait(run_checkpoint::list(store.store(), &run))?;
    let list = || known.iter().map(Seq::to_string).collect::<Vec<_>>().join(", ");
    let seq = match args.seq.map(Seq) {
        Some(s) if known.contains(&s) => s,
        Some(s) => return Err(bad(format!("--seq {s}: {} holds run checkpoints of records: {}", args.store, list()))),
        None => *known.last().ok_or_else(|| bad(none_of(&run, &args.store, &location, &store)))?,
    };
    let config = model(&store, &run, seq)?;
    let dataset = Dataset::open(&args.data, Verify::Sizes)?;
    let tokenizer = dataset.tokenizer()?;
    if tokenizer.vocab_size() as usize > config.vocab_size {
        return Err(Failure::new(
            exit::DATA,
            format!(
                "--data {}: its tokenizer has {} tokens, the model's vocab_size is {}: name the data set it was trained on",
                args.data.display(),
                tokenizer.vocab_size(),
                config.vocab_size
            ),
        ));
    }
    let layout = VectorLayout::new(config.parameters().into_iter().map(|p| (p.name, p.shape)))?;
    let (_, state) = store.wait(run_checkpoint::load(store.store(), &run, seq, &layout))?;
    let options = Options {
        threads: args.threads,
        recompute: false,
        micro_rows: 0,
        seed: args.seed,
        model: ModelOptions::default(),
    };
    // Never stepped: any valid numbers will do.
    let adam = AdamW { lr: 0.0, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.0, clip: 1.0 };
    let mut trainer = Trainer::<f32>::new(&config, adam, options).map_err(engine)?;
    trainer.set_params(state.theta()).map_err(engine)?;
    let mut prompt = vec![tokenizer.bos()];
    prompt.extend(
        tokenizer.encode(args.prompt.as_bytes()).map_err(|e| bad(format!("--prompt: cannot be encoded: {e}")))?,
    );
    let sampling = Sampling {
        tokens: args.length,
        temperature: args.temperature,
        top_k: args.top_k,
        seed: args.seed,
        stop: Some(tokenizer.eos()),
    };
    if let Some(note) = slides(prompt.len(), args.length, config.max_position_embeddings) {
        crate::out::note!("note: {note}");
    }
    // Text on a terminal shows by itself how far it is.
    let hidden = std::io::stdout().is_terminal();
    let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(args.length as u64) };
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} tokens {eta}") {
        bar.set_style(style);
    }
    bar.set_message("writing");
    let mut out = std::io::stdout().lock();
    let mut write = |bytes: &[u8]| out.write_all(bytes).and_then(|()| out.flush()).is_ok();
    write(args.prompt.as_bytes());
    let each = |token| {
        bar.inc(1);
        write(tokenizer.run(token))
    };
    trainer.generate(&prompt, &sampling, each).map_err(engine)?;
    bar.finish_and_clear();
    write(b"\n");
    Ok(exit::FINISHED)
}

/// What to say of a store without a checkpoint of the run: what it has, or where stores are, if it is none.
fn none_of(run: &RunId, name: &str, location: &Location, store: &BlockingStore) -> String {
    let instead = match location {
        Location::Folder(folder) if !folder.join("runs").is_dir() => {
            format!("it is no site's store, the folder above `runs`; {}", stores::near(folder))
        }
        _ => stores::runs(store),
    };
    format!("{name} holds no run checkpoint of run {run}: {instead}")
}

/// What a person should know of a text that grows beyond what the model looks back at.
fn slides(prompt: usize, length: usize, longest: usize) -> Option<String> {
    // The last token is chosen after all others, so it may stand one beyond.
    let (now, end) = (prompt > longest, prompt.saturating_add(length) > longest.saturating_add(1));
    let what = if now { "the prompt is longer than that" } else { "the text may grow beyond that" };
    (now || end).then(|| {
        format!(
            "the model looks back {longest} tokens at most and {what} ({prompt} tokens of prompt, {length} to write): then only \
             the last {longest} count, and each token takes as long as all of them; a smaller --length avoids it"
        )
    })
}

/// The model's configuration, as it stands beside the checkpoint.
fn model(store: &BlockingStore, run: &RunId, seq: Seq) -> Result<ModelConfig, Failure> {
    let key = format!("{}/{}", keys::checkpoint(run, seq), run_checkpoint::CONFIG);
    let bad = |what: String| Failure::new(exit::CHECKPOINT, format!("{key}: {what}"));
    let bytes = store.wait(store.store().get(&key, LARGEST_CONFIG))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    let name = value.get("model_type").and_then(serde_json::Value::as_str).unwrap_or_default();
    let architecture = Architecture::ALL
        .into_iter()
        .find(|a| a.model_type() == name)
        .ok_or_else(|| bad(format!("model_type {name:?} is not one this build knows")))?;
    hugging_face::read(&value, architecture)
        .map_err(|p| bad(p.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}
