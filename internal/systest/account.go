package systest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"

	"tenantry/internal/mailbox"
)

// Links answers the links of the first mail to an address that lead to a page
// of ours ("/m/invitation"), waiting for the mail.
func (s *System) Links(ctx context.Context, to, page string) ([]string, error) {
	leads := func(m mailbox.Message) []string {
		var found []string
		for _, link := range m.Links {
			if u, err := url.Parse(link); err == nil && u.Path == page {
				found = append(found, link)
			}
		}
		return found
	}
	m, err := s.Mailbox.WaitFor(ctx, to, func(m mailbox.Message) bool { return len(leads(m)) > 0 })
	return leads(m), err
}

// Link is the one link of Links.
func (s *System) Link(ctx context.Context, to, page string) (string, error) {
	links, err := s.Links(ctx, to, page)
	if err != nil {
		return "", err
	}
	for _, link := range links[1:] {
		if link != links[0] {
			return "", fmt.Errorf("the mail to %s holds different links to %s", to, page)
		}
	}
	return links[0], nil
}

// Token answers the token in a link.
func Token(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", err
	}
	if t := u.Query().Get("token"); t != "" {
		return t, nil
	}
	return "", fmt.Errorf("no token in the query of %s", u.Path)
}

// Form is a page's form: where it goes and what it brings along. The jar holds
// the page's cookies.
type Form struct {
	Action string
	Fields url.Values
	jar    http.CookieJar
	origin string
}

// OpenPage asks for a page and reads its form.
func (s *System) OpenPage(ctx context.Context, link string) (Form, error) {
	form := Form{jar: newJar()}
	a, err := s.Do(ctx, Request{Method: http.MethodGet, URL: link, Jar: form.jar})
	if err != nil {
		return form, err
	}
	if a.Status != http.StatusOK {
		return form, fmt.Errorf("the page answers %s", a)
	}
	at, err := url.Parse(link)
	if err != nil {
		return form, err
	}
	form.origin = at.Scheme + "://" + at.Host
	return form, form.read(at, string(a.Body))
}

// Submit sends the form as a browser does. Only 2xx and 3xx are success.
func (s *System) Submit(ctx context.Context, f Form) (Answer, error) {
	a, err := s.Do(ctx, Request{
		Method: http.MethodPost, URL: f.Action, Jar: f.jar, Body: []byte(f.Fields.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {f.origin}},
	})
	if err == nil && a.Status >= http.StatusBadRequest {
		err = fmt.Errorf("the form answers %s", a)
	}
	return a, err
}

func (f *Form) read(at *url.URL, page string) error {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return err
	}
	var form *html.Node
	f.Fields = url.Values{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "form" && form == nil {
			form = n
		}
		if name := attribute(n, "name"); n.Data == "input" && name != "" {
			f.Fields.Set(name, attribute(n, "value"))
		}
	}
	if form == nil {
		return errors.New("the page has no form")
	}
	action, err := at.Parse(attribute(form, "action"))
	if err != nil {
		return fmt.Errorf("the form's action: %w", err)
	}
	f.Action = action.String()
	return nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Accept opens an invitation's link and sends its form with name and password.
func (s *System) Accept(ctx context.Context, link, name, password string) (Answer, error) {
	form, err := s.OpenPage(ctx, link)
	if err != nil {
		return Answer{}, err
	}
	for _, field := range []string{"name", "password"} {
		if !form.Fields.Has(field) {
			return Answer{}, fmt.Errorf("the invitation form has no field %q", field)
		}
	}
	form.Fields.Set("name", name)
	form.Fields.Set("password", password)
	return s.Submit(ctx, form)
}

// Confirm opens a page that only asks for a click and sends its form.
func (s *System) Confirm(ctx context.Context, link string) (Answer, error) {
	form, err := s.OpenPage(ctx, link)
	if err != nil {
		return Answer{}, err
	}
	return s.Submit(ctx, form)
}

// Login answers an access token.
func (s *System) Login(ctx context.Context, slug, email, password string) (string, error) {
	a, err := s.Post(ctx, slug, "/v1/auth/login", "", map[string]string{"email": email, "password": password})
	if err != nil {
		return "", err
	}
	var out struct {
		AccessToken string `json:"access_token"`
	}
	if err := a.JSON(&out); err != nil || out.AccessToken == "" {
		return "", fmt.Errorf("login: %s", a)
	}
	return out.AccessToken, nil
}

// Owner walks the owner's way: the invitation's mail, the page, the first
// login. It answers the access token.
func (s *System) Owner(ctx context.Context, o Order, password string) (string, error) {
	link, err := s.Link(ctx, o.OwnerEmail, "/m/invitation")
	if err != nil {
		return "", err
	}
	if _, err := s.Accept(ctx, link, "Owner of "+o.Slug, password); err != nil {
		return "", err
	}
	return s.Login(ctx, o.Slug, o.OwnerEmail, password)
}
