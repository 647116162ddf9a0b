package mailbox

import (
	"bytes"
	"encoding/base64"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
)

// maxDepth bounds multipart parts inside parts.
const maxDepth = 8

// parse reads what a person would see of a mail. What cannot be parsed is shown
// as it came: a broken mail is exactly what a developer needs to look at.
func parse(raw []byte) Message {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Message{Text: string(raw), Links: findLinks(string(raw), "")}
	}
	var msg Message
	msg.Subject = m.Header.Get("Subject")
	if subject, err := new(mime.WordDecoder).DecodeHeader(msg.Subject); err == nil {
		msg.Subject = subject
	}
	msg.addPart(textproto.MIMEHeader(m.Header), m.Body, 0)
	msg.Links = findLinks(msg.Text, msg.HTML)
	return msg
}

// addPart adds a body part, and the parts in it, to the text or the HTML.
func (msg *Message) addPart(header textproto.MIMEHeader, body io.Reader, depth int) {
	mediaType, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		mediaType = "text/plain"
	}
	if strings.HasPrefix(mediaType, "multipart/") && depth < maxDepth {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err != nil {
				return
			}
			msg.addPart(part.Header, part, depth+1)
		}
	}
	if disposition, _, _ := mime.ParseMediaType(header.Get("Content-Disposition")); disposition == "attachment" {
		return
	}
	content, _ := io.ReadAll(decoded(header.Get("Content-Transfer-Encoding"), body))
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	switch mediaType {
	case "text/plain":
		msg.Text += text
	case "text/html":
		msg.HTML += text
	}
}

func decoded(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	default:
		return body
	}
}

var (
	plainLink = regexp.MustCompile(`https?://[^\s<>"'\x60]+`)
	hrefLink  = regexp.MustCompile(`(?i)\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')`)
)

// findLinks lists the web addresses of both parts once each, those of the text first.
func findLinks(text, htmlPart string) []string {
	links := []string{}
	add := func(link string) {
		if !slices.Contains(links, link) {
			links = append(links, link)
		}
	}
	for _, link := range plainLink.FindAllString(text, -1) {
		add(trimLink(link))
	}
	for _, match := range hrefLink.FindAllStringSubmatch(htmlPart, -1) {
		link := html.UnescapeString(match[1] + match[2])
		if strings.HasPrefix(link, "http://") || strings.HasPrefix(link, "https://") {
			add(link)
		}
	}
	return links
}

// trimLink drops the punctuation of the sentence around a link.
func trimLink(link string) string { return strings.TrimRight(link, ".,;:!?)]}") }
