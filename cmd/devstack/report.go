package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"tenantry/internal/devstack"
)

const reportText = `
Tenantry runs. Ctrl-C stops everything; the next start keeps the data (make dev-reset forgets it).

Open
  API            {{.API}}
  Temporal UI    {{.TemporalUI}}
  Mailbox        {{.Mailbox}}
  Codec server   {{.Codec}}
  Logs           {{.Logs}}/*.log

Demo logins (password {{.Password}})
{{- range .Tenants}}
  {{printf "%-34s" .URL}} {{.Owner}}  {{.Note}}
{{- end}}

Paste: log in, then me and the users
  TOKEN=$(curl -fsS {{(index .Tenants 0).URL}}/v1/auth/login -H 'Content-Type: application/json' \
    -d '{"email":"{{(index .Tenants 0).Owner}}","password":"{{.Password}}"}' | sed 's/.*"access_token" *: *"\([^"]*\)".*/\1/')
  curl -fsS {{(index .Tenants 0).URL}}/v1/me -H "Authorization: Bearer $TOKEN"
  curl -fsS {{(index .Tenants 0).URL}}/v1/users -H "Authorization: Bearer $TOKEN"

Paste: where you are logged in, a second factor to scan, and a mail that chooses a new password
  curl -fsS {{(index .Tenants 0).URL}}/v1/sessions -H "Authorization: Bearer $TOKEN"
  curl -fsS -X POST {{(index .Tenants 0).URL}}/v1/me/totp -H "Authorization: Bearer $TOKEN" \
    | sed 's/.*"qr_png" *: *"\([^"]*\)".*/\1/' | base64 -d > totp.png
  curl -fsS {{(index .Tenants 0).URL}}/v1/auth/request-password-reset -H 'Content-Type: application/json' \
    -d '{"email":"{{(index .Tenants 0).Owner}}"}'

Paste: provision one more tenant with a signed hook (the owner's mail arrives in the mailbox)
  BODY='{"slug":"initech","name":"Initech Inc","owner_email":"owner@initech.example"}'
  {{.CLI}} hook sign --curl --source {{.Source}} --body "$BODY") | sh

Paste: the command line (its settings are in {{.DotEnv}})
  {{.CLI}} --help)

Paste: watch the workflows, payloads decoded
  {{.Temporal}} workflow list --address {{.TemporalAddress}}
  {{.Temporal}} workflow show --address {{.TemporalAddress}} --codec-endpoint {{.Codec}} \
    --codec-auth "Bearer $(sed -n 's/^TENANTRY_CODEC_TOKEN=//p' {{.DotEnv}})" \
    --workflow-id "$({{.Temporal}} workflow list --address {{.TemporalAddress}} --query 'WorkflowType="ProvisionTenant"' --limit 1 -o json | sed -n 's/.*"workflowId": *"\([^"]*\)".*/\1/p' | head -1)"

`

var reportPage = template.Must(template.New("report").Parse(reportText))

type demoLogin struct{ URL, Owner, Note string }

// report prints what to click and what to paste.
func (s *stack) report() {
	logins := make([]demoLogin, 0, len(demoTenants))
	for _, tenant := range demoTenants {
		note := "(registration by invitation)"
		if tenant.Settings["registration_policy"] == "open" {
			note = "(open registration)"
		}
		logins = append(logins, demoLogin{URL: s.tenantURL(tenant.Slug), Owner: tenant.OwnerEmail, Note: note})
	}
	err := reportPage.Execute(os.Stdout, map[string]any{
		"API":             s.publicURL(),
		"TemporalUI":      s.temporal.UIURL,
		"TemporalAddress": s.temporal.Address,
		"Temporal":        s.relative(s.temporalPath),
		"Mailbox":         fmt.Sprintf("http://localhost:%d", s.config.mailbox.Number),
		"Codec":           "http://" + devstack.Loopback(s.config.codec.Number),
		"Logs":            s.shown(s.path("log")),
		"Password":        demoPassword,
		"Tenants":         logins,
		"CLI":             s.cliPrefix(),
		"DotEnv":          s.shown(s.path(".env")),
		"Source":          s.state.Hook.Source,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "devstack:", err)
	}
}

// relative is how a shell in the source tree starts a program.
func (s *stack) relative(path string) string {
	shown := s.shown(path)
	if strings.HasPrefix(shown, "/") {
		return shown
	}
	return "./" + shown
}

// cliPrefix runs tenantry where its .env file is; the caller closes the parenthesis.
func (s *stack) cliPrefix() string {
	program := s.config.tenantry
	if rel, err := filepath.Rel(s.dir, program); err == nil && strings.HasPrefix(s.dir, s.repo) {
		program = rel
	}
	return fmt.Sprintf("(cd %s && %s", s.shown(s.dir), program)
}
