package main

import (
	"tenantry/internal/app"
	"tenantry/internal/cli"
	"tenantry/internal/cli/direct"
)

func backend() cli.Backend {
	b := direct.Backend()
	b.RunAPI, b.RunWorker, b.RunCodec = app.RunAPI, app.RunWorker, app.RunCodec
	return b
}
