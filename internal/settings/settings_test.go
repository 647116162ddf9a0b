package settings_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/rbac"
	"tenantry/internal/settings"
	"tenantry/internal/testdb"
)

var owner = rbac.Actor{Actor: audit.System, Permissions: rbac.Permissions}

// never is a caller who cannot prove anything.
func never(fields []string) error { return fmt.Errorf("asked to prove who this is, for %v", fields) }

func setup(t *testing.T) (*settings.Service, *db.Lease) {
	t.Helper()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	_, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (struct{}, error) {
		return struct{}{}, settings.Init(t.Context(), tx, clock.System(), settings.Document{}.WithDefaults())
	})
	require.NoError(t, err)
	return settings.New(clock.System), l
}

func TestMayRegister_FollowsThePolicy(t *testing.T) {
	t.Parallel()
	listed := settings.Document{RegistrationPolicy: settings.AllowList, RegistrationDomains: []string{"acme.example"}}
	for email, may := range map[string]bool{
		"mia@acme.example": true, "Mia@ACME.Example": true, "mia@sub.acme.example": false, "mia@notacme.example": false,
		"mia@acme.example.evil.example": false, `"mia@acme.example"@evil.example`: false,
	} {
		require.Equal(t, may, listed.MayRegister(email), email)
		require.True(t, settings.Document{RegistrationPolicy: settings.Open}.MayRegister(email))
		require.False(t, settings.Document{RegistrationPolicy: settings.InviteOnly}.MayRegister(email))
		require.False(t, settings.Document{RegistrationPolicy: "a newer one"}.MayRegister(email))
	}
}

func TestValidate_NamesTheFieldAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	good := settings.Document{}.WithDefaults()
	require.NoError(t, good.Validate())
	for field, change := range map[string]func(*settings.Document){
		"settings.registration_policy":  func(d *settings.Document) { d.RegistrationPolicy = "closed" },
		"settings.registration_domains": func(d *settings.Document) { d.RegistrationPolicy = settings.AllowList },
		"settings.language":             func(d *settings.Document) { d.Language = "it" },
		"settings.time_zone":            func(d *settings.Document) { d.TimeZone = "Local" },
		"settings.max_users":            func(d *settings.Document) { d.MaxUsers = -1 },
		"settings.password_words":       func(d *settings.Document) { d.PasswordWords = []string{"ab"} },
		"settings.app_url":              func(d *settings.Document) { d.AppURL = "http://acme.example" },
	} {
		d := good
		change(&d)
		e, ok := apperr.As(d.Validate())
		require.True(t, ok, field)
		require.Equal(t, field, e.Fields[0].Path)
		require.NotEmpty(t, e.Fields[0].Message)
	}
	for _, name := range []string{"Acme.example", "acme", "acme..example", "-acme.example", "acme.example.", strings.Repeat("a.", 127) + "example", "@acme.example", "*.acme.example"} {
		d := good
		d.RegistrationDomains = []string{name}
		require.Error(t, d.Validate(), name)
	}
}

func TestUpdate_CountsEveryAcknowledgedWriterOnce(t *testing.T) {
	t.Parallel()
	s, l := setup(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	acknowledged := map[int64]string{}
	for i := range 32 {
		wg.Go(func() {
			for {
				doc, err := s.Get(t.Context(), l)
				if err != nil {
					t.Error(err)
					return
				}
				word := []string{fmt.Sprint("word", i)}
				after, err := s.Update(t.Context(), l, owner, settings.UpdateInput{Version: doc.Version, PasswordWords: &word}, never, nil)
				if apperr.ReasonOf(err) == "VERSION_CONFLICT" {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[after.Version] = word[0]
				mu.Unlock()
				return
			}
		})
	}
	wg.Wait()
	require.Len(t, acknowledged, 32, "no version was given twice")
	doc, err := s.Get(t.Context(), l)
	require.NoError(t, err)
	require.EqualValues(t, 33, doc.Version)
	require.Equal(t, []string{acknowledged[33]}, doc.PasswordWords)
}

// Two versions of the program run side by side during a deployment (rule 9).
func TestUpdate_KeepsFieldsOfANewerProgram(t *testing.T) {
	t.Parallel()
	s, l := setup(t)
	_, err := l.Database().Exec(t.Context(), `UPDATE settings SET document = document || '{"colour":"red"}'`)
	require.NoError(t, err)
	zone := "Europe/Berlin"
	_, err = s.Update(t.Context(), l, owner, settings.UpdateInput{Version: 1, TimeZone: &zone}, never, nil)
	require.NoError(t, err)
	var colour, stored string
	require.NoError(t, l.Database().QueryRow(t.Context(), `SELECT document->>'colour', document->>'time_zone' FROM settings`).Scan(&colour, &stored))
	require.Equal(t, []string{"red", zone}, []string{colour, stored})
}
