//! Logs on stderr, which never hold a secret.

use std::io::{self, Write};
use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use indicatif::MultiProgress;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The choice of what is logged, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct LogArguments {
    /// The level of detail that is logged on stderr [default: info of dealer, serve and page, warn of other commands].
    #[arg(long, global = true, value_enum, value_name = "LEVEL")]
    log: Option<Level>,
    /// Dates in front of log lines; a journal has its own.
    #[arg(long, global = true, value_enum, default_value_t = Time::Utc, value_name = "TIME")]
    log_time: Time,
    /// The form of log lines.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Time {
    /// Date and time, UTC.
    Utc,
    /// Neither.
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object each, for programs.
    Json,
}

/// Everything on the terminal that moves; log lines go above it.
pub fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Begins to log.
pub fn start(arguments: &LogArguments, is_service: bool) {
    let level = match arguments.log {
        None if is_service => LevelFilter::INFO,
        None => LevelFilter::WARN,
        Some(Level::Off) => LevelFilter::OFF,
        Some(Level::Error) => LevelFilter::ERROR,
        Some(Level::Warn) => LevelFilter::WARN,
        Some(Level::Info) => LevelFilter::INFO,
        Some(Level::Debug) => LevelFilter::DEBUG,
        Some(Level::Trace) => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_writer(AboveBars);
    let builder = builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    // A second start, in tests, changes nothing.
    let _ = match (arguments.log_format, arguments.log_time) {
        (Format::Text, Time::Utc) => builder.try_init(),
        (Format::Text, Time::None) => builder.without_time().try_init(),
        (Format::Json, Time::Utc) => builder.json().flatten_event(true).try_init(),
        (Format::Json, Time::None) => builder.json().flatten_event(true).without_time().try_init(),
    };
}

struct AboveBars;

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

/// One line, written at once.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        bars().suspend(|| drop(io::stderr().write_all(&self.0)));
    }
}
