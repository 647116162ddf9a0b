// Package mailbox is a mail server that delivers nothing: it keeps what it is
// sent and shows it on a page and as JSON. Development and tests read the links
// in mails from it.
//
// It accepts every sender and recipient without a password, so it belongs on a
// loopback address only. Messages above 10 MiB are refused and the oldest go
// when the box is full.
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	defaultCapacity = 500
	maxMessageBytes = 10 << 20
)

// Options configures a Mailbox. The zero value keeps 500 messages in memory.
type Options struct {
	// Capacity is how many messages are kept; 0 means 500.
	Capacity int
	// Dir keeps the messages as .eml files, read again by New. Empty means memory only.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Message is a mail as it was received.
type Message struct {
	ID         string    `json:"id"`
	From       string    `json:"from"`
	To         []string  `json:"to"`
	Subject    string    `json:"subject"`
	Text       string    `json:"text"`
	HTML       string    `json:"html"`
	Links      []string  `json:"links"`
	ReceivedAt time.Time `json:"received_at"`
}

// Mailbox keeps messages, newest last.
type Mailbox struct {
	opts Options

	mu       sync.Mutex
	messages []Message
	sequence int
	arrived  chan struct{} // closed and replaced at every arrival
	refusing bool

	smtp     *smtp.Server
	web      *http.Server
	smtpAddr string
	httpAddr string
}

// New makes a mailbox and reads what an earlier one left in Dir.
func New(opts Options) (*Mailbox, error) {
	if opts.Capacity <= 0 {
		opts.Capacity = defaultCapacity
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	m := &Mailbox{opts: opts, arrived: make(chan struct{})}
	if err := m.load(); err != nil {
		return nil, err
	}
	return m, nil
}

// Start listens for mail on smtpAddr and serves Handler on httpAddr; an empty
// httpAddr means no page. Port 0 takes a free one: see SMTPAddr and HTTPAddr.
func (m *Mailbox) Start(smtpAddr, httpAddr string) error {
	mailListener, err := net.Listen("tcp", smtpAddr)
	if err != nil {
		return fmt.Errorf("mailbox: %w", err)
	}
	m.smtpAddr = mailListener.Addr().String()
	m.smtp = smtp.NewServer(backend{m})
	m.smtp.Domain = "localhost"
	m.smtp.MaxMessageBytes = maxMessageBytes
	m.smtp.MaxRecipients = 100
	m.smtp.ReadTimeout, m.smtp.WriteTimeout = time.Minute, time.Minute
	m.smtp.EnableSMTPUTF8 = true
	if httpAddr != "" {
		pageListener, err := net.Listen("tcp", httpAddr)
		if err != nil {
			_ = mailListener.Close()
			return fmt.Errorf("mailbox: %w", err)
		}
		m.httpAddr = pageListener.Addr().String()
		m.web = &http.Server{Handler: m.Handler(), ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = m.web.Serve(pageListener) }()
	}
	go func() { _ = m.smtp.Serve(mailListener) }()
	return nil
}

// SMTPAddr is host:port for mail.
func (m *Mailbox) SMTPAddr() string { return m.smtpAddr }

// HTTPAddr is host:port of the page, empty when there is none.
func (m *Mailbox) HTTPAddr() string { return m.httpAddr }

// Close stops listening. Messages stay readable.
func (m *Mailbox) Close() error {
	var errs []error
	if m.smtp != nil {
		errs = append(errs, m.smtp.Close())
	}
	if m.web != nil {
		errs = append(errs, m.web.Close())
	}
	return errors.Join(errs...)
}

// Messages returns the messages to an address, oldest first; an empty address means all.
func (m *Mailbox) Messages(to string) []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := []Message{}
	for _, msg := range m.messages {
		if to == "" || msg.isTo(to) {
			found = append(found, msg)
		}
	}
	return found
}

// Message returns the message with that id.
func (m *Mailbox) Message(id string) (Message, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.messages, func(msg Message) bool { return msg.ID == id })
	if i < 0 {
		return Message{}, false
	}
	return m.messages[i], true
}

// WaitFor returns the oldest message to an address that match accepts (nil
// accepts all), waiting for it until ctx ends.
func (m *Mailbox) WaitFor(ctx context.Context, to string, match func(Message) bool) (Message, error) {
	for {
		m.mu.Lock()
		arrived := m.arrived
		m.mu.Unlock()
		for _, msg := range m.Messages(to) {
			if match == nil || match(msg) {
				return msg, nil
			}
		}
		select {
		case <-ctx.Done():
			return Message{}, fmt.Errorf("no such mail to %s: %w", to, ctx.Err())
		case <-arrived:
		}
	}
}

// Clear forgets all messages.
func (m *Mailbox) Clear() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, msg := range m.messages {
		errs = append(errs, m.remove(msg))
	}
	m.messages = nil
	return errors.Join(errs...)
}

func (msg Message) isTo(address string) bool {
	return slices.ContainsFunc(msg.To, func(to string) bool { return strings.EqualFold(to, address) })
}

// Refuse makes the mailbox answer every message with a temporary failure (451,
// RFC 5321), as a mail server in trouble does, until it is told otherwise.
func (m *Mailbox) Refuse(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusing = on
}

// receive stores one message.
func (m *Mailbox) receive(from string, to []string, raw []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refusing {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the mailbox takes nothing at the moment"}
	}
	at := m.opts.Now().UTC()
	m.sequence++
	msg := parse(raw)
	msg.ID = fmt.Sprintf("%s-%04d", at.Format("20060102T150405.000000"), m.sequence)
	msg.From, msg.To, msg.ReceivedAt = from, to, at
	if err := m.write(msg, raw); err != nil {
		return err
	}
	m.add(msg)
	close(m.arrived)
	m.arrived = make(chan struct{})
	return nil
}

func (m *Mailbox) add(msg Message) {
	m.messages = append(m.messages, msg)
	for len(m.messages) > m.opts.Capacity {
		_ = m.remove(m.messages[0])
		m.messages = m.messages[1:]
	}
}

func (m *Mailbox) file(id string) string { return filepath.Join(m.opts.Dir, id+".eml") }

func (m *Mailbox) remove(msg Message) error {
	if m.opts.Dir == "" {
		return nil
	}
	return os.Remove(m.file(msg.ID))
}

// backend turns SMTP sessions into messages.
type backend struct{ box *Mailbox }

func (b backend) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{box: b.box}, nil }

type session struct {
	box  *Mailbox
	from string
	to   []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.box.receive(s.from, s.to, raw)
}

func (s *session) Reset() { s.from, s.to = "", nil }

func (s *session) Logout() error { return nil }
