// Command gendocs writes the pages of docs/generated that tell the API's
// contract. It runs in the root of the repository.
package main

import (
	"fmt"
	"os"

	"tenantry/api"
)

const (
	reasons    = "api/proto/tenantry/common/v1/reason.proto"
	errorsPage = "docs/generated/errors.md"
	permsPage  = "docs/generated/permissions.md"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

func run() error {
	source, err := os.ReadFile(reasons)
	if err != nil {
		return err
	}
	page, err := api.CataloguePage(string(source))
	if err != nil {
		return err
	}
	if err := os.MkdirAll("docs/generated", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(errorsPage, []byte(page), 0o644); err != nil {
		return err
	}
	return os.WriteFile(permsPage, []byte(api.PermissionsPage()), 0o644)
}
