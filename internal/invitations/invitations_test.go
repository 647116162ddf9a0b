package invitations_test

import (
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/argon/argontest"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock/clocktest"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/lists"
	"tenantry/internal/mail"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
	"tenantry/internal/testdb"
)

const password = "a sentence long enough"

type world struct {
	*invitations.Service
	*clocktest.Clock
	lease *db.Lease
	roles map[string]uuid.UUID
}

func setup(t *testing.T, doc settings.Document) *world {
	t.Helper()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	w := &world{lease: l, roles: map[string]uuid.UUID{}, Clock: clocktest.New()}
	peppers, err := secrets.ParseKeyring("p:" + base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	h, err := auth.NewHasher(peppers, 4, argontest.Cheap)
	require.NoError(t, err)
	w.Service = invitations.New(w.Now, h, nil)
	w.within(t, func(tx db.TenantTx) error {
		if err := rbac.Seed(t.Context(), tx, w.Now()); err != nil {
			return err
		}
		for _, r := range rbac.Builtin() {
			id, err := rbac.RoleID(t.Context(), tx, r.Name)
			if err != nil {
				return err
			}
			w.roles[r.Name] = id
		}
		return settings.Init(t.Context(), tx, w.Now(), doc.WithDefaults())
	})
	return w
}

func (w *world) within(t *testing.T, fn func(db.TenantTx) error) {
	t.Helper()
	_, err := db.InTenant(t.Context(), w.lease, func(tx db.TenantTx) (struct{}, error) { return struct{}{}, fn(tx) })
	require.NoError(t, err)
}

// person makes an account and answers what it may do.
func (w *world) person(t *testing.T, name string, roles ...string) rbac.Actor {
	t.Helper()
	id := ids.New()
	var held []string
	w.within(t, func(tx db.TenantTx) (err error) {
		email := name + "@acme.example"
		err = tx.Ent().User.Create().SetID(id).SetSubjectKeyID(ids.New()).SetName(name).SetEmail(email).SetEmailNormalized(email).
			SetPasswordHash("x").SetCreatedAt(w.Now()).Exec(t.Context())
		if err != nil {
			return err
		}
		for _, r := range roles {
			if err := rbac.Grant(t.Context(), tx, id, []uuid.UUID{w.roles[r]}, w.Now()); err != nil {
				return err
			}
		}
		held, err = rbac.Holding(t.Context(), tx, id)
		return err
	})
	return rbac.Actor{Actor: audit.User(ids.User(id)), User: ids.User(id), Permissions: held}
}

func (w *world) invite(t *testing.T, by rbac.Actor, email string, roles ...string) invitations.Invitation {
	t.Helper()
	in := invitations.CreateInput{Email: email}
	for _, r := range roles {
		in.Roles = append(in.Roles, w.roles[r])
	}
	inv, err := w.Create(t.Context(), w.lease, by, in, nil)
	require.NoError(t, err)
	return inv
}

// token does what the mailer does with the invitation's mail.
func (w *world) token(t *testing.T, inv invitations.Invitation) (token string) {
	t.Helper()
	w.within(t, func(tx db.TenantTx) (err error) {
		d, err := w.Draft(t.Context(), tx, outbox.Row{SubjectID: inv.ID})
		if err == nil && d != nil && d.Purpose != "" {
			token, err = onetime.Mint(t.Context(), tx, d.Purpose, d.TokenFor, w.Now(), d.Expires)
		}
		return err
	})
	return token
}

func (w *world) accept(t *testing.T, token string) error {
	_, err := w.Accept(t.Context(), w.lease, tenants.Entry{}, invitations.AcceptInput{Token: token, Name: "New", Password: password}, auth.Meta{})
	return err
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return apperr.ReasonOf(err)
}

// tally runs calls at once and counts their outcomes by reason.
func tally(n int, fn func(i int) error) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[string]int{}
	for i := range n {
		wg.Go(func() {
			r := reason(fn(i))
			mu.Lock()
			defer mu.Unlock()
			out[r]++
		})
	}
	wg.Wait()
	return out
}

func TestAccept_HoldsTheLimitUnderRaces(t *testing.T) {
	t.Parallel()
	n := 24
	if testing.Short() {
		n = 6
	}
	w := setup(t, settings.Document{MaxUsers: 1 + n/3})
	owner := w.person(t, "owner", rbac.Owner)
	tokens := make([]string, n)
	for i := range n {
		tokens[i] = w.token(t, w.invite(t, owner, fmt.Sprintf("p%d@acme.example", i)))
	}
	outcomes := tally(n, func(i int) error {
		for {
			// The hasher is busy with the others; whoever is told so comes again.
			if err := w.accept(t, tokens[i]); reason(err) != "BUSY" {
				return err
			}
		}
	})
	require.Equal(t, map[string]int{"": n / 3, "USER_LIMIT": n - n/3}, outcomes)
	var users int
	require.NoError(t, w.lease.Database().QueryRow(t.Context(), `SELECT count(*) FROM users`).Scan(&users))
	require.Equal(t, 1+n/3, users)
}

func TestAccept_OfOneLinkSucceedsOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	token := w.token(t, w.invite(t, w.person(t, "owner", rbac.Owner), "mia@acme.example"))
	outcomes := tally(8, func(int) error { return w.accept(t, token) })
	require.Equal(t, 1, outcomes[""], outcomes)
	require.Equal(t, 7, outcomes["TOKEN_INVALID"]+outcomes["BUSY"], outcomes)
}

func TestCreate_InvitesAnAddressOnceUnderRaces(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	owner := w.person(t, "owner", rbac.Owner)
	spellings := []string{"Mia@acme.example", "mia@ACME.example", "ｍia@acme.example"}
	outcomes := tally(9, func(i int) error {
		_, err := w.Create(t.Context(), w.lease, owner, invitations.CreateInput{Email: spellings[i%len(spellings)]}, nil)
		return err
	})
	require.Equal(t, 1, outcomes[""], outcomes)
	require.Equal(t, 8, outcomes["INVITATION_EXISTS"]+outcomes["INVALID_ARGUMENT"], outcomes)
	// No plus folding: another mailbox is another person.
	w.invite(t, owner, "mia+work@acme.example")
}

func TestCreate_ReplacesAnExpiredInvitation(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{Language: "de"})
	owner := w.person(t, "owner", rbac.Owner)
	first := w.invite(t, owner, "mia@acme.example", rbac.Admin)
	require.Equal(t, "de", first.Locale)
	token := w.token(t, first)
	_, err := w.Create(t.Context(), w.lease, owner, invitations.CreateInput{Email: "MIA@acme.example"}, nil)
	require.Equal(t, "INVITATION_EXISTS", reason(err))
	e, _ := apperr.As(err)
	require.Equal(t, map[string]string{"invitationId": first.ID.String()}, e.Metadata)

	w.Move(invitations.TTL)
	require.Equal(t, "TOKEN_INVALID", reason(w.accept(t, token)))
	first, err = w.Get(t.Context(), w.lease, first.ID)
	require.NoError(t, err)
	require.Equal(t, invitations.Expired, first.State)
	second := w.invite(t, owner, "mia@acme.example")
	first, err = w.Get(t.Context(), w.lease, first.ID)
	require.NoError(t, err)
	require.Equal(t, invitations.Revoked, first.State)
	require.Equal(t, []uuid.UUID{w.roles[rbac.Member]}, second.Roles)
	require.NoError(t, w.accept(t, w.token(t, second)))
}

func TestAccept_ChecksTheInvitersRightsAgain(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	now := w.Now()
	for name, fall := range map[string]func(tx db.TenantTx, inviter uuid.UUID) error{
		"deleted": func(tx db.TenantTx, inviter uuid.UUID) error {
			return tx.Ent().User.UpdateOneID(inviter).SetDeletedAt(now).Exec(t.Context())
		},
		"demoted": func(tx db.TenantTx, inviter uuid.UUID) error {
			return rbac.Replace(t.Context(), tx, inviter, []uuid.UUID{w.roles[rbac.Auditor]}, now)
		},
		"less than what it gives": func(tx db.TenantTx, inviter uuid.UUID) error {
			id := ids.New()
			err := tx.Ent().Role.Create().SetID(id).SetName("inviter").SetPermissions([]string{"users.invite", "users.read"}).Exec(t.Context())
			if err != nil {
				return err
			}
			return rbac.Replace(t.Context(), tx, inviter, []uuid.UUID{id}, now)
		},
	} {
		inviter := w.person(t, "i-"+name[:3], rbac.Admin)
		inv := w.invite(t, inviter, "p-"+name[:3]+"@acme.example", rbac.Auditor)
		token := w.token(t, inv)
		require.NoError(t, w.Check(t.Context(), w.lease, token))
		w.within(t, func(tx db.TenantTx) error { return fall(tx, inviter.User.UUID()) })
		require.Equal(t, "TOKEN_INVALID", reason(w.Check(t.Context(), w.lease, token)), name)
		require.Equal(t, "TOKEN_INVALID", reason(w.accept(t, token)), name)
		require.Empty(t, w.token(t, inv), "%s: no mail either", name)
		w.Move(time.Hour)
		owner := rbac.Actor{Permissions: rbac.Permissions}
		_, err := w.Resend(t.Context(), w.lease, owner, inv.ID, nil)
		require.Equal(t, "INVITATION_NOT_OPEN", reason(err), name)
	}
}

