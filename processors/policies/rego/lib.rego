# Functions that recur in policies. A path is dotted (`root_block_device.encrypted`); lists on the way are walked
# through, so a path has as many values as there are blocks.
package weir.lib

items(it) := it if is_array(it)

items(it) := [] if is_null(it)

items(it) := [it] if {
	not is_array(it)
	not is_null(it)
}

step(nodes, name) := [it |
	some node in nodes
	is_object(node)
	some it in items(object.get(node, name, null))
]

further(nodes, names, depth) := nodes if count(names) <= depth

further(nodes, names, depth) := step(nodes, names[depth]) if count(names) > depth

# The values at a path below a document, at most six names deep.
values_in(root, path) := sixth if {
	names := split(path, ".")
	first := step([root], names[0])
	second := further(first, names, 1)
	third := further(second, names, 2)
	fourth := further(third, names, 3)
	fifth := further(fourth, names, 4)
	sixth := further(fifth, names, 5)
}

# The values at a path of the resource's configuration. Weir looks up the paths that policies name as literals, and
# brings them in `input.paths`; elsewhere, as in OPA, they are walked to.
values(path) := known if {
	known := input.paths[path].values
} else := values_in(input.config, path)

# The blocks of a name.
blocks(name) := values(name)

is_true(it) if it == true

is_true(it) if lower(it) in {"true", "enabled", "on", "yes"}

any_true(path) if {
	some it in values(path)
	is_true(it)
}

# There is a value, and every one is true.
all_true(path) if {
	found := values(path)
	count(found) > 0
	every it in found {
		is_true(it)
	}
}

# The value is known only after the change, or that of a block around value.
unknown(path) if input.paths[path].unknown

unknown(path) if {
	not input.paths[path]
	is_unknown(path)
}

is_unknown(path) if true in values_in(input.unknown, path)

is_unknown(path) if input.unknown[split(path, ".")[0]] == true

is_filled(it) if {
	it != ""
	it != {}
}

# There is a value, known or not.
present(path) if {
	some it in values(path)
	is_filled(it)
}

present(path) if unknown(path)

# The first value at a path, or the default.
value(path, default_value) := found[0] if {
	found := values(path)
	count(found) > 0
}

value(path, default_value) := default_value if count(values(path)) == 0

number(path, default_value) := to_number(value(path, default_value))

# Every value is one of those, and there is one.
all_in(path, allowed) if {
	found := values(path)
	count(found) > 0
	every it in found {
		it in allowed
	}
}

any_in(path, refused) if {
	some it in values(path)
	it in refused
}

# Other resources.

# The resources of a type. Weir brings them sorted by type in `input.resources_by_type`.
resources(kind) := known if {
	known := object.get(input.resources_by_type, kind, [])
} else := [other |
	some other in input.resources
	other.resource.type == kind
]

base(address) := regex.replace(address, `\[[^\]]*\]$`, "")

module_base(address) := regex.replace(address, `\[[^\]]*\]`, "")

# Another resource points at this one: by a reference of the configuration, or by an equal name.
points_here(other, argument) if {
	module_base(input.resource.address) in object.get(other.resource.references, argument, [])
	same_instance(other)
}

points_here(other, argument) if {
	given := other.config[argument]
	given != ""
	some own in ["bucket", "id", "name", "arn"]
	given == input.config[own]
}

# Instances of `for_each` and `count` belong together where both have an index.
same_instance(other) if index(other.resource.address) == index(input.resource.address)

same_instance(other) if index(other.resource.address) == ""

same_instance(other) if index(input.resource.address) == ""

index(address) := concat("", regex.find_n(`\[[^\]]*\]$`, address, 1))

related(kind, argument) := [other |
	some other in resources(kind)
	points_here(other, argument)
]

# Policies of identity and access management.

as_document(it) := json.unmarshal(it) if is_string(it)

as_document(it) := it if is_object(it)

as_list(it) := it if is_array(it)

as_list(it) := [it] if not is_array(it)

statements_of(it) := [statement |
	document := as_document(it)
	some statement in as_list(object.get(document, "Statement", []))
]

