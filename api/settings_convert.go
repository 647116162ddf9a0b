package api

import (
	"github.com/google/uuid"

	settingsv1 "tenantry/api/gen/tenantry/settings/v1"
	"tenantry/internal/settings"
)

func settingsMessage(s settings.Settings) *settingsv1.Settings {
	return &settingsv1.Settings{
		RegistrationPolicy: s.RegistrationPolicy, RegistrationDomains: s.RegistrationDomains, AppUrl: s.AppURL, Language: s.Language,
		TimeZone: s.TimeZone, MaxUsers: int32(s.MaxUsers), PasswordWords: s.PasswordWords, AllowedOrigins: s.AllowedOrigins, //nolint:gosec // at most a million
		MfaPolicy: s.MFAPolicy, MfaRoleIds: each(s.MFARoleIDs, uuid.UUID.String), MfaGraceDays: int32(s.MFAGrace().Hours() / 24), //nolint:gosec // at most 90
		UpdateTime: timestamp(&s.UpdatedAt), Version: s.Version,
	}
}

func settingsInput(req *settingsv1.UpdateSettingsRequest) (settings.UpdateInput, error) {
	in := settings.UpdateInput{
		Version: req.GetVersion(), RegistrationPolicy: req.RegistrationPolicy, AppURL: req.AppUrl, Language: req.Language, TimeZone: req.TimeZone,
	}
	if list := req.GetRegistrationDomains(); list != nil {
		in.RegistrationDomains = whole(list.GetValues())
	}
	if list := req.GetAllowedOrigins(); list != nil {
		in.AllowedOrigins = whole(list.GetValues())
	}
	if list := req.GetPasswordWords(); list != nil {
		in.PasswordWords = whole(list.GetValues())
	}
	in.MFAPolicy = req.MfaPolicy
	if req.MfaGraceDays != nil {
		days := int(req.GetMfaGraceDays())
		in.MFAGraceDays = &days
	}
	if list := req.GetMfaRoleIds(); list != nil {
		roles, err := parseIDs("mfa_role_ids.values", list.GetValues())
		if err != nil {
			return in, err
		}
		in.MFARoleIDs = &roles
	}
	return in, nil
}

// whole is a list that was given, though it may be empty.
func whole(values []string) *[]string {
	list := append([]string{}, values...)
	return &list
}
