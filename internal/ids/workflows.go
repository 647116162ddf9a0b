package ids

// Registered names are stable for ever: histories, schedules and runbooks
// hold them.
const (
	// WorkflowProvisionTenant creates a tenant.
	WorkflowProvisionTenant = "ProvisionTenant"
	// WorkflowFleetPass visits every active tenant by the clock.
	WorkflowFleetPass = "FleetPass"

	// QueueProvisioning runs what changes database servers.
	QueueProvisioning = "provisioning"
	// QueueFleet runs what visits every tenant.
	QueueFleet = "fleet"

	// ScheduleNightly starts the nightly fleet pass.
	ScheduleNightly = "fleet-nightly"

	// QueryProgress is the query that answers a workflow's steps.
	QueryProgress = "progress"
)

// Search attributes; they are never encrypted, so they hold ids only.
const (
	SearchTenant    = "TenantryTenant"
	SearchOperation = "TenantryOperation"
	SearchKind      = "TenantryKind"
)

// ProvisionTenantWorkflow is the workflow id of a tenant's provisioning: one
// per tenant for ever.
func ProvisionTenantWorkflow(t Tenant) string { return "tenant/" + t.String() + "/provision" }
