//! The command line of `coalition-trainer`. Must not do anything but parse.
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use coalition_data::tokenizer::{BOS, EOS};
use coalition_spec::tokens;

/// Trains one site's part of a run, prepares its data, and writes text from what was learnt.
#[derive(Debug, Parser)]
#[command(name = "coalition-trainer", version, max_term_width = 100, after_long_help = CODES)]
pub struct Cli {
    /// How log lines look: for people, on standard error, or one JSON object a line on standard output, beside the events.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "COALITION_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What scripts and pods may rely on: the numbers of `coalition_protocol::exit`.
const CODES: &str = "Exit codes:
  0   finished; the gateway confirmed the run's end
  2   the command line is wrong
  64  bad configuration, or training diverged: restarting cannot help
  65  bad or missing data
  66  damaged checkpoint, and nothing else to go on from
  69  the gateway is gone for good or no longer wants this worker
  70  a bug: please report it with the log
  75  a passing failure (a peer was lost, a store is full or did not answer): try again
  143 stopped by SIGTERM or suspended, after saving";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep one worker running: start it, restart it in place, watch the run permit (PID 1 of a pod).
    #[command(after_help = "Examples:
  coalition-trainer supervise --config worker-0.json
  coalition-trainer supervise --config worker.json --worker 3 --listen 10.0.0.7:0 --health 0.0.0.0:8080")]
    Supervise(WorkerArgs),
    /// Train as one worker of a gang; usually started by `supervise`.
    #[command(after_help = "Example:\n  COALITION_TOKEN=… coalition-trainer work --config worker-0.json")]
    Work(WorkerArgs),
    /// Ask the supervisor of a worker whether that has joined its gang and lives: exit code 0, or 75 and why not.
    #[command(
        after_help = "A kubelet asks the same more cheaply with an httpGet probe for /readyz at the address of --health.

Example:
  coalition-trainer ready --config worker-0.json"
    )]
    Ready(WorkerArgs),
    /// Prepare data sets, and check them.
    #[command(
        subcommand,
        after_help = "Examples:
  coalition-trainer data prepare --include '*.rs' --out ./data ~/.cargo/registry/src
  coalition-trainer data verify ./data
  coalition-trainer data push ./data s3://BUCKET/datasets/rust"
    )]
    Data(Data),
    /// Write text from a run checkpoint.
    #[command(after_help = "Examples:
  coalition-trainer generate --store .coalition/mine/sites/north/store --run mine --data text --prompt 'fn main() {'
  coalition-trainer generate --store s3://BUCKET/PREFIX --run mine --seq 57 --data text --temperature 0")]
    Generate(Generate),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  coalition-trainer completion bash > /etc/bash_completion.d/coalition-trainer")]
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// The arguments of a worker.
#[derive(Clone, Debug, Args)]
pub struct WorkerArgs {
    /// The configuration, a JSON file; one may serve all workers of a gang.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Index of this worker in the gang, from 0; instead of the file's `worker`.
    #[arg(long, value_name = "N")]
    pub worker: Option<u32>,
    /// Where the other workers find this one, port 0 takes a free one; instead of the file's `listen`.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Where the supervisor answers GET /readyz; instead of the file's `health`.
    #[arg(long, value_name = "HOST:PORT")]
    pub health: Option<String>,
}

/// Data sets.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Turn files and folders into token shards with an index and a digest.
    #[command(after_help = "Examples:
  coalition-trainer data prepare --include '*.rs' --out ./data ~/.cargo/registry/src
  coalition-trainer data prepare --bpe 4096 --include '*.txt' --held-out 0.02 --out ./rfc /usr/share/doc/RFC
  coalition-trainer data prepare --tokenizer ./rfc/tokenizer.json --include '*.txt' --out ./more ~/texts
  coalition-trainer data prepare --tokenizer gpt2.json --bos '<|endoftext|>' --eos '<|endoftext|>' --out ./text ~/texts")]
    Prepare(Prepare),
    /// Compare every shard of a prepared data set with its digest.
    #[command(after_help = "Example:\n  coalition-trainer data verify ./data")]
    Verify {
        /// The data set's folder.
        folder: PathBuf,
    },
    /// Copy a prepared data set into a bucket, from where workers bring it into their cache.
    #[command(
        after_help = "Nothing there is ever overwritten, and the index comes last: until it is there, there is no data set. \
A push that was cut off goes on where it was.

