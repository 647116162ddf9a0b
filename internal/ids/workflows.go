package ids

// Registered names are stable for ever: histories, schedules and runbooks
// hold them.
const (
	// WorkflowProvisionTenant creates a tenant.
	WorkflowProvisionTenant = "ProvisionTenant"
	// WorkflowApplyTenantAccess makes a tenant's role match its state.
	WorkflowApplyTenantAccess = "ApplyTenantAccess"
	// WorkflowInviteOwner invites a tenant's owner again.
	WorkflowInviteOwner = "InviteOwner"
	// WorkflowApplyTenantLimits writes an operator's limits into the tenant.
	WorkflowApplyTenantLimits = "ApplyTenantLimits"
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

// The calls of operators have one workflow each, named by their operation.

// TenantAccessWorkflow is the workflow id of a suspend or a resume.
func TenantAccessWorkflow(t Tenant, o Operation) string { return tenantCall(t, "access", o) }

// InviteOwnerWorkflow is the workflow id of an owner's new invitation.
func InviteOwnerWorkflow(t Tenant, o Operation) string { return tenantCall(t, "invite-owner", o) }

// TenantLimitsWorkflow is the workflow id of a change of limits.
func TenantLimitsWorkflow(t Tenant, o Operation) string { return tenantCall(t, "limits", o) }

func tenantCall(t Tenant, verb string, o Operation) string {
	return "tenant/" + t.String() + "/" + verb + "/" + o.String()
}