statements(path) := [statement |
	some it in values(path)
	some statement in statements_of(it)
]

allows(statement) if lower(object.get(statement, "Effect", "")) == "allow"

actions(statement) := {lower(action) | some action in as_list(object.get(statement, "Action", []))}

targets(statement) := {target | some target in as_list(object.get(statement, "Resource", []))}

has_condition(statement) if count(object.get(statement, "Condition", {})) > 0

# Anybody is a principal of the statement.
is_public(statement) if {
	allows(statement)
	principal := object.get(statement, "Principal", "")
	is_anybody(principal)
	not narrows(statement)
}

is_public(statement) if {
	allows(statement)
	object.get(statement, "NotPrincipal", null) != null
}

is_anybody(principal) if principal == "*"

is_anybody(principal) if "*" in as_list(principal.AWS)

is_anybody(principal) if "*" in as_list(principal.Service)

# Conditions that name accounts, networks, organisations or resources.
narrowing := {
	"aws:sourcearn", "aws:sourceaccount", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceip", "aws:vpcsourceip",
	"aws:principalorgid", "aws:principalarn", "aws:principalaccount", "aws:principalorgpaths", "aws:sourceorgid",
	"aws:userid", "kms:calleraccount", "kms:viaservice", "s3:dataaccesspointaccount", "s3:dataaccesspointarn",
	"sns:endpoint", "aws:sourceowner", "elasticfilesystem:accessedviamounttarget",
}

narrows(statement) if {
	some operator, tests in object.get(statement, "Condition", {})
	not startswith(lower(operator), "stringnot")
	not startswith(lower(operator), "notip")
	some key, tested in tests
	lower(key) in narrowing
	not tested in {"*", "0.0.0.0/0", "::/0"}
	not "*" in as_list(tested)
	not "0.0.0.0/0" in as_list(tested)
}

# Networks.

anywhere := {"0.0.0.0/0", "::/0", "0.0.0.0", "*", "any", "internet", "::0/0", "0000:0000:0000:0000:0000:0000:0000:0000/0"}

is_anywhere(range) if lower(range) in anywhere

# Halves of all addresses are all addresses.
is_anywhere(range) if range in {"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"}

any_port := {-1, "-1", "all"}

# Inbound rules of AWS security groups as {from, to, protocol, open}, of every type that declares them.
inbound contains rule if {
	input.resource.type in {"aws_security_group", "aws_default_security_group"}
	some block in blocks("ingress")
	rule := rule_of(block, ["cidr_blocks", "ipv6_cidr_blocks"], "from_port", "to_port", "protocol")
}

inbound contains rule if {
	input.resource.type == "aws_security_group_rule"
	lower(input.config.type) == "ingress"
	rule := rule_of(input.config, ["cidr_blocks", "ipv6_cidr_blocks"], "from_port", "to_port", "protocol")
}

inbound contains rule if {
	input.resource.type == "aws_vpc_security_group_ingress_rule"
	rule := rule_of(input.config, ["cidr_ipv4", "cidr_ipv6"], "from_port", "to_port", "ip_protocol")
}

rule_of(block, sources, first, last, protocol) := {
	"from": port(object.get(block, first, null), 0),
	"to": port(object.get(block, last, null), 65535),
	"protocol": lower(sprintf("%v", [object.get(block, protocol, "-1")])),
	"open": count([1 |
		some name in sources
		some range in items(object.get(block, name, null))
		is_anywhere(range)
	]) > 0,
}

port(it, default_value) := default_value if is_null(it)

port(it, default_value) := to_number(it) if not is_null(it)

is_all_protocols(rule) if rule.protocol in {"-1", "all"}

carries(rule, protocol) if is_all_protocols(rule)

carries(rule, protocol) if rule.protocol in protocols[protocol]

protocols := {"tcp": {"tcp", "6"}, "udp": {"udp", "17"}}

covers(rule, wanted) if is_all_protocols(rule)

covers(rule, wanted) if {
	rule.from <= wanted
	rule.to >= wanted
}

