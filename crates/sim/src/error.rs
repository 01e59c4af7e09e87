//! What can go wrong before, during and after a world.

use feiqian_wire::error::{Code, Fault};

/// Why a simulation could not be made, run or told about.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The scenario, trace or argument says something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The world could not be built or carried on: a node refused what every world needs.
    #[error("the world broke: {0}")]
    World(Fault),
    /// The file system refused.
    #[error("{0}")]
    Files(String),
    /// Something in the world panicked, even if a node caught it: what is said is no result.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// The run was told to stop.
    #[error("interrupted")]
    Interrupted,
}

impl SimError {
    /// A scenario or argument that cannot be.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }
}

impl From<Fault> for SimError {
    fn from(fault: Fault) -> Self {
        Self::World(fault)
    }
}

impl From<SimError> for Fault {
    fn from(error: SimError) -> Self {
        match error {
            SimError::Usage(message) => Self::new(Code::Usage, message),
            SimError::World(fault) => fault,
            SimError::Files(message) => Self::new(Code::Internal, message),
            panicked @ SimError::Panicked(_) => Self::new(Code::Internal, panicked.to_string()),
            SimError::Interrupted => {
                Self::new(Code::Unavailable, "interrupted").hint("go on with the same command and --resume")
            }
        }
    }
}

/// A refusal of the file system, naming what was tried.
pub(crate) fn files(what: &str, path: &std::path::Path, error: &std::io::Error) -> SimError {
    SimError::Files(format!("cannot {what} {}: {error}", path.display()))
}
