package rbac_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/rbac"
	"tenantry/internal/testdb"
)

var owner = rbac.Actor{Actor: audit.System, Permissions: rbac.Permissions}

func setup(t *testing.T) (*rbac.Service, *db.Lease) {
	t.Helper()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	within(t, l, func(tx db.TenantTx) error { return rbac.Seed(t.Context(), tx, clock.System()) })
	return rbac.New(clock.System), l
}

func within(t *testing.T, l *db.Lease, fn func(db.TenantTx) error) {
	t.Helper()
	_, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (struct{}, error) { return struct{}{}, fn(tx) })
	require.NoError(t, err)
}

// all runs n calls at once and counts their outcomes by reason; "" is success.
func all(n int, fn func(i int) error) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[string]int{}
	for i := range n {
		wg.Go(func() {
			reason := ""
			if err := fn(i); err != nil {
				reason = apperr.ReasonOf(err)
			}
			mu.Lock()
			defer mu.Unlock()
			out[reason]++
		})
	}
	wg.Wait()
	return out
}

func TestActor_GrantsOnlyWhatTheyHold(t *testing.T) {
	t.Parallel()
	by := rbac.Actor{Permissions: []string{"users.read"}}
	require.NoError(t, by.CheckGrant(nil))
	require.NoError(t, by.CheckGrant([]string{"users.read"}))
	err := by.CheckGrant([]string{"users.update", "users.read", "audit.read", "audit.read"})
	require.Equal(t, "GRANT_ABOVE_OWN", apperr.ReasonOf(err))
	require.ErrorContains(t, err, "audit.read, users.update.")
}