covers(rule, wanted) if {
	rule.from == -1
	rule.to == -1
}

# A port is open to anybody.
open_port(wanted) if {
	some rule in inbound
	rule.open
	carries(rule, "tcp")
	covers(rule, wanted)
}

# A port lies within texts like `22`, `20-25`, `*`.
in_range(text, wanted) if sprintf("%v", [text]) == "*"

in_range(text, wanted) if to_number(text) == wanted

in_range(text, wanted) if {
	parts := split(sprintf("%v", [text]), "-")
	count(parts) == 2
	to_number(trim_space(parts[0])) <= wanted
	to_number(trim_space(parts[1])) >= wanted
}

# Inbound rules of Azure network security groups.
azure_rules contains input.config if input.resource.type == "azurerm_network_security_rule"

azure_rules contains block if {
	input.resource.type == "azurerm_network_security_group"
	some block in blocks("security_rule")
}

azure_open(wanted) if {
	some rule in azure_rules
	lower(rule.access) == "allow"
	lower(rule.direction) == "inbound"
	lower(rule.protocol) in {"tcp", "*"}
	some source in array.concat(
		items(object.get(rule, "source_address_prefix", null)),
		items(object.get(rule, "source_address_prefixes", null)),
	)
	is_anywhere(source)
	some range in array.concat(
		items(object.get(rule, "destination_port_range", null)),
		items(object.get(rule, "destination_port_ranges", null)),
	)
	in_range(range, wanted)
}

# Google firewall: what anybody may reach.
google_open(wanted) if {
	google_from_anywhere
	some block in blocks("allow")
	lower(block.protocol) in {"tcp", "all", "6"}
	google_port(block, wanted)
}

google_from_anywhere if {
	upper(value("direction", "INGRESS")) == "INGRESS"
	not any_true("disabled")
	some range in values("source_ranges")
	is_anywhere(range)
}

google_port(block, wanted) if count(items(object.get(block, "ports", null))) == 0

google_port(block, wanted) if {
	some range in items(object.get(block, "ports", null))
	in_range(range, wanted)
}

# Kubernetes.

pod := input.config.spec if input.resource.type == "Pod"

pod := input.config.spec.template.spec if {
	input.resource.type in {
		"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job",
		"ReplicationController", "DeploymentConfig",
	}
}

pod := input.config.spec.jobTemplate.spec.template.spec if input.resource.type == "CronJob"

pod := input.config.template.spec if input.resource.type == "PodTemplate"

containers := array.concat(
	array.concat(items(object.get(pod, "containers", null)), items(object.get(pod, "initContainers", null))),
	items(object.get(pod, "ephemeralContainers", null)),
)

# Containers that run as long as the pod does.
lasting := items(object.get(pod, "containers", null))

# A member of a container's security context, or else the pod's.
security(container, name) := found if {
	found := container.securityContext[name]
	not is_null(found)
} else := pod.securityContext[name]

added(container) := {upper(trim_prefix(upper(one), "CAP_")) |
	some one in items(object.get(object.get(object.get(container, "securityContext", {}), "capabilities", {}), "add", null))
}

dropped(container) := {upper(trim_prefix(upper(one), "CAP_")) |
	some one in items(object.get(object.get(object.get(container, "securityContext", {}), "capabilities", {}), "drop", null))
}

volumes := items(object.get(pod, "volumes", null))

# Whether texts look like credentials.
looks_secret(name) if {
	regex.match(`(?i)(password|passwd|secret|api_?key|access_?key|private_?key|auth_?token|credential)`, name)
	not regex.match(`(?i)(_arn|_name|_id|_path|_file|_url|_ref|_uri)$`, name)
}

holds_key(text) if regex.match(`(AKIA|ASIA)[0-9A-Z]{16}`, text)

holds_key(text) if regex.match(`-----BEGIN [A-Z ]*PRIVATE KEY-----`, text)

holds_key(text) if regex.match(`(?i)(aws_secret_access_key|password|passwd)\s*[=:]\s*["']?[A-Za-z0-9/+!@#%^&*_-]{8,}`, text)