func TestAccept_ChecksAServiceAccountLikeAPerson(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	account, key := ids.New(), ids.New()
	w.within(t, func(tx db.TenantTx) error {
		if err := tx.Ent().ServiceAccount.Create().SetID(account).SetName("hr").AddRoleIDs(w.roles[rbac.Admin]).Exec(t.Context()); err != nil {
			return err
		}
		return tx.Ent().APIKey.Create().SetID(key).SetName("k").SetServiceAccountID(account).SetSecretHash(make([]byte, 32)).
			SetScopes([]string{}).SetAllowedNetworks([]string{}).Exec(t.Context())
	})
	by := rbac.Actor{Actor: audit.APIKey(key), Permissions: []string{"users.invite", "users.read"}}
	_, err := w.Create(t.Context(), w.lease, by, invitations.CreateInput{Email: "x@acme.example", Roles: []uuid.UUID{w.roles[rbac.Auditor]}}, nil)
	require.Equal(t, "GRANT_ABOVE_OWN", reason(err), "a key gives what its scopes hold")
	first, second := w.invite(t, by, "mia@acme.example"), w.invite(t, by, "max@acme.example")
	require.Equal(t, &account, first.Inviter)
	require.NoError(t, w.accept(t, w.token(t, first)))
	token := w.token(t, second)
	w.within(t, func(tx db.TenantTx) error {
		return tx.Ent().ServiceAccount.UpdateOneID(account).SetDeletedAt(w.Now()).Exec(t.Context())
	})
	require.Equal(t, "TOKEN_INVALID", reason(w.accept(t, token)))
}

// Whoever may not see people learns nothing about an address; its mailbox does.
func TestCreate_TellsOfAccountsOnlyWhoMaySeePeople(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	owner := w.person(t, "owner", rbac.Owner)
	w.person(t, "mia")
	gone := w.person(t, "gone")
	w.within(t, func(tx db.TenantTx) error {
		return tx.Ent().User.UpdateOneID(gone.User.UUID()).SetDeletedAt(w.Now()).Exec(t.Context())
	})
	_, err := w.Create(t.Context(), w.lease, owner, invitations.CreateInput{Email: "MIA@acme.example"}, nil)
	require.Equal(t, "ACCOUNT_EXISTS", reason(err))
	_, err = w.Create(t.Context(), w.lease, owner, invitations.CreateInput{Email: "gone@acme.example"}, nil)
	require.Equal(t, "USER_DELETED", reason(err))
	require.ErrorContains(t, err, "Restore")
	e, _ := apperr.As(err)
	require.Equal(t, map[string]string{"userId": gone.User.String()}, e.Metadata)

	blind := owner
	blind.Permissions = []string{"users.invite"}
	drafts := map[string]*mail.Draft{}
	for _, name := range []string{"mia", "gone", "new"} {
		inv := w.invite(t, blind, name+"@acme.example")
		require.Equal(t, invitations.Open, inv.State)
		w.within(t, func(tx db.TenantTx) (err error) {
			drafts[name], err = w.Draft(t.Context(), tx, outbox.Row{SubjectID: inv.ID})
			return err
		})
	}
	require.Equal(t, mail.AccountExists, drafts["mia"].Template)
	require.Empty(t, drafts["mia"].Purpose, "no link")
	require.Nil(t, drafts["gone"])
	require.Equal(t, mail.Invitation, drafts["new"].Template)
}

func TestRevoke_EndsTheLinkAndNeverTheFirstOwners(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	w.within(t, func(tx db.TenantTx) error {
		return invitations.InviteOwner(t.Context(), tx, "owner@acme.example", w.Now())
	})
	almighty := rbac.Actor{Actor: audit.System, User: ids.User(ids.New()), Permissions: rbac.Permissions}
	found, err := w.List(t.Context(), w.lease, lists.Request{})
	require.NoError(t, err)
	require.Len(t, found.Items, 1)
	first := found.Items[0]
	require.Equal(t, "owner@acme.example", first.Email)
	require.Nil(t, first.Inviter)
	_, err = w.Revoke(t.Context(), w.lease, almighty, first.ID, nil)
	require.Equal(t, "LAST_OWNER", reason(err))
	admin := w.person(t, "adam", rbac.Admin)
	_, err = w.Revoke(t.Context(), w.lease, admin, first.ID, nil)
	require.Equal(t, "GRANT_ABOVE_OWN", reason(err))
	// Expired, it still stands for the owner: nothing takes its place.
	w.Move(invitations.TTL)
	_, err = w.Create(t.Context(), w.lease, almighty, invitations.CreateInput{Email: "owner@acme.example"}, nil)
	require.Equal(t, "INVITATION_EXISTS", reason(err))
	_, err = w.Resend(t.Context(), w.lease, admin, first.ID, nil)
	require.Equal(t, "GRANT_ABOVE_OWN", reason(err))
	first, err = w.Resend(t.Context(), w.lease, almighty, first.ID, nil)
	require.NoError(t, err)
	require.NoError(t, w.accept(t, w.token(t, first)))

	inv := w.invite(t, admin, "mia@acme.example")
	token := w.token(t, inv)
	inv, err = w.Revoke(t.Context(), w.lease, admin, inv.ID, nil)
	require.NoError(t, err)
	require.Equal(t, invitations.Revoked, inv.State)
	require.Equal(t, "TOKEN_INVALID", reason(w.accept(t, token)))
	_, err = w.Revoke(t.Context(), w.lease, admin, inv.ID, nil)
	require.Equal(t, "INVITATION_NOT_OPEN", reason(err))
	w.invite(t, admin, "mia@acme.example")
}
