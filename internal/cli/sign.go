package cli

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tenantry/internal/config"
)

// maxHookBody is what the hook accepts (E3).
const maxHookBody = 1 << 20

// signFlags is `hook sign`.
type signFlags struct {
	secret, secretFile, source, id, body, url string
	timestamp                                 int64
	curl, asJSON                              bool
}

func (a *app) hookSignCommand() *cobra.Command {
	f := &signFlags{}
	cmd := &cobra.Command{
		Use: "sign", Short: "Sign a hook's body (Standard Webhooks) for curl", Args: cobra.NoArgs,
		Long: "Sign a provisioning hook's body and print the three headers as arguments of curl,\n" +
			"or with --curl the whole line. The body is a file, - for standard input, or JSON text that begins with {.\n" +
			"The signature is over the exact bytes and holds for five minutes.\n\n" +
			"The secret comes from --secret-file, TENANTRY_HOOK_SECRET or TENANTRY_HOOK_SECRET_FILE; --secret shows it in the list of processes.",
		Example: "  tenantry hook sign --curl --source demo --secret-file whsec --body order.json | sh\n" +
			`  tenantry hook sign --curl --source demo --body '{"slug":"acme","name":"Acme","owner_email":"owner@acme.example"}'`,
		RunE: a.do(func(*cobra.Command, []string) error { return a.sign(f) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.secret, "secret", "", "the secret, whsec_...")
	fl.StringVar(&f.secretFile, "secret-file", "", "file that holds the secret")
	fl.StringVar(&f.source, "source", "", "name of the source (for --curl)")
	fl.StringVar(&f.id, "id", "", "message id; the same id and body give the same answer (a fresh one)")
	fl.Int64Var(&f.timestamp, "timestamp", 0, "seconds since 1970 (now)")
	fl.StringVar(&f.body, "body", "-", "file, - for standard input, or JSON text")
	fl.StringVar(&f.url, "url", "", "address of the central host for --curl (TENANTRY_API_URL or TENANTRY_PUBLIC_URL)")
	fl.BoolVar(&f.curl, "curl", false, "print a whole curl line")
	jsonFlag(cmd, &f.asJSON)
	cmd.MarkFlagsMutuallyExclusive("secret", "secret-file")
	cmd.MarkFlagsMutuallyExclusive("curl", "json")
	return cmd
}

func (a *app) sign(f *signFlags) error {
	cfg, err := a.load(config.ForTools)
	if err != nil {
		return err
	}
	target, err := f.target(cfg)
	if err != nil {
		return err
	}
	secret, err := f.readSecret(cfg)
	if err != nil {
		return err
	}
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil || strings.TrimPrefix(secret, "whsec_") == "" {
		// The library's error would be about the secret's characters.
		return usageError{"the secret is not whsec_ and base64, as hook create prints it"}
	}
	body, err := a.readBody(f.body)
	if err != nil {
		return err
	}
	if f.id == "" {
		f.id = "msg_" + rand.Text()
	}
	if strings.ContainsAny(f.id, ". \r\n\t\x00") {
		return usageError{"--id must hold no dot and no white space"}
	}
	at := a.Now()
	if f.timestamp != 0 {
		at = time.Unix(f.timestamp, 0)
	}
	signature, err := signer.Sign(f.id, at, body)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	m := signed{id: f.id, timestamp: strconv.FormatInt(at.Unix(), 10), signature: signature}
	switch {
	case f.asJSON:
		return a.printJSON(map[string]string{
			standardwebhooks.HeaderWebhookID: m.id, standardwebhooks.HeaderWebhookTimestamp: m.timestamp, standardwebhooks.HeaderWebhookSignature: m.signature,
		})
	case !f.curl:
		return a.printf("%s\n", m.headers())
	}
	data, err := f.data(body)
	if err != nil {
		return err
	}
	return a.printf("curl -sS -i -X POST %s -H 'Content-Type: application/json' %s %s\n", quote(target), m.headers(), data)
}

// signed is a message's three headers.
type signed struct{ id, timestamp, signature string }

func (m signed) headers() string {
	h := func(name, value string) string { return "-H " + alwaysQuote(name+": "+value) }
	return h(standardwebhooks.HeaderWebhookID, m.id) + " " + h(standardwebhooks.HeaderWebhookTimestamp, m.timestamp) + " " +
		h(standardwebhooks.HeaderWebhookSignature, m.signature)
}

func hookURL(base, source string) string {
	return strings.TrimRight(base, "/") + "/v1/hooks/provisioning/" + url.PathEscape(source)
}

func (f *signFlags) target(cfg config.Config) (string, error) {
	if !f.curl {
		return "", nil
	}
	base := f.url
	if base == "" {
		base = cfg.ClientBase()
	}
	if f.source == "" {
		return "", usageError{"--curl needs --source"}
	}
	if base == "" {
		return "", usageError{"--curl needs --url, TENANTRY_API_URL or TENANTRY_PUBLIC_URL"}
	}
	return hookURL(base, f.source), nil
}

func (f *signFlags) readSecret(cfg config.Config) (string, error) {
	switch {
	case f.secretFile != "":
		content, err := os.ReadFile(f.secretFile)
		if err != nil {
			return "", fmt.Errorf("--secret-file: %w", err)
		}
		return strings.TrimSpace(string(content)), nil
	case f.secret != "":
		return f.secret, nil
	case !cfg.HookSecret.IsZero():
		return cfg.HookSecret.Reveal(), nil
	}
	return "", usageError{"no secret: use --secret-file, TENANTRY_HOOK_SECRET or --secret"}
}

// inline reports whether --body is the JSON itself.
func inline(body string) bool { return strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{") }

func (a *app) readBody(from string) ([]byte, error) {
	var body []byte
	var err error
	switch {
	case inline(from):
		body = []byte(from)
	case from == "-":
		body, err = io.ReadAll(io.LimitReader(a.Stdin, maxHookBody+1))
	default:
		body, err = readFile(from)
	}
	if err != nil {
		return nil, fmt.Errorf("--body: %w", err)
	}
	if len(body) > maxHookBody {
		return nil, errors.New("--body: larger than 1 MiB, which the hook refuses")
	}
	return body, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxHookBody+1))
}

// data is curl's argument for the body: the file itself, or the bytes quoted.
// --data-raw neither strips line breaks nor reads @ as a file.
func (f *signFlags) data(body []byte) (string, error) {
	if f.body != "-" && !inline(f.body) {
		path, err := filepath.Abs(f.body)
		if err != nil {
			return "", err
		}
		return "--data-binary " + quote("@"+path), nil
	}
	if bytes.IndexByte(body, 0) >= 0 {
		return "", errors.New("--body: a NUL byte cannot stand in a command line; use a file")
	}
	return "--data-raw " + alwaysQuote(string(body)), nil
}
