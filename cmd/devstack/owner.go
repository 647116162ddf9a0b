package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tenantry/internal/mailbox"
)

// client is a browser's view: {slug}.localhost is this machine, which not every
// resolver knows, and cookies are kept.
func client() *http.Client {
	jar, _ := cookiejar.New(nil) // fails never without options
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Jar:     jar,
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				if err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
					address = net.JoinHostPort("127.0.0.1", port)
				}
				return dialer.DialContext(ctx, network, address)
			},
		},
	}
}

// do sends req and reads the whole answer.
func do(c *http.Client, req *http.Request) (*http.Response, []byte, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp, body, err
}

// login succeeds when the owner can log in with the demo password.
func (s *stack) login(ctx context.Context, tenant order) error {
	body, err := json.Marshal(map[string]string{"email": tenant.OwnerEmail, "password": demoPassword})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.tenantURL(tenant.Slug)+"/v1/auth/login", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, answer, err := do(client(), req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("login of %s answered %s: %s", tenant.OwnerEmail, resp.Status, answer)
	}
	return nil
}

// acceptInvitation opens the link of the newest invitation mail and fills in the form.
func (s *stack) acceptInvitation(ctx context.Context, tenant order) error {
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	isInvitation := func(m mailbox.Message) bool { return s.invitationLink(tenant, m) != "" }
	if _, err := s.mailbox.WaitFor(waiting, tenant.OwnerEmail, isInvitation); err != nil {
		return err
	}
	var link string
	for _, m := range s.mailbox.Messages(tenant.OwnerEmail) {
		if found := s.invitationLink(tenant, m); found != "" {
			link = found
		}
	}
	browser := client()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return err
	}
	resp, page, err := do(browser, req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the invitation page answered %s: %s", resp.Status, page)
	}
	action, fields, err := readForm(resp.Request.URL, string(page))
	if err != nil {
		return err
	}
	fields.Set("name", tenant.OwnerName)
	fields.Set("password", demoPassword)
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, action, strings.NewReader(fields.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", s.tenantURL(tenant.Slug))
	resp, page, err = do(browser, req)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("accepting the invitation answered %s: %s", resp.Status, page)
	}
	return nil
}

func (s *stack) invitationLink(tenant order, m mailbox.Message) string {
	for _, link := range m.Links {
		if strings.HasPrefix(link, s.tenantURL(tenant.Slug)+"/m/invitation?") {
			return link
		}
	}
	return ""
}

var (
	formTag   = regexp.MustCompile(`(?is)<form\b[^>]*>`)
	inputTag  = regexp.MustCompile(`(?is)<input\b[^>]*>`)
	attribute = regexp.MustCompile(`(?is)([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))`)
)

// readForm returns where the page's form goes and the fields it brings along.
func readForm(at *url.URL, page string) (string, url.Values, error) {
	form := formTag.FindString(page)
	if form == "" {
		return "", nil, errors.New("the invitation page has no form")
	}
	action, err := at.Parse(attributes(form)["action"])
	if err != nil {
		return "", nil, fmt.Errorf("the invitation form's action: %w", err)
	}
	fields := url.Values{}
	for _, tag := range inputTag.FindAllString(page, -1) {
		if input := attributes(tag); input["name"] != "" {
			fields.Set(input["name"], input["value"])
		}
	}
	return action.String(), fields, nil
}

func attributes(tag string) map[string]string {
	found := map[string]string{}
	for _, match := range attribute.FindAllStringSubmatch(tag, -1) {
		found[strings.ToLower(match[1])] = html.UnescapeString(match[2] + match[3] + match[4])
	}
	return found
}
