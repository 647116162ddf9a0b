package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every door that sets a password asks the same question of it, and knows the
// organization's words. Planted at each of the four by itself: a door that
// does not ask; at the first two, one that asks without the words.
func TestPasswords_EveryDoorRefusesWhatWouldBeGuessed(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	a := o.ask(t, o.owner, "POST", "/v1/invitations", object{"email": "mia@acme.example"})
	require.Equal(t, http.StatusOK, a.status, a.body)
	invited, reset := tokenOf(o.link(t, o.id, "mia@acme.example")), tokenOf(o.resetLink(t, jo.email))
	organizations := "Wolkenpfad 4711 8093!"
	a = o.ask(t, person{}, "POST", "/v1/auth/register", object{"name": "Max", "email": "max@acme.example", "password": organizations})
	require.Equal(t, http.StatusOK, a.status, "it is nobody's word yet: %s", a.body)
	o.policy(t, object{"password_words": object{"values": []string{"wolkenpfad"}}})
	doors := map[string]func(password string) answer{
		"register": func(password string) answer {
			return o.ask(t, person{}, "POST", "/v1/auth/register", object{"name": "Zoe", "email": "zoe@acme.example", "password": password})
		},
		"invitation": func(password string) answer {
			return o.ask(t, person{}, "POST", "/v1/invitations:accept", object{"token": invited, "name": "Mia", "password": password})
		},
		"reset": func(password string) answer {
			return o.ask(t, person{}, "POST", "/v1/auth/reset-password", object{"token": reset, "password": password})
		},
		"change": func(password string) answer {
			return o.ask(t, jo, "POST", "/v1/me:changePassword", object{"password": password})
		},
	}
	for _, name := range []string{"register", "invitation", "reset", "change"} {
		for password, reason := range map[string]string{
			"too short":           "PASSWORD_TOO_SHORT",
			"Password1234567890!": "PASSWORD_COMMON",
			organizations:         "PASSWORD_COMMON",
		} {
			p := doors[name](password).refused(t, http.StatusBadRequest, reason)
			require.Contains(t, p.Fields, "password", "%s with %q", name, password)
		}
		require.Equal(t, http.StatusOK, doors[name](newPassword).status, "%s: a refusal has used nothing up", name)
		if name == "reset" {
			jo.token = o.login(t, jo.email, newPassword).get(t, http.StatusOK, "access_token")
		}
	}
}

// The factor beside which a short password was fine goes while the password is
// hashed. Planted at each door: one that asks only before the hash.
func TestPasswords_AShortOneIsRefusedWhenItsFactorGoesMeanwhile(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	reset := tokenOf(o.resetLink(t, jo.email))
	for _, ask := range []func() answer{
		func() answer {
			return o.ask(t, person{}, "POST", "/v1/auth/reset-password", object{"token": reset, "password": "vq7 lmö!"})
		},
		func() answer { return o.ask(t, jo, "POST", "/v1/me:changePassword", object{"password": "vq7 lmö!"}) },
	} {
		o.run(t, `UPDATE users SET second_factor = true WHERE id = $1`, jo.id)
		o.run(t, `UPDATE sessions SET aal = 2, authenticated_at = now() WHERE user_id = $1`, jo.id)
		tx, err := o.lease(t).Database().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), `UPDATE users SET second_factor = false WHERE id = $1`, jo.id)
		require.NoError(t, err)
		answers := make(chan answer, 1)
		go func() { answers <- ask() }()
		waitFor(t, tx, "users", 1)
		require.NoError(t, tx.Commit())
		a := <-answers
		a.refused(t, http.StatusBadRequest, "PASSWORD_TOO_SHORT")
	}
}
