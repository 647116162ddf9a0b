package tenants

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/settings"
)

func TestReserveInput_RefusesEachBadFieldByName(t *testing.T) {
	t.Parallel()
	good := ReserveInput{Slug: "acme", Name: "Acme", OwnerEmail: "owner@acme.example", Settings: settings.Document{}.WithDefaults()}
	require.NoError(t, good.Validate())
	for name, c := range map[string]struct {
		edit  func(*ReserveInput)
		field string
	}{
		"short slug":       {func(in *ReserveInput) { in.Slug = "ab" }, "slug"},
		"long slug":        {func(in *ReserveInput) { in.Slug = strings.Repeat("a", 41) }, "slug"},
		"upper case":       {func(in *ReserveInput) { in.Slug = "Acme" }, "slug"},
		"dot":              {func(in *ReserveInput) { in.Slug = "a.cme" }, "slug"},
		"hyphen at end":    {func(in *ReserveInput) { in.Slug = "acme-" }, "slug"},
		"digit first":      {func(in *ReserveInput) { in.Slug = "1acme" }, "slug"},
		"punycode":         {func(in *ReserveInput) { in.Slug = "xn--acme" }, "slug"},
		"homoglyph":        {func(in *ReserveInput) { in.Slug = "аcme" }, "slug"},
		"reserved":         {func(in *ReserveInput) { in.Slug = "admin" }, "slug"},
		"blank name":       {func(in *ReserveInput) { in.Name = "  " }, "name"},
		"long name":        {func(in *ReserveInput) { in.Name = strings.Repeat("x", 101) }, "name"},
		"no address":       {func(in *ReserveInput) { in.OwnerEmail = "owner" }, "owner_email"},
		"named address":    {func(in *ReserveInput) { in.OwnerEmail = "Jo <jo@acme.example>" }, "owner_email"},
		"header injection": {func(in *ReserveInput) { in.OwnerEmail = "jo@acme.example\r\nBcc: x@y.z" }, "owner_email"},
		"policy":           {func(in *ReserveInput) { in.Settings.RegistrationPolicy = "any" }, "settings.registration_policy"},
		"language":         {func(in *ReserveInput) { in.Settings.Language = "klingon" }, "settings.language"},
		"time zone":        {func(in *ReserveInput) { in.Settings.TimeZone = "Mars/Olympus" }, "settings.time_zone"},
		"host's time zone": {func(in *ReserveInput) { in.Settings.TimeZone = "Local" }, "settings.time_zone"},
		"http app":         {func(in *ReserveInput) { in.Settings.AppURL = "http://app.acme.example" }, "settings.app_url"},
		"script app":       {func(in *ReserveInput) { in.Settings.AppURL = "javascript:alert(1)" }, "settings.app_url"},
		"user in app":      {func(in *ReserveInput) { in.Settings.AppURL = "https://a:b@app.acme.example" }, "settings.app_url"},
		"negative limit":   {func(in *ReserveInput) { in.Settings.MaxUsers = -1 }, "settings.max_users"},
	} {
		in := good
		c.edit(&in)
		e, ok := apperr.As(in.Validate())
		require.True(t, ok, name)
		require.Equal(t, apperr.Invalid, e.Kind, name)
		require.Equal(t, c.field, e.Fields[0].Path, name)
	}
}
