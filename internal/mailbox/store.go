package mailbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The envelope is not part of a mail, so the file starts with these two lines of ours.
const (
	envelopeFrom = "X-Mailbox-From: "
	envelopeTo   = "X-Mailbox-To: "
)

func (m *Mailbox) write(msg Message, raw []byte) error {
	if m.opts.Dir == "" {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s\r\n%s%s\r\n", envelopeFrom, msg.From, envelopeTo, strings.Join(msg.To, ","))
	b.Write(raw)
	// Mails carry tokens: for this user's eyes only.
	if err := os.WriteFile(m.file(msg.ID), b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("mailbox: %w", err)
	}
	return nil
}

func (m *Mailbox) load() error {
	if m.opts.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(m.opts.Dir, 0o700); err != nil {
		return fmt.Errorf("mailbox: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(m.opts.Dir, "*.eml"))
	if err != nil {
		return fmt.Errorf("mailbox: %w", err)
	}
	slices.Sort(files) // names begin with the time
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("mailbox: %w", err)
		}
		if msg, ok := unfile(strings.TrimSuffix(filepath.Base(file), ".eml"), content); ok {
			m.add(msg)
		}
	}
	return nil
}

func unfile(id string, content []byte) (Message, bool) {
	from, rest, ok := bytes.Cut(content, []byte("\r\n"))
	to, raw, ok2 := bytes.Cut(rest, []byte("\r\n"))
	stamp, _, ok3 := strings.Cut(id, "-")
	at, err := time.Parse("20060102T150405.000000", stamp)
	if !ok || !ok2 || !ok3 || err != nil {
		return Message{}, false // not written by this package
	}
	msg := parse(raw)
	msg.ID, msg.ReceivedAt = id, at
	msg.From = strings.TrimPrefix(string(from), envelopeFrom)
	msg.To = strings.Split(strings.TrimPrefix(string(to), envelopeTo), ",")
	return msg, true
}
