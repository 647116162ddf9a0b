package tenants

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

const (
	// freshFor bounds how late a suspension or a revoked key is noticed.
	freshFor = time.Second
	// staleFor is how long the last entry serves while the central database
	// is down.
	staleFor = time.Minute
	// maxEntries bounds the cache, unknown hosts included.
	maxEntries = 50_000
)

// Entry is what the edge needs of a tenant.
type Entry struct {
	ID       ids.Tenant
	Slug     string
	Name     string
	State    string
	Database string
	Role     string
	// Revision changes with the role's password.
	Revision int64
	// Keys are the signing keys that are stored, expired ones included.
	Keys []SigningKey

	key      secrets.DataKey
	password []byte
}

// DataKey answers the tenant's data key.
func (e Entry) DataKey() secrets.DataKey { return e.key }

// Directory is the cached view of the central tenants table: an entry is at
// most a second old, unknown hosts included; while the central database is
// down the last entry serves for a minute more.
type Directory struct {
	central *db.Central
	flight  singleflight.Group
	// shut hears of a tenant that was seen active and is not any more.
	shut func(ids.Tenant)

	mu    sync.Mutex
	cache map[string]cached
}

type cached struct {
	entry  Entry
	found  bool
	loaded time.Time
}

// NewDirectory begins empty.
func NewDirectory(c *db.Central) *Directory {
	return &Directory{central: c, cache: map[string]cached{}, shut: func(ids.Tenant) {}}
}

// BySlug answers the tenant of a host, in whatever state it is.
func (d *Directory) BySlug(ctx context.Context, slug string) (Entry, error) {
	return d.get(ctx, "slug/"+slug, `t.slug = $1`, slug)
}

// ByID answers a tenant by its id.
func (d *Directory) ByID(ctx context.Context, id ids.Tenant) (Entry, error) {
	return d.get(ctx, "id/"+id.String(), `t.id = $1::uuid`, id.String())
}

// Fresh is ByID past the cache.
func (d *Directory) Fresh(ctx context.Context, id ids.Tenant) (Entry, error) {
	e, found, err := d.load(ctx, `t.id = $1::uuid`, id.String())
	if err == nil && !found {
		err = errUnknown()
	}
	return e, err
}

func errUnknown() error {
	return apperr.New(apperr.NotFound, "UNKNOWN_HOST", "No organization answers at this host.")
}

func (d *Directory) get(ctx context.Context, key, where, arg string) (Entry, error) {
	// The monotonic clock: how old an entry is must not follow a stepped one.
	d.mu.Lock()
	hit, ok := d.cache[key]
	d.mu.Unlock()
	if ok && time.Since(hit.loaded) < freshFor {
		return hit.answer()
	}
	v, err, _ := d.flight.Do(key, func() (any, error) {
		started := time.Now()
		// Detached: one caller that leaves must not fail the others.
		lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		e, found, err := d.load(lctx, where, arg)
		if err != nil {
			return nil, err
		}
		c := cached{entry: e, found: found, loaded: started}
		d.keep(key, c)
		return c, nil
	})
	if err != nil {
		if ok && time.Since(hit.loaded) < staleFor && apperr.KindOf(err) == apperr.Unavailable {
			return hit.answer()
		}
		return Entry{}, err
	}
	return v.(cached).answer()
}

func (c cached) answer() (Entry, error) {
	if !c.found {
		return Entry{}, errUnknown()
	}
	return c.entry, nil
}

func (d *Directory) keep(key string, c cached) {
	if old := d.replace(key, c); old.entry.State == Active && c.entry.State != Active {
		d.shut(old.entry.ID)
	}
}

func (d *Directory) replace(key string, c cached) (old cached) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old = d.cache[key]
	if len(d.cache) >= maxEntries {
		for k, v := range d.cache {
			if !v.found || time.Since(v.loaded) > freshFor {
				delete(d.cache, k)
			}
		}
	}
	d.cache[key] = c
	return old
}

const entrySQL = `
	SELECT t.id::text, t.slug, t.name, t.state, t.data_key, t.database_name, t.role_name, t.role_password, t.credential_revision,
		coalesce((SELECT json_agg(json_build_object('id', k.id, 'pub', encode(k.public_key, 'base64'),
			'priv', encode(k.private_key, 'base64'), 'activates', k.activates_at, 'expires', k.expires_at) ORDER BY k.activates_at, k.id)
			FROM signing_keys k WHERE k.tenant_id = t.id), '[]')
	FROM tenants t WHERE `

func (d *Directory) load(ctx context.Context, where, arg string) (Entry, bool, error) {
	var e Entry
	var id string
	var dataKey, keys []byte
	err := d.central.Pool().QueryRow(ctx, entrySQL+where, arg).Scan(&id, &e.Slug, &e.Name, &e.State, &dataKey, &e.Database, &e.Role,
		&e.password, &e.Revision, &keys)
	if errors.Is(err, pgx.ErrNoRows) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, db.Classify(fmt.Errorf("load tenant: %w", err), "CENTRAL_UNREACHABLE")
	}
	if e.ID, err = ids.ParseTenant(id); err != nil {
		return Entry{}, false, err
	}
	if e.key, err = secrets.OpenDataKey(d.central.Keyring(), e.ID, dataKey); err != nil {
		return Entry{}, false, err
	}
	return e, true, e.readKeys(keys)
}
