package mail

import (
	"html"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/i18n"
)

// all says of each mail whether it has a link.
var all = map[Template]bool{
	VerifyEmail: true, AccountExists: false, Invitation: true,
	"notice_new_device": true, "notice_session_reused": true, "notice_password_changed": true, "notice_factor_added": true,
	"notice_factor_removed": true, "notice_backup_codes_made": true, "notice_backup_code_used": true, "notice_factor_attacked": true,
	"notice_key_created": true, "notice_key_changed": true, "notice_factor_reset_requested": true,
	PasswordReset: true, AccountSecured: true, MagicLink: true, EmailChange: true, EmailChanged: true, AddressTaken: false,
}

var data = Data{
	Tenant: "Acme & <Sons>\r\nBcc: eve@example.com", URL: "https://acme.tenantry.test",
	Link: "https://acme.tenantry.test/m/verify?token=a&b", Expires: time.Date(2026, 3, 5, 14, 7, 0, 0, time.FixedZone("", 3600)),
}

func of(l i18n.Locale, t Template) Data {
	d := data
	d.Locale = string(l)
	if !all[t] {
		d.Link = ""
	}
	return d
}

func TestRender_EveryMailInEveryLanguage(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for template, linked := range all {
		for _, l := range i18n.Locales {
			m, err := Render(template, of(l, template))
			require.NoError(t, err)
			require.Equal(t, l, m.Language)
			require.NotContains(t, m.Subject, "\n", "a name must not become a header")
			require.Contains(t, m.HTML, `<html lang="`+string(l)+`">`)
			require.NotContains(t, m.HTML, "<Sons>")
			require.Contains(t, m.Text, "Acme & <Sons>")
			require.Equal(t, linked, strings.Contains(m.Text, data.Link), "%s %s", template, l)
			require.Equal(t, linked, strings.Contains(m.HTML, `href="`+html.EscapeString(data.Link)+`"`), "%s %s\n%s", template, l, m.HTML)
			require.NotContains(t, m.Text+m.Subject, "{")
			require.Empty(t, seen[m.Subject], "%s and %s have one subject", l, seen[m.Subject])
			seen[m.Subject] = string(l)
		}
	}
}

func TestRender_SaysWhenTheLinkEndsAsTheLanguageDoes(t *testing.T) {
	t.Parallel()
	for l, want := range map[i18n.Locale]string{
		i18n.English: "until 5 March 2026, 13:07 (UTC)", i18n.German: "bis 05.03.2026, 13:07 Uhr (UTC)", i18n.French: "05/03/2026 à 13:07 (UTC)",
		i18n.Spanish: "05/03/2026, 13:07 (UTC)", i18n.Portuguese: "05/03/2026 às 13:07 (UTC)", i18n.Japanese: "2026年3月5日 13:07 (UTC)",
	} {
		m, err := Render(VerifyEmail, of(l, VerifyEmail))
		require.NoError(t, err)
		require.Contains(t, m.Text, want)
		require.Contains(t, m.HTML, want)
	}
}

func TestRender_ALanguageWeDoNotSpeakIsEnglish(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]i18n.Locale{"": i18n.English, "zh-CN": i18n.English, "pt-PT": i18n.Portuguese, "de-AT": i18n.German} {
		m, err := Render(Invitation, of(i18n.Locale(tag), Invitation))
		require.NoError(t, err)
		require.Equal(t, want, m.Language, tag)
	}
}

func TestRender_RefusesAMailWithoutTexts(t *testing.T) {
	t.Parallel()
	_, err := Render("no_such_mail", data)
	require.Error(t, err)
	_, err = Render(AccountExists, data)
	require.Error(t, err, "a notice has no words for a link")
	_, err = Render(Invitation, of(i18n.English, AccountExists))
	require.Error(t, err, "an invitation without its link")
}

func TestTexts_NoneIsLeftOver(t *testing.T) {
	t.Parallel()
	want := []string{"greeting", "time_layout", "unknown_device", "notice.action", "notice.note"}
	for template, linked := range all {
		want = append(want, string(template)+"."+partSubject, string(template)+"."+partText)
		if linked && !template.notice() {
			want = append(want, string(template)+"."+partAction, string(template)+"."+partNote)
		}
	}
	slices.Sort(want)
	require.Equal(t, want, i18n.IDs("mail"))
}
