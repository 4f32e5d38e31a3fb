//! What the errors of the driver mean for what was written.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

use crate::LedgerError;

/// What is known after a conditional statement failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was not sent, or cannot be carried out: nothing was written.
    Refused(LedgerError),
    /// It may be carried out, now or later.
    Uncertain(String),
}

/// What became of a conditional statement. A timeout, a lost connection and every answer of a
/// coordinator that had begun leave it uncertain; `Unavailable` too, because a coordinator may find
/// too few replicas at any step.
pub(super) fn of_write(error: &ExecutionError) -> Failure {
    match error {
        ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => {
            Failure::Refused(unavailable(error))
        }
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::UnableToAllocStreamId => Failure::Refused(unavailable(error)),
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_)
            | RequestAttemptError::DbError(DbError::SyntaxError | DbError::Invalid, _) => {
                Failure::Refused(defect(error))
            }
            _ => Failure::Uncertain(error.to_string()),
        },
        ExecutionError::BadQuery(_) | ExecutionError::PrepareError(_) => {
            Failure::Refused(defect(error))
        }
        _ => Failure::Uncertain(error.to_string()),
    }
}

/// What a read, or a write that may be repeated at will, is answered with.
pub(super) fn of_repeatable(error: &ExecutionError) -> LedgerError {
    match of_write(error) {
        Failure::Refused(error) => error,
        Failure::Uncertain(reason) => LedgerError::Unavailable { reason },
    }
}

/// Nothing was written.
pub(super) fn unavailable(error: &impl std::fmt::Display) -> LedgerError {
    LedgerError::Unavailable {
        reason: error.to_string(),
    }
}

/// It may have been written.
pub(super) fn unknown(reason: impl Into<String>) -> LedgerError {
    LedgerError::Unknown {
        reason: reason.into(),
    }
}

/// A statement of ours that the server does not take.
pub(super) fn defect(error: &impl std::fmt::Display) -> LedgerError {
    LedgerError::corrupt(format!("a statement was refused: {error}"))
}
