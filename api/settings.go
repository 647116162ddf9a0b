package api

import (
	"context"
	"strings"

	"tenantry/api/edge"
	settingsv1 "tenantry/api/gen/tenantry/settings/v1"
	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/settings"
)

type settingsHandler struct {
	settings *settings.Service
	now      clock.Clock
}

func (h *settingsHandler) GetSettings(ctx context.Context, _ *settingsv1.GetSettingsRequest) (*settingsv1.Settings, error) {
	found, err := h.settings.Get(ctx, edge.From(ctx).Lease)
	return settingsMessage(found), err
}

func (h *settingsHandler) UpdateSettings(ctx context.Context, req *settingsv1.UpdateSettingsRequest) (*settingsv1.Settings, error) {
	call := edge.From(ctx)
	in, err := settingsInput(req)
	if err != nil {
		return nil, err
	}
	changed, err := h.settings.Update(ctx, call.Lease, call.Member(), in, h.prove(call), mark(call, settingsMessage))
	return settingsMessage(changed), err
}

// prove is what step_up asks for, in a call that needs it only for some of its
// fields and is open to keys for the rest. A key cannot authenticate again (A12).
func (h *settingsHandler) prove(call *edge.Call) settings.Prove {
	return func(fields []string) error {
		if call.Caller != edge.User {
			return apperr.Newf(apperr.Forbidden, "CREDENTIAL_KIND", "A change of %s takes a person's access token; an API key cannot make it.", strings.Join(fields, ", "))
		}
		return recent(call.User, h.now())
	}
}
