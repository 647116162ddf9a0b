package api

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (o *org) requestReset(t *testing.T, by, of person) answer {
	t.Helper()
	return o.ask(t, by, "POST", "/v1/users/"+of.id+"/factor-resets", object{})
}

func (o *org) endReset(t *testing.T, by person, id, how string) answer {
	t.Helper()
	return o.ask(t, by, "POST", "/v1/factor-resets/"+id+":"+how, object{})
}

// Planted, each by itself: ConfirmReset without its comparison with the
// requester; carryOut that leaves the sessions, the revision, the short
// password open, the counter, or the person untold.
func TestFactorReset_TakesTwoAdministratorsAndEndsEverything(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p, first, second, plain := o.join(t, "mia"), o.join(t, "first", "admin"), o.join(t, "second", "admin"), o.join(t, "plain")
	o.requestReset(t, first, p).refused(t, 400, "FACTOR_MISSING")
	_, codes := o.equip(t, &p)
	refresh := o.verify(t, o.challenge(t, p.email), object{"backup_code": codes[0]}).get(t, http.StatusOK, "refresh_token")
	waiting := o.challenge(t, p.email)
	o.verify(t, waiting, object{"backup_code": "01-0000-0000-0000"}).refused(t, 401, "MFA_FAILED")
	o.exec(t, `UPDATE login_counters SET failures = 100 WHERE kind = 'mfa'`)
	o.exec(t, `UPDATE users SET password_short = true WHERE id = $1`, p.id)

	o.requestReset(t, plain, p).refused(t, 403, "PERMISSION_MISSING")
	o.requestReset(t, first, first).refused(t, 403, "FACTOR_RESET_SAME_PERSON")
	o.requestReset(t, first, o.owner).refused(t, 403, "GRANT_ABOVE_OWN")
	o.requestReset(t, first, person{id: "0190b1c2-0000-7000-8000-000000000001"}).refused(t, 404, "USER_NOT_FOUND")
	id := o.requestReset(t, first, p).get(t, http.StatusOK, "id")
	o.requestReset(t, second, p).refused(t, 409, "FACTOR_RESET_EXISTS")
	list := o.ask(t, second, "GET", "/v1/factor-resets?filter=confirmed_at=null=true", nil)
	require.Contains(t, list.body, id)

	o.endReset(t, plain, id, "confirm").refused(t, 403, "PERMISSION_MISSING")
	o.endReset(t, first, id, "confirm").refused(t, 403, "FACTOR_RESET_SAME_PERSON")
	require.Equal(t, http.StatusOK, o.ask(t, p, "GET", "/v1/me", nil).status)
	done := o.endReset(t, second, id, "confirm")
	require.Equal(t, second.id, done.get(t, http.StatusOK, "confirmer_id"))
	require.Zero(t, o.count(t, `SELECT count(*) FROM login_counters WHERE kind = 'mfa'`), "a hundred failures are forgotten")
	o.endReset(t, second, id, "confirm").refused(t, 400, "FACTOR_RESET_NOT_OPEN")
	o.endReset(t, second, id, "cancel").refused(t, 400, "FACTOR_RESET_NOT_OPEN")

	o.ask(t, p, "GET", "/v1/me", nil).refused(t, 401, "CREDENTIAL_INVALID")
	o.refresh(t, refresh).refused(t, 401, "REFRESH_INVALID")
	o.verify(t, waiting, object{"backup_code": codes[1]}).refused(t, 401, "CHALLENGE_INVALID")
	o.password(t, p.email).refused(t, 401, "LOGIN_FAILED") // the short password waits for a reset by mail
	o.exec(t, `UPDATE users SET password_locked = false, password_short = false WHERE id = $1`, p.id)
	p.token = o.password(t, p.email).get(t, http.StatusOK, "access_token")
	require.Equal(t, 1, o.mails(t, "notice_factor_removed"))
	require.Len(t, o.audited(t, "factor_reset.confirmed"), 1)
	require.Equal(t, "user "+second.id, o.audited(t, "factor.removed")[0][0])
	_, codes = o.equip(t, &p)
	o.verify(t, waiting, object{"backup_code": codes[0]}).refused(t, 401, "CHALLENGE_INVALID") // a new factor revives no old login
}