Environment: AWS_ENDPOINT_URL (absent: AWS), AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, COALITION_CA_FILE.

Examples:
  coalition-trainer data push ./data s3://BUCKET/datasets/rust
  AWS_ENDPOINT_URL=https://minio.example:9000 coalition-trainer data push ./data s3://BUCKET/datasets/rust"
    )]
    Push {
        /// The data set's folder.
        folder: PathBuf,
        /// Where to: `s3://BUCKET/PREFIX/NAME`, or a folder, such as one that is mounted.
        #[arg(value_name = "URL")]
        to: String,
    },
}

/// How to prepare.
#[derive(Debug, Args)]
pub struct Prepare {
    /// Files and folders to read.
    #[arg(required = true, value_name = "PATH")]
    pub sources: Vec<PathBuf>,
    /// The folder to make; it must not exist yet.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Take only files below folders that match (`*.rs`, `src/**/*.md`); may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub include: Vec<String>,
    /// Leave out files that match; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Train a byte-level BPE of at most so many tokens instead of reading bytes.
    #[arg(long, value_name = "TOKENS")]
    pub bpe: Option<u32>,
    /// Take this byte-level BPE, a tokenizer.json of the `tokenizers` library, instead of reading bytes.
    #[arg(long, value_name = "FILE", conflicts_with = "bpe")]
    pub tokenizer: Option<PathBuf>,
    /// The special token of that file that begins a document.
    #[arg(long, value_name = "TOKEN", requires = "tokenizer", default_value = BOS)]
    pub bos: String,
    /// The special token of that file that ends a document; it may be the same.
    #[arg(long, value_name = "TOKEN", requires = "tokenizer", default_value = EOS)]
    pub eos: String,
    /// Share of documents held out for evaluation, at least 0 and below 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub held_out: f64,
    /// Seed of the held-out split.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Take documents only until they hold so many bytes, such as 400k or 4M (powers of 1000, as in manifests).
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub limit_bytes: Option<u64>,
    /// Take binary files too. Without it a file with a NUL byte in its first 8 KiB is passed by, counted and named.
    #[arg(long)]
    pub binary: bool,
    /// Pass by files that are not UTF-8 where text is needed.
    #[arg(long)]
    pub skip_not_utf8: bool,
    /// Threads; 0 means one a core. The result does not depend on it.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// What to write, and from which checkpoint.
#[derive(Debug, Args)]
pub struct Generate {
    /// The store with the run checkpoint: a folder (of a local run STATE/sites/SITE/store) or `s3://BUCKET/PREFIX`.
    #[arg(long, value_name = "DIR|URL")]
    pub store: String,
    /// The run.
    #[arg(long)]
    pub run: String,
    /// The record whose checkpoint to use; absent: the newest in the store.
    #[arg(long)]
    pub seq: Option<u64>,
    /// The data set, for its tokenizer.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// What to continue; empty begins a document.
    #[arg(long, default_value = "")]
    pub prompt: String,
    /// Tokens to write. Beyond the model's longest sequence (`max_position_embeddings`) only the end of the text counts, and
    /// each further token takes as long as that whole sequence.
    #[arg(long, default_value_t = 256)]
    pub length: usize,
    /// 0 takes the likeliest token every time; 1 follows the model.
    #[arg(long, default_value_t = 0.8)]
    pub temperature: f64,
    /// Choose among so many likeliest tokens; 0 among all.
    #[arg(long, default_value_t = 0)]
    pub top_k: usize,
    /// Seed of the draws: same seed, same text.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Compute threads.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
}

/// An amount of bytes, written as manifests write tokens; a capital K is one as well.
fn bytes(text: &str) -> Result<u64, String> {
    tokens::parse(&text.replace('K', "k")).map_err(|_| {
        "must be a whole number of bytes, at most 9007T, with one of the suffixes k, M, G, T (powers of 1000) or none, such as \
         400k, 4M or 8192"
            .to_owned()
    })
}
