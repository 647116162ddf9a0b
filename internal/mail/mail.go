// Package mail writes and sends mails: text and HTML from one set of
// templates, over SMTP.
package mail

import (
	"bytes"
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

	"tenantry/internal/secrets"
)

// Template names a mail.
type Template string

// The mails.
const (
	VerifyEmail   Template = "verify_email"
	AccountExists Template = "account_exists"
	Invitation    Template = "invitation"
)

// Draft is a mail before its link is minted.
type Draft struct {
	Template Template
	To       string
	Locale   string
	// Subject is the key of the person it is about; it seals the token while
	// the mail waits.
	Subject secrets.SubjectKey
	// Purpose, TokenFor and Expires mint the link's token; no purpose means
	// no link.
	Purpose  string
	TokenFor uuid.UUID
	Expires  time.Time
	// Path of the page behind the link.
	Path string
}

// Data fills a template.
type Data struct {
	// Tenant is the organization's name, URL its address.
	Tenant string
	URL    string
	// Link is the page with its token; empty in notices.
	Link string
	// Expires is when the link ends.
	Expires time.Time
}

//go:embed templates/*
var files embed.FS

var (
	texts = texttemplate.Must(texttemplate.ParseFS(files, "templates/*.txt"))
	htmls = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/*.html"))
)

// Message is a mail ready to be sent.
type Message struct {
	// ID makes a repeated mail recognizable: the Message-ID's left part.
	ID      string
	To      string
	Subject string
	Text    string
	HTML    string
}

// Render fills a template; the first line of the text template is the subject.
func Render(t Template, d Data) (Message, error) {
	var text, html bytes.Buffer
	if err := texts.ExecuteTemplate(&text, string(t)+".txt", d); err != nil {
		return Message{}, fmt.Errorf("render mail %s: %w", t, err)
	}
	if err := htmls.ExecuteTemplate(&html, string(t)+".html", d); err != nil {
		return Message{}, fmt.Errorf("render mail %s: %w", t, err)
	}
	subject, body, ok := strings.Cut(text.String(), "\n\n")
	if !ok {
		return Message{}, fmt.Errorf("render mail %s: no subject line", t)
	}
	// A name with a line break must not become a header.
	subject = strings.Join(strings.Fields(strings.TrimPrefix(subject, "Subject:")), " ")
	return Message{Subject: subject, Text: body, HTML: html.String()}, nil
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
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return c.Send(msg)
}
