# METADATA
# title: Disks encrypt with keys of yours
# custom:
#   id: gcp-disk-kms
#   severity: low
#   remediation: "Set disk_encryption_key.kms_key_self_link."
#   resource_types:
#     - google_compute_disk
#     - google_compute_instance
#   controls:
#     CIS-Controls-8: ["3.11"]
#     CIS-GCP-3.0: ["4.7"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.gcp.disk_kms

import data.weir.lib

deny contains "a disk is encrypted with a key of Google" if {
	not lib.present("disk_encryption_key.kms_key_self_link")
	not lib.present("boot_disk.kms_key_self_link")
	not lib.present("boot_disk.disk_encryption_key_raw")
}
