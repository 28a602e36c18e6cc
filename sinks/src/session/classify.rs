//! Classification of Postgres errors by their effect on a batch: the SQLSTATE tables of
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>, read by class.

use schemas::{ParkReason, text::one_line};
use sqlx::postgres::PgDatabaseError;

use crate::delivery::DeliveryError;

/// Longer messages are cut.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// Effect of an error on the batch, and whether the connection may be used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Treatment of the batch.
    pub(crate) kind: FailureKind,
    /// The error message of Postgres, without payload.
    pub(crate) message: String,
    /// The connection is in order: after `ROLLBACK` it may be used again.
    pub(crate) connection_usable: bool,
}

/// Treatment of a batch that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The server is away; the same batch again.
    Unavailable,
    /// The transaction broke off, perhaps because of what the batch holds.
    Interrupted,
    /// A statement (57014) or the transaction (25P03, 25P04, our own limit) took longer than it may.
    TimedOut,
    /// An id exists already (23505): find out which.
    Duplicate,
    /// A position is not where the batch begins (WE001, Weir's own): find out why.
    NotMoved,
    /// The tables are not as the read model believes (WE002, Weir's own): read them again.
    Outdated,
    /// The batch holds something that can never be stored.
    Rejected(ParkReason),
    /// The set-up is wrong.
    Misconfigured,
    /// A partition belongs to another owner now.
    Fenced,
}

impl Failure {
    /// Reads an error that came up while the batch was being written. Whatever is not known to be the batch's or the
    /// set-up's fault, nor that of a server that is away, is `Interrupted`: it must not cost a record.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(db) => {
                let code = db.code();
                let code = code.as_deref().unwrap_or_default();
                let (kind, connection_usable) = by_sqlstate(code);
                let relation =
                    db.try_downcast_ref::<PgDatabaseError>().map(describe_place).unwrap_or_default();
                let message = format!("{}{relation} (SQLSTATE {code})", db.message());
                Self { kind, message: one_line(&message, MAX_MESSAGE_CHARS), connection_usable }
            }
            // What we bind and read does not fit the table: a migration is missing, or too many were run.
            sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::Configuration(_)
            | sqlx::Error::RowNotFound => Self::closing(FailureKind::Misconfigured, error),
            _ => Self::closing(FailureKind::Interrupted, error),
        }
    }

    /// Somebody else's partition.
    pub(crate) fn fenced() -> Self {
        Self { kind: FailureKind::Fenced, message: String::new(), connection_usable: true }
    }

    /// Reads an error that came up while connecting: nothing of the batch has been tried yet.
    pub(crate) fn connecting(error: &sqlx::Error) -> Self {
        let failure = Self::of(error);
        match failure.kind {
            FailureKind::Misconfigured => failure,
            _ => Self { kind: FailureKind::Unavailable, connection_usable: false, ..failure },
        }
    }

    /// The work took longer than our own limit; the connection is closed.
    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::TimedOut, message: message.into(), connection_usable: false }
    }

    /// A reason of Weir's own to stop for now; the connection is closed.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Interrupted, message: message.into(), connection_usable: false }
    }

    fn closing(kind: FailureKind, error: &sqlx::Error) -> Self {
        Self { kind, message: one_line(&error.to_string(), MAX_MESSAGE_CHARS), connection_usable: false }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::of(&error)
    }
}

impl From<Failure> for DeliveryError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Unavailable | FailureKind::Outdated => Self::Unavailable(failure.message),
            FailureKind::Interrupted => Self::Interrupted(failure.message),
            FailureKind::TimedOut => Self::TimedOut(failure.message),
            // A fold's own unique key: the sink looks into those of facts before it comes here.
            FailureKind::Duplicate => {
                Self::Rejected { park_as: ParkReason::ConstraintViolated, reason: failure.message }
            }
            FailureKind::Rejected(park_as) => Self::Rejected { park_as, reason: failure.message },
            FailureKind::Misconfigured => Self::Misconfigured(failure.message),
            FailureKind::NotMoved | FailureKind::Fenced => Self::Fenced,
        }
    }
}

