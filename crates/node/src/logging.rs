//! Log lines on standard error: for people, or one JSON object a line for machines.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for a person to read.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The given text names no log format, or no log level.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoggingError {
    /// Neither `text` nor `json`.
    #[error("`{0}` is no log format: use `text` or `json`")]
    Format(String),
    /// Not a filter such as `info` or `feiqian_node=debug,warn`.
    #[error(
        "`{0}` is no log level: use error, warn, info, debug, trace or a filter such as `info,feiqian_bank=debug`"
    )]
    Level(String),
}

impl FromStr for LogFormat {
    type Err = LoggingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LoggingError::Format(other.to_owned())),
        }
    }
}

/// Starts logging to standard error at `level`, a level or a filter by module. The first call in a process decides;
/// later ones change nothing and answer `false`.
///
/// # Errors
/// When `level` is no filter.
///
/// # Security
/// Nodes log no request bodies, no secrets, and on anonymous routes neither certificate nor address.
pub fn init(format: LogFormat, level: &str) -> Result<bool, LoggingError> {
    let filter = EnvFilter::try_new(level).map_err(|_| LoggingError::Level(level.to_owned()))?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(started.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_parse_and_bad_filters_are_refused() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!("text".parse(), Ok(LogFormat::Text));
        assert!("xml".parse::<LogFormat>().is_err());
        assert!(matches!(init(LogFormat::Text, "feiqian=loud"), Err(LoggingError::Level(_))));
        assert!(init(LogFormat::Text, "info").is_ok());
        assert_eq!(init(LogFormat::Json, "debug"), Ok(false), "the first call decides");
    }
}
