//! Utilisation of a resource, as monitoring measured it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{EventId, TenantId, Timestamp};

/// One measurement of one resource. Stored once per event, never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UtilisationFact {
    /// The event that says it; unique within the tenant.
    pub event_id: EventId,
    /// Tenant that owns the resource.
    pub tenant: TenantId,
    /// When it was measured.
    pub at: Timestamp,
    /// The resource's id.
    pub resource: String,
    /// The metric: the name of a [`UtilisationMetric`], or the source's own name for it, at most 128 bytes.
    pub metric: String,
    /// The value: percent, or a count or rate in the source's unit.
    pub value: Decimal,
    /// Part of a Kubernetes node that the measurement is about, if any.
    pub node_share: Option<Box<NodeShare>>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// A measurement that divides the cost of a Kubernetes node: its capacity, or a part of it that a pod asks for or uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeShare {
    /// Id of the node's machine, as charges name it.
    pub node: String,
    /// The amount that was measured.
    pub measure: NodeMeasure,
    /// CPU cores, or bytes of memory.
    pub amount: Decimal,
    /// The pod; `None` for the node's own capacity.
    pub pod: Option<Pod>,
}

/// A pod, or one of its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// UID of the pod, or its namespace and name.
    pub id: String,
    /// Name of the container; empty for the pod as a whole.
    pub container: String,
    /// Workload that the pod belongs to.
    pub workload: Workload,
}

/// A Kubernetes workload; what is not told is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Workload {
    /// Name of the cluster.
    pub cluster: String,
    /// Namespace.
    pub namespace: String,
    /// Name of the deployment, stateful set, daemon set or job; otherwise that of the pod.
    pub name: String,
    /// Project.
    pub project: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

named! {
    /// An amount of a node's capacity.
    NodeMeasure {
        /// CPU cores that the node offers to pods.
        CpuAllocatable => "cpu_allocatable",
        /// CPU cores of the node, with those that it keeps for itself.
        CpuCapacity => "cpu_capacity",
        /// CPU cores that a pod requests.
        CpuRequested => "cpu_requested",
        /// CPU cores that a pod uses.
        CpuUsed => "cpu_used",
        /// Bytes of memory that the node offers to pods.
        MemoryAllocatable => "memory_allocatable",
        /// Bytes of memory of the node, with those that it keeps for itself.
        MemoryCapacity => "memory_capacity",
        /// Bytes of memory that a pod requests.
        MemoryRequested => "memory_requested",
        /// Bytes of memory that a pod uses.
        MemoryUsed => "memory_used",
        /// Bytes of memory that a pod uses and the kernel cannot reclaim.
        MemoryWorkingSet => "memory_working_set",
    }
}

named! {
    /// A metric that recommendations read.
    UtilisationMetric {
        /// Processor time in use, percent of what the resource has.
        Cpu => "cpu_percent",
        /// Memory in use, percent.
        Memory => "memory_percent",
        /// Input and output operations, percent of what is provisioned.
        Io => "io_percent",
        /// Bytes received and sent, in the source's unit.
        Network => "network",
        /// Open connections.
        Connections => "connections",
        /// Requests, reads or writes, in the source's unit.
        Requests => "requests",
    }
}
