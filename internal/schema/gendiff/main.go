// Command gendiff writes the migration that takes the embedded SQL to the ent
// schemas: migrations/<set>/<next number>_<name>.sql, nothing when they agree.
//
//	TENANTRY_TEST_PG_URL=postgres://… go run ./internal/schema/gendiff [-check] [-name add_domains]
//
// The URL is a superuser's; each set is replayed in a scratch database of its
// own, which is dropped at the end. -check writes nothing and exits with 1
// when a migration is missing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	root := flag.String("dir", "migrations", "the folder of the migration sets")
	name := flag.String("name", "change", "name of the new migration")
	check := flag.Bool("check", false, "write nothing; exit with 1 when a migration is missing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	missing := false
	for _, s := range sets {
		path, sql, err := diff(ctx, os.Getenv("TENANTRY_TEST_PG_URL"), *root, s, *name)
		if err != nil {
			fmt.Fprintf(os.Stderr, "gendiff: %s: %v\n", s.name, err)
			os.Exit(2)
		}
		if path == "" {
			fmt.Printf("%s: no difference\n", s.name)
			continue
		}
		missing = true
		if *check {
			fmt.Printf("%s: missing %s\n%s", s.name, path, sql)
			continue
		}
		if err := os.WriteFile(path, []byte(sql), 0o644); err != nil {
			fmt.Fprintf(os.Stderr, "gendiff: %v\n", err)
			os.Exit(2)
		}
		fmt.Printf("%s: wrote %s\n", s.name, path)
	}
	if missing && *check {
		os.Exit(1)
	}
}
