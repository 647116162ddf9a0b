// Package schema takes databases to the schema of this binary: the central
// one, the template that tenants are copied from, and every tenant's.
//
// # Contract
//
//   - Migrations only go forward; each runs with a lock timeout, and two
//     migrators of one database take turns.
//   - A template is named after the hash of its migrations and grants, and has
//     that name only when it is complete, closed and never to be opened again.
//   - A tenant whose migration fails is named, marked and left as it was; the
//     others go on.
//   - A serving role reads and writes rows, only adds to the audit log, and
//     only reads the schema's version.
//
// # What can be lost
//
//   - A migration cut off while it runs is rolled back by Postgres, unless the
//     file asks for no transaction; repeating the command goes on from there.
package schema

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/pgadmin"
	"tenantry/internal/secrets"
)

// Schema migrates with the provisioner's credential.
type Schema struct {
	admin       *pgadmin.Admin
	url         string
	log         *slog.Logger
	lockTimeout string
	parallel    int
}

// New takes the provisioner's URL on the central database; other databases
// are reached on the same server.
func New(admin *pgadmin.Admin, provisionerURL string, log *slog.Logger) *Schema {
	return &Schema{admin: admin, url: provisionerURL, log: log, lockTimeout: lockTimeout, parallel: migratedAtOnce}
}

func (s *Schema) config(database string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(s.url)
	if err != nil {
		return nil, errors.New("provisioner URL: not a Postgres URL") // the parser's text holds the URL
	}
	cfg.Database = database
	return cfg, nil
}

// InitInstallation writes the installation's row, its id and new data key, if
// there is none, and checks that the key-encryption keys open the data key.
// The central database must be migrated.
func (s *Schema) InitInstallation(ctx context.Context, ring *secrets.Keyring, iid string) error {
	if own := s.admin.Names().Installation(); iid != own {
		return fmt.Errorf("installation %q: this is the central database of %q", iid, own)
	}
	_, sealed, err := secrets.NewCentralKey(ring, iid)
	if err != nil {
		return err
	}
	pool := s.admin.Pool()
	if _, err := pool.Exec(ctx, `INSERT INTO installation (id, data_key) VALUES ($1, $2) ON CONFLICT DO NOTHING`, iid, sealed); err != nil {
		return fmt.Errorf("write installation: %w", err)
	}
	var found string
	if err := pool.QueryRow(ctx, `SELECT id, data_key FROM installation`).Scan(&found, &sealed); err != nil {
		return fmt.Errorf("read installation: %w", err)
	}
	if found != iid {
		return fmt.Errorf("the central database of installation %q holds the row of %q", iid, found)
	}
	if _, err := secrets.OpenCentralKey(ring, iid, sealed); err != nil {
		return fmt.Errorf("the key-encryption keys are not those of this installation: %w", err)
	}
	return nil
}
