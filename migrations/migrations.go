// Package migrations embeds the versioned SQL of both databases.
//
// The files are generated from the ent schemas by internal/schema/gendiff,
// read by a person and never changed once released; what ent cannot express
// (checks on states) is written by hand in files of its own. They only go
// forward: a schema change is taken back by another migration (expand,
// migrate, contract).
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed central/*.sql tenant/*.sql
var files embed.FS

// Central answers the central database's migrations.
func Central() fs.FS { return sub("central") }

// Tenant answers every tenant database's migrations.
func Tenant() fs.FS { return sub("tenant") }

func sub(dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // only for an invalid path
	}
	return f
}
