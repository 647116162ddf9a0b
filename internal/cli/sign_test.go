package cli_test

import (
	"encoding/base64"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"tenantry/internal/cli"
)

var hookSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("planted-secret-of-32-characters!"))

// asShell answers the arguments that curl would get of a printed line.
func asShell(t *testing.T, line string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `curl() { for a in "$@"; do printf '%s\0' "$a"; done; }`+"\n"+line)
	out, err := cmd.Output()
	require.NoError(t, err, line)
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// message is a curl call taken apart.
type message struct {
	url, body string
	header    http.Header
}

func parse(t *testing.T, args []string) message {
	t.Helper()
	m := message{header: http.Header{}}
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-sS", "-i":
		case "-X":
			i++
			require.Equal(t, "POST", args[i])
		case "-H":
			i++
			name, value, ok := strings.Cut(args[i], ": ")
			require.True(t, ok)
			m.header.Set(name, value)
		case "--data-raw":
			i++
			m.body = args[i]
		case "--data-binary":
			i++
			content, err := os.ReadFile(strings.TrimPrefix(args[i], "@"))
			require.NoError(t, err)
			m.body = string(content)
		default:
			m.url = args[i]
		}
	}
	return m
}

func verify(t *testing.T, m message) {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(hookSecret)
	require.NoError(t, err)
	require.NoError(t, w.Verify([]byte(m.body), m.header))
}

func now() string { return strconv.FormatInt(time.Now().Unix(), 10) }

// bodies are what a shell or curl may take for something else.
var bodies = []string{
	`{"slug":"acme"}`, "{\"name\":\"O'Brien's $HOME `id` \\\"x\\\" \\\\n\"}", "{\n  \"a\": 1\n}\n\n", "{\"n\":\"\r\n\"}", "{\"n\":\"!! %s %00 äöü 🦊\"}", `{"n":"$(id) ; & | > * ? [a] {b} ~"}`,
}

func TestHookSign_IsAcceptedByTheStandardsLibrary(t *testing.T) {
	t.Parallel()
	env := map[string]string{"PUBLIC_URL": "http://localhost:8080", "HOOK_SECRET": hookSecret}
	for _, body := range append(bodies, "@not-a-file", "", "-") {
		// Standard input, quoted into the line.
		c := command{env: env, stdin: body}
		r := c.run(t, "hook", "sign", "--curl", "--source", "demo", "--timestamp", now())
		require.Equal(t, cli.OK, r.code, r.stderr)
		m := parse(t, asShell(t, r.out))
		require.Equal(t, body, m.body)
		require.Equal(t, "http://localhost:8080/v1/hooks/provisioning/demo", m.url)
		require.Equal(t, "application/json", m.header.Get("Content-Type"))
		verify(t, m)
		require.NotContains(t, r.out+r.stderr, strings.TrimPrefix(hookSecret, "whsec_"))

		// A file, which curl reads itself; its path needs quoting too.
		path := filepath.Join(t.TempDir(), "it's a $body.json")
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
		r = command{env: env}.run(t, "hook", "sign", "--curl", "--source", "demo", "--timestamp", now(), "--body", path)
		require.Equal(t, cli.OK, r.code, r.stderr)
		m = parse(t, asShell(t, r.out))
		require.Equal(t, body, m.body)
		verify(t, m)
	}
	for _, body := range bodies { // the JSON itself
		r := command{env: env}.run(t, "hook", "sign", "--curl", "--source", "demo", "--timestamp", now(), "--body", body)
		m := parse(t, asShell(t, r.out))
		require.Equal(t, body, m.body)
		verify(t, m)
	}
}

func TestHookSign_PrintsOnlyTheHeaders(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secretFile, []byte(hookSecret+"\n"), 0o600))
	for _, source := range [][]string{{"--secret", hookSecret}, {"--secret-file", secretFile}} {
		r := command{stdin: "{}"}.run(t, append([]string{"hook", "sign", "--id", "msg_1", "--timestamp", now()}, source...)...)
		require.Equal(t, cli.OK, r.code, r.stderr)
		m := parse(t, asShell(t, "curl "+r.out))
		require.Len(t, m.header, 3)
		require.Equal(t, "msg_1", m.header.Get(standardwebhooks.HeaderWebhookID))
		m.body = "{}"
		verify(t, m)
	}
	r := command{stdin: "{}", env: map[string]string{"HOOK_SECRET_FILE": secretFile}}.run(t, "hook", "sign", "--json")
	require.Equal(t, strconv.FormatInt(fixedNow.Unix(), 10), decode[map[string]string](t, r.out)["webhook-timestamp"])
	require.True(t, strings.HasPrefix(decode[map[string]string](t, r.out)["webhook-id"], "msg_"))
}

func TestHookSign_RefusesWithoutNamingTheSecret(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no secret":      {},
		"bad secret":     {"--secret", "whsec_planted-%%%"},
		"empty secret":   {"--secret", "whsec_"},
		"two secrets":    {"--secret", hookSecret, "--secret-file", "x"},
		"curl no source": {"--secret", hookSecret, "--curl", "--url", "http://localhost"},
		"curl no url":    {"--secret", hookSecret, "--curl", "--source", "demo"},
		"bad id":         {"--secret", hookSecret, "--id", "a.b"},
	} {
		r := command{stdin: "{}"}.run(t, append([]string{"hook", "sign"}, args...)...)
		require.Equal(t, cli.Usage, r.code, name)
		require.NotContains(t, r.stderr, "planted", name)
		require.Empty(t, r.out, name)
	}
	big := command{stdin: strings.Repeat("x", 1<<20+1)}.run(t, "hook", "sign", "--secret", hookSecret)
	require.Equal(t, cli.Failed, big.code)
	nul := command{stdin: "{\x00}", env: map[string]string{"PUBLIC_URL": "http://localhost"}}.run(t, "hook", "sign", "--secret", hookSecret, "--curl", "--source", "demo")
	require.Equal(t, cli.Failed, nul.code)
	require.Contains(t, nul.stderr, "NUL")
}
