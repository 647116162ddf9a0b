package api

import (
	"context"

	"tenantry/api/edge"
	settingsv1 "tenantry/api/gen/tenantry/settings/v1"
	"tenantry/internal/settings"
)

type settingsHandler struct{ settings *settings.Service }

func (h *settingsHandler) GetSettings(ctx context.Context, _ *settingsv1.GetSettingsRequest) (*settingsv1.Settings, error) {
	found, err := h.settings.Get(ctx, edge.From(ctx).Lease)
	return settingsMessage(found), err
}

func (h *settingsHandler) UpdateSettings(ctx context.Context, req *settingsv1.UpdateSettingsRequest) (*settingsv1.Settings, error) {
	call := edge.From(ctx)
	changed, err := h.settings.Update(ctx, call.Lease, call.Member(), settingsInput(req), mark(call, settingsMessage))
	return settingsMessage(changed), err
}
