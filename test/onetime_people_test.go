package test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"tenantry/internal/systest"
)

// address is that of somebody with a name.
func (s *tempest) address(name string) string { return name + "@" + s.order.Slug + ".example" }

// ask wants a call to succeed; out may be nil.
func (s *tempest) ask(ctx context.Context, path, bearer string, body, out any) error {
	a, err := s.Post(ctx, s.order.Slug, path, bearer, body)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("%s: %s", path, a)
	}
	if out == nil {
		return nil
	}
	return a.JSON(out)
}

// mailed waits for a mail and answers the token of its link to a page.
func (s *tempest) mailed(ctx context.Context, to, page string) (string, error) {
	link, err := s.Link(ctx, to, page)
	if err != nil {
		return "", err
	}
	return systest.Token(link)
}

// register asks for an account and answers the token that makes it.
func (s *tempest) register(ctx context.Context, name string) (string, error) {
	err := s.ask(ctx, "/v1/auth/register", "", map[string]string{"name": name, "email": s.address(name), "password": password}, nil)
	if err != nil {
		return "", err
	}
	return s.mailed(ctx, s.address(name), "/m/verify")
}

// person makes an account.
func (s *tempest) person(ctx context.Context, name string) error {
	token, err := s.register(ctx, name)
	if err != nil {
		return err
	}
	return s.ask(ctx, "/v1/auth/verify-email", "", map[string]string{"token": token}, nil)
}

// entered is the answer of a login.
type entered struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	Session   string `json:"session_id"`
	Challenge struct{ Token string }
}

func (s *tempest) login(ctx context.Context, email string) (out entered, err error) {
	err = s.ask(ctx, "/v1/auth/login", "", map[string]string{"email": email, "password": password}, &out)
	return out, err
}

// changing makes somebody whose address is to change, and answers the token
// of the mail to the new one.
func (s *tempest) changing(ctx context.Context, name string) (string, error) {
	if err := s.person(ctx, name); err != nil {
		return "", err
	}
	in, err := s.login(ctx, s.address(name))
	if err != nil {
		return "", err
	}
	next := s.address("new-" + name)
	if err := s.ask(ctx, "/v1/me:changeEmail", in.Access, map[string]string{"email": next}, nil); err != nil {
		return "", err
	}
	return s.mailed(ctx, next, "/m/email")
}

// waiting makes somebody with a second factor, and logins that wait for it.
func (s *tempest) waiting(ctx context.Context, name string, logins int) (*value, error) {
	if err := s.person(ctx, name); err != nil {
		return nil, err
	}
	in, err := s.login(ctx, s.address(name))
	if err != nil {
		return nil, err
	}
	v := &value{subject: name}
	if v.factor, err = enroll(ctx, s.System, s.order.Slug, in.Access); err != nil {
		return nil, err
	}
	for range logins {
		in, err := s.login(ctx, s.address(name))
		if err != nil {
			return nil, err
		}
		if in.Challenge.Token == "" {
			return nil, errors.New("the password alone opens the account")
		}
		v.challenges = append(v.challenges, in.Challenge.Token)
	}
	return v, nil
}

// magicPage makes somebody and opens the page of a link that logs them in.
func (s *tempest) magicPage(ctx context.Context, name string) (form systest.Form, err error) {
	if err := s.person(ctx, name); err != nil {
		return form, err
	}
	body := map[string]string{"email": s.address(name), "code_challenge": challengeOf(verifier)}
	if err := s.ask(ctx, "/v1/auth/magic-link", "", body, nil); err != nil {
		return form, err
	}
	link, err := s.Link(ctx, s.address(name), "/m/magic")
	if err != nil {
		return form, err
	}
	form, err = s.OpenPage(ctx, link)
	if err == nil {
		form.Fields.Set("act", "here")
	}
	return form, err
}

// press sends a page's form, whatever the answer; nothing of a browser is
// shared between two clients.
func (s *tempest) press(ctx context.Context, form systest.Form) (systest.Answer, error) {
	return s.Do(ctx, systest.Request{
		Method: http.MethodPost, URL: form.Action, Body: []byte(form.Fields.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}},
	})
}
