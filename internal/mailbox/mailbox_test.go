package mailbox_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/mailbox"
)

const multipartMail = "From: Tenantry <no-reply@tenantry.example>\r\n" +
	"To: owner@acme.example\r\n" +
	"Subject: =?UTF-8?q?Willkommen_bei_Acme_=E2=9C=93?=\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=outer\r\n\r\n" +
	"--outer\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n" +
	"--inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Accept here: http://acme.localhost:8080/m/invitation?token=3Dabc_-=\r\ndef. Gr=C3=BC=C3=9Fe <b>\r\n" +
	"--inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
	// <a href="http://acme.localhost:8080/m/invitation?token=abc_-def&amp;x=1">Accept</a>
	"PGEgaHJlZj0iaHR0cDovL2FjbWUubG9jYWxob3N0OjgwODAvbS9pbnZpdGF0aW9uP3Rva2VuPWFi\r\nY18tZGVmJmFtcDt4PTEiPkFjY2VwdDwvYT4=\r\n" +
	"--inner--\r\n" +
	"--outer\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nhttp://attachment.example/\r\n--outer--\r\n"

func start(t *testing.T, opts mailbox.Options) *mailbox.Mailbox {
	t.Helper()
	box, err := mailbox.New(opts)
	require.NoError(t, err)
	require.NoError(t, box.Start("127.0.0.1:0", "127.0.0.1:0"))
	t.Cleanup(func() { _ = box.Close() })
	return box
}

func send(t *testing.T, box *mailbox.Mailbox, to, content string) {
	t.Helper()
	require.NoError(t, smtp.SendMail(box.SMTPAddr(), nil, "no-reply@tenantry.example", []string{to}, []byte(content)))
}

func get(t *testing.T, box *mailbox.Mailbox, path string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get("http://" + box.HTTPAddr() + path)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func TestMailbox_ReadsAMultipartMailAndItsLinks(t *testing.T) {
	t.Parallel()
	box := start(t, mailbox.Options{})
	send(t, box, "owner@acme.example", multipartMail)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	msg, err := box.WaitFor(ctx, "Owner@acme.example", nil)
	require.NoError(t, err)
	require.Equal(t, "Willkommen bei Acme ✓", msg.Subject)
	require.Contains(t, msg.Text, "Grüße <b>")
	require.Contains(t, msg.HTML, "<a href=")
	require.Equal(t, []string{
		"http://acme.localhost:8080/m/invitation?token=abc_-def",
		"http://acme.localhost:8080/m/invitation?token=abc_-def&x=1",
	}, msg.Links)

	_, body := get(t, box, "/api/messages?to=owner@acme.example")
	var listed []map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &listed))
	require.Len(t, listed, 1)
	for _, key := range []string{"id", "to", "subject", "text", "html", "links", "received_at"} {
		require.Contains(t, listed[0], key)
	}
	_, body = get(t, box, "/api/messages?to=other@acme.example")
	require.Equal(t, "[]", strings.TrimSpace(body))
}

func TestMailbox_PageShowsTextEscapedAndHTMLSandboxed(t *testing.T) {
	t.Parallel()
	box := start(t, mailbox.Options{})
	_, body := get(t, box, "/")
	require.Contains(t, body, "No mail yet")
	send(t, box, "owner@acme.example", multipartMail)
	_, body = get(t, box, "/")
	require.Contains(t, body, "Grüße &lt;b&gt;")
	require.Contains(t, body, `href="http://acme.localhost:8080/m/invitation?token=abc_-def">`)
	require.Contains(t, body, `sandbox="allow-popups allow-popups-to-escape-sandbox"`)

	resp, body := get(t, box, "/messages/"+box.Messages("")[0].ID+"/html")
	require.Contains(t, body, "Accept</a>")
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "sandbox")
	require.NotContains(t, resp.Header.Get("Content-Security-Policy"), "allow-scripts")
}

func TestMailbox_RefusesForeignHostNames(t *testing.T) {
	t.Parallel()
	box := start(t, mailbox.Options{})
	req, err := http.NewRequest(http.MethodGet, "http://"+box.HTTPAddr()+"/api/messages", nil)
	require.NoError(t, err)
	req.Host = "rebound.example"
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	_ = resp.Body.Close()
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
}

func TestMailbox_KeepsAtMostItsCapacityAndForgets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	box := start(t, mailbox.Options{Capacity: 2, Dir: dir})
	for _, subject := range []string{"one", "two", "three"} {
		send(t, box, "a@example.com", "Subject: "+subject+"\r\n\r\nhello\r\n")
	}
	require.Len(t, box.Messages(""), 2)

	again, err := mailbox.New(mailbox.Options{Dir: dir})
	require.NoError(t, err)
	kept := again.Messages("a@example.com")
	require.Len(t, kept, 2)
	require.Equal(t, "two", kept[0].Subject)
	require.Equal(t, "no-reply@tenantry.example", kept[0].From)

	req, err := http.NewRequest(http.MethodDelete, "http://"+box.HTTPAddr()+"/api/messages", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	_ = resp.Body.Close()
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.Empty(t, box.Messages(""))
	again, err = mailbox.New(mailbox.Options{Dir: dir})
	require.NoError(t, err)
	require.Empty(t, again.Messages(""))
}