/// Classifies a SQLSTATE, and whether the connection is usable after a `ROLLBACK`.
fn by_sqlstate(code: &str) -> (FailureKind, bool) {
    use FailureKind::{
        Duplicate, Interrupted, Misconfigured, NotMoved, Outdated, Rejected, TimedOut, Unavailable,
    };
    match code {
        "23505" => return (Duplicate, true),
        "57014" => return (TimedOut, true),
        // Idle in the transaction while we compute, or too long in it: the server has closed the connection.
        "25P03" | "25P04" => return (TimedOut, false),
        // It may be this batch for which the memory does not suffice.
        "53200" => return (Interrupted, false),
        // Read-only: a standby, or a server that was told to be.
        "25006" => return (Unavailable, false),
        "WE001" => return (NotMoved, true),
        "WE002" => return (Outdated, true),
        // Data corruption: no retry makes it better, and no record is at fault.
        "XX001" | "XX002" => return (Misconfigured, false),
        "P0001" => return (Rejected(ParkReason::ConstraintViolated), true),
        _ => {}
    }
    match code.get(..2).unwrap_or_default() {
        // Cardinality, integrity constraints, WITH CHECK OPTION.
        "21" | "23" | "44" => (Rejected(ParkReason::ConstraintViolated), true),
        // Data exceptions: U+0000 in text, out of range, too long.
        "22" => (Rejected(ParkReason::Unstorable), true),
        // Program limits: an index row too large, for example.
        "54" => (Rejected(ParkReason::LimitExceeded), true),
        // Not supported, authorisation, catalog, schema, syntax or access rule.
        "0A" | "28" | "3D" | "3F" | "42" => (Misconfigured, false),
        // Serialisation and deadlock, lock not available: the connection did nothing wrong, and fewer locks may help.
        "40" | "55" => (Interrupted, true),
        // Connections, resources, operators' interventions, the system around the server.
        "08" | "53" | "57" | "58" => (Unavailable, false),
        // Transaction state, internal errors, and whatever is not listed.
        _ => (Interrupted, false),
    }
}

fn describe_place(db: &PgDatabaseError) -> String {
    match (db.table(), db.constraint()) {
        (Some(table), Some(constraint)) => format!(" in {table}, {constraint}"),
        (Some(table), None) => format!(" in {table}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureKind::{Duplicate, Interrupted, Misconfigured, Rejected, TimedOut, Unavailable};

    fn check(codes: &[&str], kind: FailureKind, usable: bool) {
        for code in codes {
            assert_eq!(by_sqlstate(code), (kind, usable), "{code}");
        }
    }

    #[test]
    fn a_server_that_is_away_is_waited_for() {
        check(&["08000", "08006", "08P01", "25006"], Unavailable, false);
        check(&["53000", "53100", "53300"], Unavailable, false);
        check(&["57P01", "57P02", "57P03", "57000"], Unavailable, false);
        check(&["58000", "58030"], Unavailable, false);
    }

    #[test]
    fn work_that_breaks_off_may_be_the_batchs_fault() {
        check(&["25P02", "53200", "XX000"], Interrupted, false);
        check(&["", "0", "ZZ999", "F0000"], Interrupted, false);
        check(&["40001", "40P01", "55P03", "55006"], Interrupted, true);
        check(&["57014"], TimedOut, true);
        check(&["25P03", "25P04"], TimedOut, false);
        check(&["WE001"], FailureKind::NotMoved, true);
    }

    #[test]
    fn what_the_data_is_to_blame_for_is_rejected() {
        check(&["22021", "22001", "22003", "22008", "22P05"], Rejected(ParkReason::Unstorable), true);
        check(
            &["21000", "23502", "23514", "23503", "44000", "P0001"],
            Rejected(ParkReason::ConstraintViolated),
            true,
        );
        check(&["54000", "54001"], Rejected(ParkReason::LimitExceeded), true);
        check(&["23505"], Duplicate, true);
    }

    #[test]
    fn what_the_set_up_is_to_blame_for_is_neither() {
        check(
            &["0A000", "28000", "28P01", "3D000", "3F000", "42P01", "42501", "42703"],
            Misconfigured,
            false,
        );
        check(&["XX001", "XX002"], Misconfigured, false);
    }

    #[test]
    fn errors_that_are_not_postgres_own_are_told_apart() {
        let io = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(Failure::of(&io).kind, Interrupted);
        assert!(!Failure::of(&io).connection_usable);
        assert_eq!(Failure::connecting(&io).kind, Unavailable);
        let wrong = sqlx::Error::Configuration("no URL".into());
        assert_eq!(Failure::connecting(&wrong).kind, Misconfigured);
        assert_eq!(Failure::of(&sqlx::Error::ColumnNotFound("x".into())).kind, Misconfigured);
    }
}
