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
	in, err := settingsInput(req)
	if err != nil {
		return nil, err
	}
	changed, err := h.settings.Update(ctx, call.Lease, call.Member(), in, mark(call, settingsMessage))
	return settingsMessage(changed), err
}