func TestCreate_HoldsTheLimitUnderRaces(t *testing.T) {
	t.Parallel()
	s, l := setup(t)
	within(t, l, func(tx db.TenantTx) error {
		for i := range rbac.MaxRoles - len(rbac.Builtin()) - 3 {
			if err := tx.Ent().Role.Create().SetID(ids.New()).SetName(fmt.Sprint("filler ", i)).SetPermissions([]string{}).Exec(t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
	outcomes := all(12, func(i int) error {
		_, err := s.Create(t.Context(), l, owner, rbac.CreateInput{Name: fmt.Sprint("role ", i)}, nil)
		return err
	})
	require.Equal(t, map[string]int{"": 3, "ROLE_LIMIT": 9}, outcomes)
}

func TestCreate_TakesANameOnceInAnyCase(t *testing.T) {
	t.Parallel()
	s, l := setup(t)
	spellings := []string{"Über", "über", "ÜBER", "U\u0308ber", "Ｕ\u0308ber"} // composed, decomposed, full width
	outcomes := all(10, func(i int) error {
		_, err := s.Create(t.Context(), l, owner, rbac.CreateInput{Name: spellings[i%len(spellings)]}, nil)
		return err
	})
	require.Equal(t, map[string]int{"": 1, "ROLE_EXISTS": 9}, outcomes)
}

func TestUpdate_CountsEveryAcknowledgedWriterOnce(t *testing.T) {
	t.Parallel()
	s, l := setup(t)
	r, err := s.Create(t.Context(), l, owner, rbac.CreateInput{Name: "busy"}, nil)
	require.NoError(t, err)
	outcomes := all(32, func(i int) error {
		text := fmt.Sprint(i)
		_, err := s.Update(t.Context(), l, owner, rbac.UpdateInput{ID: r.ID, Version: 1, Description: &text}, nil)
		return err
	})
	require.Equal(t, map[string]int{"": 1, "VERSION_CONFLICT": 31}, outcomes)
	r, err = s.Get(t.Context(), l, r.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Version)
}

// A role is in use by whoever holds it and by invitations that may still be
// accepted or sent again.
func TestDelete_IsRefusedWhileTheRoleIsInUse(t *testing.T) {
	t.Parallel()
	s, l := setup(t)
	now := clock.System()
	for name, use := range map[string]func(tx db.TenantTx, role uuid.UUID) (release func(db.TenantTx) error, err error){
		"a person": func(tx db.TenantTx, role uuid.UUID) (func(db.TenantTx) error, error) {
			id := ids.New()
			err := tx.Ent().User.Create().SetID(id).SetSubjectKeyID(ids.New()).SetName("x").SetEmail("x@x").SetEmailNormalized("x@x").
				SetPasswordHash("x").SetDeletedAt(now).Exec(t.Context())
			if err != nil {
				return nil, err
			}
			return func(tx db.TenantTx) error { return rbac.Replace(t.Context(), tx, id, nil, now) }, rbac.Grant(t.Context(), tx, id, []uuid.UUID{role}, now)
		},
		"a service account": func(tx db.TenantTx, role uuid.UUID) (func(db.TenantTx) error, error) {
			id := ids.New()
			if err := tx.Ent().ServiceAccount.Create().SetID(id).SetName("x").Exec(t.Context()); err != nil {
				return nil, err
			}
			release := func(tx db.TenantTx) error { return tx.Ent().ServiceAccount.DeleteOneID(id).Exec(t.Context()) }
			return release, tx.Ent().ServiceAccountRole.Create().SetServiceAccountID(id).SetRoleID(role).Exec(t.Context())
		},
		"an invitation": func(tx db.TenantTx, role uuid.UUID) (func(db.TenantTx) error, error) {
			id := ids.New()
			release := func(tx db.TenantTx) error {
				return tx.Ent().Invitation.UpdateOneID(id).SetRevokedAt(now).Exec(t.Context())
			}
			return release, tx.Ent().Invitation.Create().SetID(id).SetSubjectKeyID(ids.New()).SetEmail([]byte("x")).SetAddressHash([]byte("x")).
				SetRoleIds([]uuid.UUID{ids.New(), role}).SetExpiresAt(now.Add(-time.Hour)).Exec(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := s.Create(t.Context(), l, owner, rbac.CreateInput{Name: name}, nil)
			require.NoError(t, err)
			var release func(db.TenantTx) error
			within(t, l, func(tx db.TenantTx) (err error) { release, err = use(tx, r.ID); return err })
			require.Equal(t, "ROLE_IN_USE", apperr.ReasonOf(s.Delete(t.Context(), l, owner, r.ID, 1, nil)))
			within(t, l, release)
			require.NoError(t, s.Delete(t.Context(), l, owner, r.ID, 1, nil))
		})
	}
}

func TestHolding_IsWhatAPrincipalMayAtThisMoment(t *testing.T) {
	t.Parallel()
	_, l := setup(t)
	person, account := ids.New(), ids.New()
	holding := func(id uuid.UUID) (held []string) {
		within(t, l, func(tx db.TenantTx) (err error) { held, err = rbac.Holding(t.Context(), tx, id); return err })
		return held
	}
	within(t, l, func(tx db.TenantTx) error {
		auditor, err := rbac.RoleID(t.Context(), tx, rbac.Auditor)
		if err != nil {
			return err
		}
		err = tx.Ent().User.Create().SetID(person).SetSubjectKeyID(ids.New()).SetName("x").SetEmail("x@x").SetEmailNormalized("x@x").
			SetPasswordHash("x").Exec(t.Context())
		if err != nil {
			return err
		}
		if err := tx.Ent().ServiceAccount.Create().SetID(account).SetName("x").AddRoleIDs(auditor).Exec(t.Context()); err != nil {
			return err
		}
		return rbac.Grant(t.Context(), tx, person, []uuid.UUID{auditor}, clock.System())
	})
	want := []string{"analytics.read", "audit.read", "users.read"}
	require.Equal(t, want, holding(person))
	require.Equal(t, want, holding(account))
	require.Empty(t, holding(ids.New()))
	within(t, l, func(tx db.TenantTx) error {
		if err := tx.Ent().User.UpdateOneID(person).SetDeletedAt(clock.System()).Exec(t.Context()); err != nil {
			return err
		}
		return tx.Ent().ServiceAccount.UpdateOneID(account).SetDeletedAt(clock.System()).Exec(t.Context())
	})
	require.Empty(t, holding(person))
	require.Empty(t, holding(account))
}