// Planted: carryOut that does not look at the requester, at their permission
// alone, at what they may beside the person alone; ConfirmReset that does not
// compare the confirmer with the person.
func TestFactorReset_LooksAtRightsWhenItIsConfirmed(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p, first, second := o.join(t, "mia"), o.join(t, "first", "admin"), o.join(t, "second", "admin")
	o.equip(t, &p)
	id := o.requestReset(t, first, p).get(t, http.StatusOK, "id")
	o.setRoles(t, o.owner, p, "owner")
	o.endReset(t, second, id, "confirm").refused(t, 403, "GRANT_ABOVE_OWN")
	o.endReset(t, o.owner, id, "confirm").refused(t, 400, "FACTOR_RESET_NOT_OPEN")
	o.setRoles(t, o.owner, p)
	o.setRoles(t, o.owner, first)
	o.endReset(t, second, id, "confirm").refused(t, 400, "FACTOR_RESET_NOT_OPEN")
	o.setRoles(t, o.owner, first, "admin")
	o.endReset(t, p, id, "confirm").refused(t, 403, "PERMISSION_MISSING")
	require.Equal(t, http.StatusOK, o.endReset(t, second, id, "cancel").status)
	o.endReset(t, second, id, "confirm").refused(t, 400, "FACTOR_RESET_NOT_OPEN")

	id = o.requestReset(t, first, p).get(t, http.StatusOK, "id")
	o.sleep(72 * time.Hour)
	second = o.enter(t, second.email)
	o.endReset(t, second, id, "confirm").refused(t, 400, "FACTOR_RESET_NOT_OPEN")
	require.Equal(t, http.StatusOK, o.requestReset(t, second, p).status, "an expired one is in nobody's way")
}

// Planted: operatorMay that counts nobody, that counts the two it is about; a
// wish that is not written; a person who may confirm their own reset.
func TestFactorReset_AnOperatorConfirmsOnlyWhereNobodyElseCan(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia", "admin")
	o.equip(t, &p)
	id := o.requestReset(t, o.owner, p).get(t, http.StatusOK, "id")
	confirm := func() answer { return o.operatorConfirms(t, id) }
	central := func() (n int) {
		require.NoError(t, o.in.Central.Pool().QueryRow(t.Context(), `
			SELECT count(*) FROM audit_log WHERE action = 'tenant.factor_reset_confirm_requested' AND actor_kind = 'operator'`).Scan(&n))
		return n
	}
	o.endReset(t, p, id, "confirm").refused(t, 403, "FACTOR_RESET_SAME_PERSON")
	second := o.join(t, "second", "admin")
	confirm().refused(t, 400, "FACTOR_RESET_SECOND_ADMIN")
	require.Zero(t, central())
	require.Equal(t, http.StatusOK, o.ask(t, p, "GET", "/v1/me", nil).status)
	o.setRoles(t, o.owner, second)

	a := confirm()
	require.Equal(t, true, a.object(t, http.StatusOK)["by_operator"])
	require.Equal(t, 1, central())
	rows := o.audited(t, "factor_reset.confirmed")
	require.Len(t, rows, 1)
	require.True(t, strings.HasPrefix(rows[0][0], "operator "), rows)
	o.ask(t, p, "GET", "/v1/me", nil).refused(t, 401, "CREDENTIAL_INVALID")
	o.password(t, p.email).get(t, http.StatusOK, "access_token")
	require.Equal(t, http.StatusOK, confirm().status, "its repetition is answered")
	require.Len(t, o.audited(t, "factor_reset.confirmed"), 1)
}

func (o *org) requestOwnReset(t *testing.T, challenge string) answer {
	t.Helper()
	return o.ask(t, person{}, "POST", "/v1/auth/mfa:requestReset", object{"challenge_token": challenge})
}

func (o *org) operatorConfirms(t *testing.T, reset string) answer {
	t.Helper()
	path := "/v1/tenants/" + o.id.String() + "/factor-resets/" + reset + ":confirm"
	return o.do(t, call{method: "POST", host: centralHost, path: path, bearer: o.operator, body: "{}"})
}

