package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInvitations_FromTheMailToTheAccount(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	adam := o.join(t, "adam", "admin")
	a := o.ask(t, adam, "POST", "/v1/invitations", object{"email": "Mia@acme.example", "role_ids": []string{o.role(t, "auditor")}})
	id := a.get(t, http.StatusOK, "id")
	require.Equal(t, "INVITATION_STATE_OPEN", a.get(t, http.StatusOK, "state"))
	require.Equal(t, adam.id, a.get(t, http.StatusOK, "inviter_id"))
	require.Equal(t, a.object(t, http.StatusOK), o.ask(t, adam, "GET", "/v1/invitations/"+id, nil).object(t, http.StatusOK))
	require.Contains(t, o.ask(t, adam, "GET", "/v1/invitations", nil).body, `"Mia@acme.example"`)

	// The address stands nowhere in plain.
	var plain int
	err := o.lease(t).Database().QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM invitations i WHERE i::text ILIKE '%mia@%') + (SELECT count(*) FROM audit_log a WHERE a::text ILIKE '%mia@%')
			+ (SELECT count(*) FROM outbox o WHERE o::text ILIKE '%mia@%')`).Scan(&plain)
	require.NoError(t, err)
	require.Zero(t, plain)

	page := o.link(t, o.id, "Mia@acme.example")
	o.ask(t, adam, "POST", "/v1/invitations/"+id+":resend", object{}).refused(t, http.StatusTooManyRequests, "RATE_LIMITED")
	o.fillIn(t, o.host, page, url.Values{"name": {"Mia"}, "password": {goodPassword}})
	mia := o.enter(t, "mia@acme.example")
	require.Equal(t, []any{"auditor"}, o.ask(t, mia, "GET", "/v1/me", nil).object(t, http.StatusOK)["roles"])
	require.Equal(t, "INVITATION_STATE_ACCEPTED", o.ask(t, adam, "GET", "/v1/invitations/"+id, nil).get(t, http.StatusOK, "state"))
	require.Equal(t, [4]string{"user " + adam.id, id, "", `{"role_ids": ["` + o.role(t, "auditor") + `"]}`},
		o.audited(t, "invitation.created")[1], "the first is the owner's")
}

func TestInvitations_RefusalsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	adam, mia := o.join(t, "adam", "admin"), o.join(t, "mia")
	owner := o.role(t, "owner")
	waiting := o.ask(t, o.owner, "POST", "/v1/invitations", object{"email": "next@acme.example", "role_ids": []string{owner}}).get(t, http.StatusOK, "id")
	first := ""
	for _, i := range o.ask(t, o.owner, "GET", "/v1/invitations", nil).object(t, http.StatusOK)["invitations"].([]any) {
		if i.(object)["inviter_id"] == "" {
			first = i.(object)["id"].(string)
		}
	}
	const id = "0190b1c2-0000-7000-8000-000000000001"
	for name, tt := range map[string]struct {
		by     person
		path   string
		body   object
		status int
		reason string
	}{
		"without the right":          {mia, "", object{"email": "x@acme.example"}, 403, "PERMISSION_MISSING"},
		"no address":                 {adam, "", object{}, 400, "INVALID_ARGUMENT"},
		"a name beside the address":  {adam, "", object{"email": "X <x@acme.example>"}, 400, "INVALID_ARGUMENT"},
		"verified by hand":           {adam, "", object{"email": "x@acme.example", "email_verified": true}, 400, "MALFORMED_BODY"},
		"another language":           {adam, "", object{"email": "x@acme.example", "locale": "it"}, 400, "INVALID_ARGUMENT"},
		"a role twice":               {adam, "", object{"email": "x@acme.example", "role_ids": []string{id, id}}, 400, "INVALID_ARGUMENT"},
		"nobody's role":              {adam, "", object{"email": "x@acme.example", "role_ids": []string{id}}, 404, "ROLE_NOT_FOUND"},
		"above the inviter":          {adam, "", object{"email": "x@acme.example", "role_ids": []string{owner}}, 403, "GRANT_ABOVE_OWN"},
		"an open invitation":         {adam, "", object{"email": "NEXT@acme.example"}, 409, "INVITATION_EXISTS"},
		"an account":                 {adam, "", object{"email": "MIA@acme.example"}, 409, "ACCOUNT_EXISTS"},
		"resending what is above":    {adam, "/" + waiting + ":resend", object{}, 403, "GRANT_ABOVE_OWN"},
		"revoking what is above":     {adam, "/" + waiting + ":revoke", object{}, 403, "GRANT_ABOVE_OWN"},
		"revoking an accepted one":   {o.owner, "/" + first + ":revoke", object{}, 400, "INVITATION_NOT_OPEN"},
		"resending nobody's":         {adam, "/" + id + ":resend", object{}, 404, "INVITATION_NOT_FOUND"},
		"accepting with other roles": {person{}, ":accept", object{"token": "x", "name": "x", "password": goodPassword, "role_ids": []string{owner}}, 400, "MALFORMED_BODY"},
	} {
		t.Run(name, func(t *testing.T) {
			o.ask(t, tt.by, "POST", "/v1/invitations"+tt.path, tt.body).refused(t, tt.status, tt.reason)
		})
	}
	require.Contains(t, o.ask(t, adam, "POST", "/v1/invitations", object{"email": "next@acme.example"}).problem(t).Message, waiting)

	// A deleted account is offered for restoring.
	a := o.ask(t, o.owner, "DELETE", "/v1/users/"+mia.id+"?version=1", nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	a = o.ask(t, adam, "POST", "/v1/invitations", object{"email": mia.email})
	require.Contains(t, a.refused(t, http.StatusBadRequest, "USER_DELETED").Message, "Restore")
	require.Contains(t, a.body, mia.id)
}

func TestInvitations_TheLinkDiesWithTheInvitersRights(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	adam := o.join(t, "adam", "admin")
	invite := func(name string) (id, page string) {
		a := o.ask(t, adam, "POST", "/v1/invitations", object{"email": name + "@acme.example"})
		return a.get(t, http.StatusOK, "id"), o.link(t, o.id, name+"@acme.example")
	}
	revoked, revokedPage := invite("mia")
	_, page := invite("max")
	require.Equal(t, http.StatusOK, o.do(t, call{method: "GET", host: o.host, path: page}).status)
	require.Equal(t, http.StatusOK, o.ask(t, adam, "POST", "/v1/invitations/"+revoked+":revoke", object{}).status)
	require.Equal(t, http.StatusBadRequest, o.do(t, call{method: "GET", host: o.host, path: revokedPage}).status)

	require.Equal(t, http.StatusOK, o.setRoles(t, o.owner, adam, "auditor").status)
	require.Equal(t, http.StatusBadRequest, o.do(t, call{method: "GET", host: o.host, path: page}).status)
	token := page[strings.Index(page, "token=")+len("token="):]
	accept := object{"token": token, "name": "Max", "password": goodPassword}
	o.ask(t, person{}, "POST", "/v1/invitations:accept", accept).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	require.Equal(t, http.StatusOK, o.setRoles(t, o.owner, adam, "admin").status)
	require.Equal(t, http.StatusOK, o.ask(t, person{}, "POST", "/v1/invitations:accept", accept).status, "control")
}
