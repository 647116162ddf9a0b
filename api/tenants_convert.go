package api

import (
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
)

var tenantStates = map[string]tenantsv1.TenantState{
	tenants.Reserved:     tenantsv1.TenantState_TENANT_STATE_RESERVED,
	tenants.Provisioning: tenantsv1.TenantState_TENANT_STATE_PROVISIONING,
	tenants.Failing:      tenantsv1.TenantState_TENANT_STATE_FAILING,
	tenants.Active:       tenantsv1.TenantState_TENANT_STATE_ACTIVE,
	tenants.Suspended:    tenantsv1.TenantState_TENANT_STATE_SUSPENDED,
	tenants.Resuming:     tenantsv1.TenantState_TENANT_STATE_RESUMING,
}

func tenantMessage(t tenants.Tenant, urls tenants.URLs) *tenantsv1.Tenant {
	return &tenantsv1.Tenant{
		Id: t.ID.String(), Slug: t.Slug, Name: t.Name, State: tenantStates[t.State], CreateTime: timestamp(&t.CreatedAt),
		ActivateTime: timestamp(t.ActivatedAt), Url: urls.Tenant(t.Slug), SchemaVersion: t.SchemaVersion,
		Version: t.Version, MaxUsers: int32(t.MaxUsers), //nolint:gosec // at most a million
	}
}

// reserveInput is shared by the RPC and the inbound hook.
func reserveInput(req *tenantsv1.CreateTenantRequest) tenants.ReserveInput {
	s := req.GetSettings()
	return tenants.ReserveInput{
		Slug: req.GetSlug(), Name: req.GetName(), OwnerEmail: req.GetOwnerEmail(), ReserveOnly: req.GetReserveOnly(),
		Settings: settings.Document{
			RegistrationPolicy: s.GetRegistrationPolicy(), Language: s.GetLanguage(),
			TimeZone: s.GetTimeZone(), AppURL: s.GetAppUrl(), MaxUsers: int(s.GetMaxUsers()),
		},
	}
}
