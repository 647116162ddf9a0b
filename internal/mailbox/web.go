package mailbox

import (
	"embed"
	"encoding/json"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var files embed.FS

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{"linkify": linkify}).ParseFS(files, "page.html"))

// Handler serves the page and its JSON:
//
//	GET    /                      list and message (?id=)
//	GET    /messages/{id}/html    the HTML part alone, sandboxed
//	GET    /api/messages?to=      messages, oldest first
//	DELETE /api/messages          forgets all
func (m *Mailbox) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", m.servePage)
	mux.HandleFunc("GET /messages/{id}/html", m.serveHTMLPart)
	mux.HandleFunc("GET /api/messages", m.serveMessages)
	mux.HandleFunc("DELETE /api/messages", m.serveClear)
	return localOnly(mux)
}

// localOnly refuses other host names: a web page elsewhere whose name is made to
// resolve to 127.0.0.1 could otherwise read the tokens in the mails.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if host != "localhost" && !strings.HasSuffix(host, ".localhost") && ip == nil {
			http.Error(w, "the mailbox is reached as localhost", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

func (m *Mailbox) servePage(w http.ResponseWriter, r *http.Request) {
	messages := m.Messages(r.URL.Query().Get("to"))
	slices.Reverse(messages)
	data := struct {
		Messages []Message
		Open     *Message
		Links    []string
		Count    int
	}{Messages: messages, Count: len(m.Messages(""))}
	if msg, ok := m.Message(r.URL.Query().Get("id")); ok {
		data.Open = &msg
	} else if len(messages) > 0 {
		data.Open = &messages[0]
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = page.Execute(w, data)
}

// serveHTMLPart answers with the mail's HTML: no script, nothing loaded from
// elsewhere, links open outside the frame.
func (m *Mailbox) serveHTMLPart(w http.ResponseWriter, r *http.Request) {
	msg, ok := m.Message(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "+
		"sandbox allow-popups allow-popups-to-escape-sandbox")
	_, _ = w.Write([]byte(`<base target="_blank">` + msg.HTML))
}

func (m *Mailbox) serveMessages(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(m.Messages(r.URL.Query().Get("to")))
}

func (m *Mailbox) serveClear(w http.ResponseWriter, _ *http.Request) {
	if err := m.Clear(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// linkify escapes text and makes its web addresses clickable.
func linkify(text string) template.HTML {
	var b strings.Builder
	for {
		at := plainLink.FindStringIndex(text)
		if at == nil {
			break
		}
		link := trimLink(text[at[0]:at[1]])
		escaped := template.HTMLEscapeString(link)
		b.WriteString(template.HTMLEscapeString(text[:at[0]]))
		b.WriteString(`<a target="_blank" rel="noreferrer" href="` + escaped + `">` + escaped + `</a>`)
		text = text[at[0]+len(link):]
	}
	b.WriteString(template.HTMLEscapeString(text))
	return template.HTML(b.String()) //nolint:gosec // every piece above is escaped
}
