//! Permissions: scopes, roles, principals and API keys. Pure: keys are loaded elsewhere and verified here.

mod key;
mod limits;
mod principal;
mod scope;

pub use key::{
    ApiKey, KeyFault, KeyRing, MAX_CREDENTIAL_BYTES, MIN_PEPPER_BYTES, NewApiKey, Pepper, Peppers,
    RefusedKey, ShortPepper, VerifiedKey,
};
pub use limits::{LimitName, LimitTable};
pub use principal::{KeyHolder, Principal, TokenSubject};
pub use scope::{Role, Scope};
