// Package mail writes and sends mails: text and HTML from one layout and the
// texts of internal/i18n, over SMTP.
package mail

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net"
	"net/url"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/google/uuid"
	gomail "github.com/wneessen/go-mail"

	"tenantry/internal/i18n"
	"tenantry/internal/secrets"
)

// Template names a mail.
type Template string

// The mails.
const (
	VerifyEmail   Template = "verify_email"
	AccountExists Template = "account_exists"
	Invitation    Template = "invitation"
	PasswordReset Template = "password_reset"
	// AccountSecured follows what has locked an account down.
	AccountSecured Template = "account_secured"
	MagicLink      Template = "magic_link"
	EmailChange    Template = "email_change"
	// EmailChanged goes to the address that the account had.
	EmailChanged Template = "email_changed"
	// AddressTaken goes to somebody whose address another account asked for.
	AddressTaken Template = "address_taken"
)

// texts of a mail: the key is the template's name and one of these. A notice
// has the first two alone, any other mail all four.
const (
	partSubject = "subject"
	partText    = "text"
	partAction  = "action" // what its link does
	partNote    = "note"   // how long the link lives, and what to do without it
)

// texts are the names that a mail's texts are looked for under: notices share
// what their link does.
func (t Template) texts() []string {
	if t.notice() {
		return []string{string(t), "notice"}
	}
	return []string{string(t)}
}

func (t Template) notice() bool { return strings.HasPrefix(string(t), "notice_") }

// Draft is a mail before its link is minted.
type Draft struct {
	Template Template
	To       string
	// Locale is a BCP 47 tag; one that we do not speak stands for English.
	Locale string
	// Subject is the key of the person it is about; it seals the token while
	// the mail waits.
	Subject secrets.SubjectKey
	// Purpose, TokenFor and Expires mint the link's token; no purpose means
	// no link.
	Purpose  string
	TokenFor uuid.UUID
	Expires  time.Time
	// Anew mints another token in the place of the one of an earlier try.
	Anew bool
	// Path of the page behind the link.
	Path string
	// At is when it happened, Device by which device: of notices.
	At     time.Time
	Device string
}

// Data fills a mail.
type Data struct {
	// Locale is a BCP 47 tag, as in a Draft.
	Locale string
	// Tenant is the organization's name, URL its address.
	Tenant string
	URL    string
	// Link is the page with its token; empty in notices.
	Link string
	// Expires is when the link ends.
	Expires time.Time
	// At and Device are as in a Draft.
	At     time.Time
	Device string
}

//go:embed templates/*
var files embed.FS

var (
	textLayout = texttemplate.Must(texttemplate.ParseFS(files, "templates/mail.txt"))
	htmlLayout = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/mail.html"))
)

// Message is a mail ready to be sent.
type Message struct {
	// ID makes a repeated mail recognizable: the Message-ID's left part.
	ID       string
	To       string
	Language i18n.Locale
	Subject  string
	Text     string
	HTML     string
}

// letter is what the layout shows.
type letter struct {
	Locale                       i18n.Locale
	Greeting, Text, Action, Note string
	Link                         string
}

// Render writes a mail in the language of its data.
func Render(t Template, d Data) (Message, error) {
	l := i18n.Best(d.Locale)
	layout := l.Mail("time_layout", nil)
	params := i18n.Params{
		"tenant": d.Tenant, "url": d.URL, "expires": d.Expires.UTC().Format(layout), "time": d.At.UTC().Format(layout),
		"device": cmp.Or(d.Device, l.Mail("unknown_device", nil)),
	}
	part := func(name string) string {
		for _, of := range t.texts() {
			if text, ok := i18n.Text(l, "mail."+of+"."+name, params); ok {
				return text
			}
		}
		return ""
	}
	content := letter{Locale: l, Greeting: l.Mail("greeting", nil), Text: part(partText), Action: part(partAction), Note: part(partNote), Link: d.Link}
	subject := part(partSubject)
	if subject == "" || content.Text == "" || (d.Link != "") != (content.Action != "") {
		return Message{}, fmt.Errorf("render mail %s: texts are missing", t)
	}
	var text, html bytes.Buffer
	if err := errors.Join(textLayout.Execute(&text, content), htmlLayout.Execute(&html, content)); err != nil {
		return Message{}, fmt.Errorf("render mail %s: %w", t, err)
	}
	// A name with a line break must not become a header.
	subject = strings.Join(strings.Fields(subject), " ")
	return Message{Language: l, Subject: subject, Text: strings.TrimSpace(text.String()) + "\n", HTML: html.String()}, nil
}

// Sender sends over SMTP.
type Sender struct {
	from   string
	client func() (*gomail.Client, error)
}

// NewSender reads smtp://[user:password@]host:port (STARTTLS when offered,
// required with a password unless the host is this machine) or smtps:// (TLS
// at once).
func NewSender(smtpURL, from string) (*Sender, error) {
	u, err := url.Parse(smtpURL)
	if err != nil || u.Hostname() == "" || (u.Scheme != "smtp" && u.Scheme != "smtps") {
		return nil, errors.New("SMTP URL: want smtp://[user:password@]host:port or smtps://…")
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return nil, errors.New("SMTP URL: the port is missing")
	}
	opts := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(10 * time.Second), gomail.WithTLSPolicy(gomail.TLSOpportunistic)}
	if u.Scheme == "smtps" {
		opts = append(opts, gomail.WithSSL())
	}
	if u.User != nil {
		password, _ := u.User.Password()
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
		}
	}
	return &Sender{from: from, client: func() (*gomail.Client, error) { return gomail.NewClient(u.Hostname(), opts...) }}, nil
}

// Send hands messages to the server over one connection and answers an error
// for each: nil means the server has taken it.
func (s *Sender) Send(ctx context.Context, msgs []Message) []error {
	errs := make([]error, len(msgs))
	if len(msgs) == 0 {
		return errs
	}
	c, err := s.client()
	if err == nil {
		err = c.DialWithContext(ctx)
	}
	if err != nil {
		for i := range errs {
			errs[i] = fmt.Errorf("connect to mail server: %w", err)
		}
		return errs
	}
	defer func() { _ = c.Close() }()
	for i, m := range msgs {
		errs[i] = s.sendOne(c, m)
	}
	return errs
}

func (s *Sender) sendOne(c *gomail.Client, m Message) error {
	msg := gomail.NewMsg()
	if err := errors.Join(msg.From(s.from), msg.To(m.To)); err != nil {
		return fmt.Errorf("mail addresses: %w", err)
	}
	_, domain, _ := strings.Cut(strings.Trim(s.from, "<>"), "@")
	msg.SetMessageIDWithValue(m.ID + "@" + strings.TrimRight(domain, ">"))
	msg.Subject(m.Subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("Content-Language", string(m.Language))
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return c.Send(msg)
}
