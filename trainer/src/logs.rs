//! Log lines: for people on standard error, or as events on standard output, one JSON object a line, for a machine that reads
//! those already. Both say which rank of which attempt speaks. Must not know what is logged.
use std::fmt;
use std::io::IsTerminal;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::LogFormat;
use crate::events::{emit, speaker};

/// Environment variable with the format; how a supervisor tells its worker.
pub const FORMAT_ENV: &str = "COALITION_LOG_FORMAT";
/// Environment variable with what is logged, as `tracing` filters are written (`debug`, `coalition_comm=debug`).
const FILTER_ENV: &str = "COALITION_LOG";

impl LogFormat {
    /// As [`FORMAT_ENV`] has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Sets up logging for the rest of the process.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env(FILTER_ENV).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                // Colours are for people; in a file they stand in the way.
                .with_ansi(std::io::stderr().is_terminal())
                .with_timer(Clock)
                .with_target(false);
            registry.with(lines).init();
        }
        LogFormat::Json => registry.with(Events).init(),
    }
}

/// Time of day and who speaks.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        SystemTime.format_time(w)?;
        match speaker() {
            (Some(rank), Some(attempt)) => write!(w, " rank {rank} attempt {attempt}"),
            (Some(rank), None) => write!(w, " rank {rank}"),
            _ => Ok(()),
        }
    }
}

/// Turns log lines into events.
struct Events;

#[derive(Serialize)]
struct Line {
    level: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = event.metadata().level().as_str();
        let mut line = Line { level, message: String::new(), fields: Map::new() };
        event.record(&mut line);
        emit("log", line);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.insert(field.name().to_owned(), format!("{value:?}").into());
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}
