package users_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
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
	"tenantry/internal/settings"
	"tenantry/internal/testdb"
	"tenantry/internal/users"
)

var root = rbac.Actor{Actor: audit.System, Permissions: rbac.Permissions}

type world struct {
	*users.Service
	lease *db.Lease
	roles map[string]uuid.UUID
}

func setup(t *testing.T, doc settings.Document) *world {
	t.Helper()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	w := &world{Service: users.New(clock.System), lease: l, roles: map[string]uuid.UUID{}}
	w.within(t, func(tx db.TenantTx) error {
		if err := rbac.Seed(t.Context(), tx, clock.System()); err != nil {
			return err
		}
		for _, r := range rbac.Builtin() {
			id, err := rbac.RoleID(t.Context(), tx, r.Name)
			if err != nil {
				return err
			}
			w.roles[r.Name] = id
		}
		return settings.Init(t.Context(), tx, clock.System(), doc.WithDefaults())
	})
	return w
}

func (w *world) within(t *testing.T, fn func(db.TenantTx) error) {
	t.Helper()
	_, err := db.InTenant(t.Context(), w.lease, func(tx db.TenantTx) (struct{}, error) { return struct{}{}, fn(tx) })
	require.NoError(t, err)
}

func (w *world) add(t *testing.T, name string, roles ...string) ids.User {
	t.Helper()
	id := ids.New()
	w.within(t, func(tx db.TenantTx) error {
		email := name + "@acme.example"
		err := tx.Ent().User.Create().SetID(id).SetSubjectKeyID(ids.New()).SetName(name).SetEmail(email).SetEmailNormalized(email).
			SetPasswordHash("x").SetCreatedAt(clock.System()).Exec(t.Context())
		if err != nil {
			return err
		}
		return rbac.Grant(t.Context(), tx, id, w.ids(roles...), clock.System())
	})
	return ids.User(id)
}

func (w *world) ids(roles ...string) []uuid.UUID {
	out := make([]uuid.UUID, len(roles))
	for i, r := range roles {
		out[i] = w.roles[r]
	}
	return out
}

func (w *world) get(t *testing.T, id ids.User) users.User {
	t.Helper()
	u, err := w.Get(t.Context(), w.lease, id)
	require.NoError(t, err)
	return u
}

// owners counts the active owners.
func (w *world) owners(t *testing.T) (n int) {
	t.Helper()
	err := w.lease.Database().QueryRow(t.Context(), `
		SELECT count(*) FROM users u JOIN user_roles ur ON ur.user_id = u.id WHERE u.deleted_at IS NULL AND ur.role_id = $1`, w.roles[rbac.Owner]).Scan(&n)
	require.NoError(t, err)
	return n
}