// An organization's only owner has nobody who may ask for them. Planted:
// RequestOwnReset that asks whoever else may, does not look for the request that
// is open, or tells nobody; ConfirmReset that takes what the person has asked.
func TestFactorReset_AnOnlyOwnerAsksInsideTheLogin(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	admin := o.join(t, "mia", "admin")
	_, codes := o.equip(t, &admin)
	o.equip(t, &o.owner)
	o.requestOwnReset(t, o.challenge(t, admin.email)).refused(t, 400, "FACTOR_RESET_ADMIN_EXISTS")
	require.Zero(t, o.mails(t, "notice_factor_reset_requested"))

	waiting := o.challenge(t, o.owner.email)
	asked := o.requestOwnReset(t, waiting)
	id := asked.get(t, http.StatusOK, "id")
	require.Equal(t, asked.get(t, http.StatusOK, "user_id"), asked.get(t, http.StatusOK, "requester_id"))
	require.Equal(t, id, o.requestOwnReset(t, o.challenge(t, o.owner.email)).get(t, http.StatusOK, "id"), "the answer was lost")
	require.Equal(t, 1, o.mails(t, "notice_factor_reset_requested"))
	require.Len(t, o.audited(t, "factor_reset.requested"), 1)
	admin.token = o.verify(t, o.challenge(t, admin.email), object{"backup_code": codes[0]}).get(t, http.StatusOK, "access_token")
	o.setRoles(t, o.owner, admin, "owner")
	o.endReset(t, admin, id, "confirm").refused(t, 403, "FACTOR_RESET_SAME_PERSON")
	o.operatorConfirms(t, id).refused(t, 400, "FACTOR_RESET_SECOND_ADMIN")
	o.setRoles(t, o.owner, admin, "admin")
	require.Equal(t, http.StatusOK, o.ask(t, o.owner, "GET", "/v1/me", nil).status)

	require.Equal(t, true, o.operatorConfirms(t, id).object(t, http.StatusOK)["by_operator"])
	o.ask(t, o.owner, "GET", "/v1/me", nil).refused(t, 401, "CREDENTIAL_INVALID")
	o.requestOwnReset(t, waiting).refused(t, 401, "CHALLENGE_INVALID")
	o.password(t, o.owner.email).get(t, http.StatusOK, "access_token")
}

// Planted: lockDown that leaves the request; lockWaiting that does not compare
// the account; openChallenge for another kind. RequestOwnReset without its own
// look at the challenge stays green: openChallenge has looked, and only a login
// that ends in between is what the second look is for.
func TestFactorReset_WhatAThiefAsksForIsWithdrawnByNotMe(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	_, codes := o.equip(t, &o.owner)
	used := o.challenge(t, o.owner.email)
	o.verify(t, used, object{"backup_code": codes[0]}).get(t, http.StatusOK, "access_token")
	o.requestOwnReset(t, used).refused(t, 401, "CHALLENGE_INVALID")
	o.requestOwnReset(t, strings.Repeat("A", 43)).refused(t, 401, "CHALLENGE_INVALID")

	token := o.challenge(t, o.owner.email)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { assert.Equal(t, http.StatusOK, o.requestOwnReset(t, token).status) })
	}
	all.Wait()
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM factor_resets`), "twenty at once")
	require.Equal(t, 1, o.mails(t, "notice_factor_reset_requested"))
	id := o.requestOwnReset(t, token).get(t, http.StatusOK, "id")
	stolen := o.challenge(t, o.owner.email)
	notMe := tokenOf(o.link(t, o.id, o.owner.email))
	require.Equal(t, "Somebody asks to remove the second factor of your account at acme Inc", o.subjects(o.owner.email)[0])
	require.Equal(t, http.StatusOK, o.ask(t, person{}, "POST", "/v1/auth/not-me", object{"token": notMe}).status)
	o.operatorConfirms(t, id).refused(t, 400, "FACTOR_RESET_NOT_OPEN")
	o.requestOwnReset(t, stolen).refused(t, 401, "CHALLENGE_INVALID")
	require.Contains(t, o.audited(t, "user.locked_down")[0][3], `"factor_reset_withdrawn": true`)
}
