//! The tenant that a command acts for, where no credential says it.

use anyhow::bail;
use schemas::TenantId;
use stack::StackConfig;

use super::up::LOCAL_TENANT;

/// The tenant that was named, else that of the local deployment if its servers are used. A deployment of other people has no
/// tenant by default: events and decisions that are kept in the wrong tenant's log cannot be taken back.
pub(super) fn acted_for(named: Option<&str>) -> anyhow::Result<TenantId> {
    if let Some(named) = named {
        return Ok(TenantId::new(named)?);
    }
    if StackConfig::shared()?.is_local() {
        return Ok(TenantId::new(LOCAL_TENANT)?);
    }
    bail!(
        "for which tenant? Name it with --tenant (decisions about dead letters: --audit-tenant) or WEIR_TENANT"
    )
}