func TestUpdate_CountsEveryAcknowledgedWriterOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	id := w.add(t, "mia")
	var mu sync.Mutex
	var wg sync.WaitGroup
	acknowledged := map[int64]string{}
	for i := range 32 {
		wg.Go(func() {
			// Each reads, then writes what it has read, until it is acknowledged.
			for {
				u, err := w.Get(t.Context(), w.lease, id)
				if err != nil {
					t.Error(err)
					return
				}
				name := fmt.Sprint("writer ", i)
				after, err := w.Update(t.Context(), w.lease, root, users.UpdateInput{ID: id, Version: u.Version, Name: &name}, nil)
				if apperr.ReasonOf(err) == "VERSION_CONFLICT" {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[after.Version] = name
				mu.Unlock()
				return
			}
		})
	}
	wg.Wait()
	require.Len(t, acknowledged, 32, "no version was given twice")
	u := w.get(t, id)
	require.EqualValues(t, 33, u.Version)
	require.Equal(t, acknowledged[33], u.Name)

	// Of writers that have read the same version one is acknowledged.
	var won atomic.Int64
	for range 32 {
		wg.Go(func() {
			name := "late"
			_, err := w.Update(t.Context(), w.lease, root, users.UpdateInput{ID: id, Version: 33, Name: &name}, nil)
			if err == nil {
				won.Add(1)
			} else if apperr.ReasonOf(err) != "VERSION_CONFLICT" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())
	require.EqualValues(t, 34, w.get(t, id).Version)
}

func TestOwners_AnyOrderOfDeletionsAndDemotionsLeavesOne(t *testing.T) {
	t.Parallel()
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	w := setup(t, settings.Document{})
	random := rand.New(rand.NewPCG(26, 8)) //nolint:gosec // seeded, so a failure can be repeated
	var owners []ids.User
	for round := range rounds {
		// Who is left of the rounds before is ended again.
		for i := range 2 + random.IntN(5) {
			owners = append(owners, w.add(t, fmt.Sprintf("owner-%d-%d", round, i), rbac.Owner))
		}
		var wg sync.WaitGroup
		for _, i := range random.Perm(len(owners)) {
			id, remove := owners[i], random.IntN(2) == 0
			for range 1 + random.IntN(2) {
				wg.Go(func() { w.lessen(t, id, remove) })
			}
		}
		wg.Wait()
		require.GreaterOrEqual(t, w.owners(t), 1, "round %d", round)
	}
	// Alone, the rest go down to exactly one.
	found, err := w.lease.Database().Query(t.Context(), `SELECT id FROM users`)
	require.NoError(t, err)
	var everybody []ids.User
	for found.Next() {
		var id uuid.UUID
		require.NoError(t, found.Scan(&id))
		everybody = append(everybody, ids.User(id))
	}
	require.NoError(t, found.Err())
	var wg sync.WaitGroup
	for _, id := range everybody {
		wg.Go(func() { w.lessen(t, id, false) })
	}
	wg.Wait()
	require.Equal(t, 1, w.owners(t))
}

// lessen deletes or demotes somebody, and takes only the answers that say why
// it could not be.
func (w *world) lessen(t *testing.T, id ids.User, remove bool) {
	u, err := w.Get(t.Context(), w.lease, id)
	if err == nil && remove {
		_, err = w.Delete(t.Context(), w.lease, root, id, u.Version, nil)
	} else if err == nil {
		_, err = w.SetRoles(t.Context(), w.lease, root, users.SetRolesInput{ID: id, Version: u.Version, Roles: w.ids(rbac.Member)}, nil)
	}
	switch apperr.ReasonOf(err) {
	case "LAST_OWNER", "VERSION_CONFLICT", "USER_DELETED":
	default:
		if err != nil {
			t.Error(err)
		}
	}
}

func TestRestore_HoldsTheLimitUnderRaces(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{MaxUsers: 3})
	var deleted []ids.User
	for i := range 8 {
		id := w.add(t, fmt.Sprint("user", i))
		_, err := w.Delete(t.Context(), w.lease, root, id, 1, nil)
		require.NoError(t, err)
		deleted = append(deleted, id)
	}
	w.add(t, "active", rbac.Owner)
	var wg sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[string]int{}
	for _, id := range deleted {
		wg.Go(func() {
			_, err := w.Restore(t.Context(), w.lease, root, id, nil)
			reason := ""
			if err != nil {
				reason = apperr.ReasonOf(err)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[reason]++
		})
	}
	wg.Wait()
	require.Equal(t, map[string]int{"": 2, "USER_LIMIT": 6}, outcomes)
}

func TestDelete_EndsSessionsAndKeysInItsTransaction(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	id, other := w.add(t, "mia"), w.add(t, "max")
	now := clock.System()
	w.within(t, func(tx db.TenantTx) error {
		for _, u := range []ids.User{id, other} {
			err := tx.Ent().Session.Create().SetID(ids.New()).SetUserID(u.UUID()).SetAuthenticatedAt(now).SetAmr([]string{"pwd"}).SetExpiresAt(now.Add(time.Hour)).Exec(t.Context())
			if err != nil {
				return err
			}
			err = tx.Ent().APIKey.Create().SetID(ids.New()).SetName("x").SetUserID(u.UUID()).SetSecretHash(make([]byte, 32)).
				SetScopes([]string{}).SetAllowedNetworks([]string{}).Exec(t.Context())
			if err != nil {
				return err
			}
		}
		return nil
	})
	open := func(u ids.User) (sessions, keys int, revision int64) {
		err := w.lease.Database().QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL), (SELECT count(*) FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL),
				(SELECT revision FROM users WHERE id = $1)`, u.UUID()).Scan(&sessions, &keys, &revision)
		require.NoError(t, err)
		return sessions, keys, revision
	}
	_, err := w.Delete(t.Context(), w.lease, root, id, 1, nil)
	require.NoError(t, err)
	sessions, keys, revision := open(id)
	require.Equal(t, []int64{0, 0, 2}, []int64{int64(sessions), int64(keys), revision})
	sessions, keys, revision = open(other)
	require.Equal(t, []int64{1, 1, 1}, []int64{int64(sessions), int64(keys), revision}, "nobody else's")
	_, err = w.Restore(t.Context(), w.lease, root, id, nil)
	require.NoError(t, err)
	sessions, keys, _ = open(id)
	require.Zero(t, sessions+keys, "what was ended stays ended")
}

func TestKeysOfAPerson_ActWithTheirScopesOnly(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	admin, mia := w.add(t, "adam", rbac.Admin), w.add(t, "mia", rbac.Auditor)
	w.add(t, "olga", rbac.Owner)
	// The key of an owner that may only delete people: an auditor has more.
	key := rbac.Actor{Actor: audit.APIKey(ids.New()), Permissions: []string{"users.delete"}}
	_, err := w.Delete(t.Context(), w.lease, key, mia, 1, nil)
	require.Equal(t, "GRANT_ABOVE_OWN", apperr.ReasonOf(err))
	_, err = w.SetRoles(t.Context(), w.lease, key, users.SetRolesInput{ID: admin, Version: 1}, nil)
	require.Equal(t, "GRANT_ABOVE_OWN", apperr.ReasonOf(err))
}
