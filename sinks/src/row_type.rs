//! Types of rows that are sent as one array, and tables whose columns are declared once.

/// Makes a struct, which derives `sqlx::Encode` with its fields in the order of the type's attributes, a row of the
/// composite type of that name; `owned` where the struct borrows nothing.
macro_rules! row_type {
    (owned $row:ident, $name:literal) => {
        crate::postgres::row_type::row_type!(@of $row, $name);
    };
    ($row:ident, $name:literal) => {
        crate::postgres::row_type::row_type!(@of $row<'_>, $name);
    };
    (@of $row:ty, $name:literal) => {
        impl sqlx::Type<sqlx::Postgres> for $row {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                sqlx::postgres::PgTypeInfo::with_name($name)
            }
        }

        impl sqlx::postgres::PgHasArrayType for $row {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                sqlx::postgres::PgTypeInfo::array_of($name)
            }
        }
    };
}
pub(crate) use row_type;

/// Declares a table once, in the order of its row type's attributes: first the columns by which rows are asked for, then
/// the others.
///
/// Makes a struct that is sent as one row of the composite type, with `insert`, `upsert` where a key is named for it, or both
/// where `insert new` follows the key: rows that are known to be new cost a third less without a question about conflicts;
/// and where a second struct is named, one that the other columns are read into (`COLUMNS` are these). The kinds of columns
/// are those of [`sent`] and [`stored`].
macro_rules! table {
    (
        $(#[$doc:meta])*
        struct $sent:ident read as $(#[$read_doc:meta])* $stored:ident
        in $table:literal as $type:literal $(upsert on $conflict:literal)? $(insert $missing:ident)? {
            $($key:ident: $key_kind:ident),+;
            $($column:ident: $kind:ident $(($value:ty))?),+ $(,)?
        }
    ) => {
        crate::postgres::row_type::table! {
            $(#[$doc])*
            struct $sent in $table as $type $(upsert on $conflict)? $(insert $missing)? {
                $($key: $key_kind),+;
                $($column: $kind $(($value))?),+
            }
        }

        $(#[$read_doc])*
        #[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
        pub(super) struct $stored {
            $(pub(super) $column: crate::postgres::row_type::stored!($kind $(($value))?),)+
        }

        impl $stored {
            /// The columns.
            pub(super) const COLUMNS: &'static str = crate::postgres::row_type::list!($($column),+);
        }
    };
    (
        $(#[$doc:meta])*
        struct $sent:ident
        in $table:literal as $type:literal $(upsert on $conflict:literal)? $(insert $missing:ident)? {
            $($key:ident: $key_kind:ident),+;
            $($column:ident: $kind:ident $(($value:ty))?),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, sqlx::Encode)]
        pub(super) struct $sent<'a> {
            $(pub(super) $key: crate::postgres::row_type::sent!('a $key_kind),)+
            $(pub(super) $column: crate::postgres::row_type::sent!('a $kind $(($value))?),)+
        }

        crate::postgres::row_type::row_type!($sent, $type);

        impl $sent<'_> {
            crate::postgres::row_type::writing! {
                concat!(
                    "INSERT INTO ", $table, " (",
                    crate::postgres::row_type::list!($($key),+ $(, $column)+),
                    ") SELECT * FROM unnest($1::", $type, "[])"
                ),
                crate::postgres::row_type::assignments!($($column),+)
                $(, on $conflict)? $(, $missing)?
            }
        }
    };
}
pub(crate) use table;

/// Generates the functions that write rows of a table.
macro_rules! writing {
    ($insert:expr, $assignments:expr) => {
        /// Writes rows, sorted by key; one whose key is there is an error.
        pub(super) async fn insert(tx: &mut sqlx::PgConnection, rows: &[Self]) -> sqlx::Result<()> {
            const TEXT: &str = $insert;
            if rows.is_empty() {
                return Ok(());
            }
            sqlx::query(TEXT).bind(rows).execute(tx).await.map(drop)
        }
    };
    ($insert:expr, $assignments:expr, missing) => {
        /// Writes rows, sorted by key, where none is there.
        pub(super) async fn insert_missing(tx: &mut sqlx::PgConnection, rows: &[Self]) -> sqlx::Result<()> {
            const TEXT: &str = concat!($insert, " ON CONFLICT DO NOTHING");
            sqlx::query(TEXT).bind(rows).execute(tx).await.map(drop)
        }
    };
    ($insert:expr, $assignments:expr, on $conflict:literal, new) => {
        crate::postgres::row_type::writing!($insert, $assignments);
        crate::postgres::row_type::writing!($insert, $assignments, on $conflict);
    };
    ($insert:expr, $assignments:expr, on $conflict:literal) => {
        /// Writes rows, sorted by key, in place of those that are there.
        pub(super) async fn upsert(tx: &mut sqlx::PgConnection, rows: &[Self]) -> sqlx::Result<()> {
            const TEXT: &str =
                concat!($insert, " ON CONFLICT (", $conflict, ") DO UPDATE SET ", $assignments);
            if rows.is_empty() {
                return Ok(());
            }
            sqlx::query(TEXT).bind(rows).execute(tx).await.map(drop)
        }
    };
}
pub(crate) use writing;

/// The Rust type that a column of some kind is sent as.
macro_rules! sent {
    ($life:lifetime text) => { &$life str };
    ($life:lifetime text_or_null) => { Option<&$life str> };
    ($life:lifetime texts) => { &$life [String] };
    ($life:lifetime names) => { Vec<&$life str> };
    ($life:lifetime bytes) => { &$life [u8] };
    ($life:lifetime $kind:ident $(($value:ty))?) => { crate::postgres::row_type::plain!($kind $(($value))?) };
}
pub(crate) use sent;

/// The Rust type that a column of some kind is read as.
macro_rules! stored {
    (text) => { String };
    (text_or_null) => { Option<String> };
    (texts) => { Vec<String> };
    (names) => { Vec<String> };
    (bytes) => { Vec<u8> };
    ($kind:ident $(($value:ty))?) => { crate::postgres::row_type::plain!($kind $(($value))?) };
}
pub(crate) use stored;

/// The Rust type of a column that is sent as it is read.
macro_rules! plain {
    (made_text) => { String };
    (made_text_or_null) => { Option<String> };
    (instant) => { schemas::Timestamp };
    (instant_or_null) => { Option<schemas::Timestamp> };
    (uuid) => { uuid::Uuid };
    (uuid_or_null) => { Option<uuid::Uuid> };
    (date) => { chrono::NaiveDate };
    (decimal) => { rust_decimal::Decimal };
    (decimal_or_null) => { Option<rust_decimal::Decimal> };
    (smallint) => { i16 };
    (smallint_or_null) => { Option<i16> };
    (integer) => { i32 };
    (bigint) => { i64 };
    (bigints) => { Vec<i64> };
    (bigints_or_null) => { Option<Vec<i64>> };
    (double) => { f64 };
    (boolean) => { bool };
    (json($value:ty)) => { sqlx::types::Json<$value> };
    (json_or_null($value:ty)) => { Option<sqlx::types::Json<$value>> };
}
pub(crate) use plain;

/// Names, separated by commas.
macro_rules! list {
    ($first:ident $(, $more:ident)*) => { concat!(stringify!($first) $(, ", ", stringify!($more))*) };
}
pub(crate) use list;

/// Each column as the row says that was not inserted.
macro_rules! assignments {
    ($first:ident $(, $more:ident)*) => {
        concat!(
            stringify!($first), " = excluded.", stringify!($first)
            $(, ", ", stringify!($more), " = excluded.", stringify!($more))*
        )
    };
}
pub(crate) use assignments;
