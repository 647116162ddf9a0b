package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// demoPassword is every demo owner's password. It is documented, and good for nothing but this machine.
const demoPassword = "quiet-harbour-lantern-42"

const operatorScopes = "tenants.read,tenants.write,hooks.manage,ops"

// order is the body of the provisioning hook.
type order struct {
	Slug       string            `json:"slug"`
	Name       string            `json:"name"`
	OwnerEmail string            `json:"owner_email"`
	OwnerName  string            `json:"-"`
	Settings   map[string]string `json:"settings,omitempty"`
}

var demoTenants = []order{
	{
		Slug: "acme", Name: "Acme GmbH", OwnerEmail: "owner@acme.example", OwnerName: "Ada Acme",
		Settings: map[string]string{"registration_policy": "open"},
	},
	{Slug: "globex", Name: "Globex Corporation", OwnerEmail: "owner@globex.example", OwnerName: "Gil Globex"},
}

func (s *stack) createOperator(ctx context.Context) error {
	if s.state.OperatorKey == "" {
		out, err := s.cli(ctx, "operator", "create", "--name", "dev", "--scopes", operatorScopes, "--json")
		if err != nil {
			return err
		}
		var created struct {
			Key string `json:"key"`
		}
		if err := json.Unmarshal(out, &created); err != nil || created.Key == "" {
			return fmt.Errorf("tenantry operator create printed no key: %w", err)
		}
		s.state.OperatorKey = created.Key
		if err := s.state.save(); err != nil {
			return err
		}
	}
	return s.writeDotEnv()
}

// ensureDemo provisions the demo tenants as an outside system would, then walks
// each owner's way from the invitation mail to the first login.
func (s *stack) ensureDemo(ctx context.Context) error {
	for _, tenant := range demoTenants {
		if s.state.Ready[tenant.Slug] {
			continue
		}
		if err := s.makeDemoTenant(ctx, tenant); err != nil {
			return err
		}
		s.state.Ready[tenant.Slug] = true
		if err := s.state.save(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) makeDemoTenant(ctx context.Context, tenant order) error {
	var location string
	err := s.progress.step("Demo tenant "+tenant.Slug+": signed hook", func() (err error) {
		if err = s.ensureHook(ctx); err == nil {
			location, err = s.sendHook(ctx, tenant)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = s.progress.step("Demo tenant "+tenant.Slug+": provisioning", func() error {
		return s.waitOperation(ctx, tenant, location)
	})
	if err != nil {
		return err
	}
	return s.progress.step("Demo tenant "+tenant.Slug+": owner accepts the mail", func() error {
		// An earlier start may have been stopped between the form and its note of it.
		if s.login(ctx, tenant) == nil {
			return nil
		}
		if err := s.acceptInvitation(ctx, tenant); err != nil {
			return err
		}
		return s.login(ctx, tenant)
	})
}

func (s *stack) ensureHook(ctx context.Context) error {
	if s.state.Hook.Secret != "" {
		return nil
	}
	// A name of its own each time: after a half-finished start the old one may be taken.
	out, err := s.cli(ctx, "hook", "create", "--name", "demo-"+strings.ToLower(rand.Text()[:6]), "--json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &s.state.Hook); err != nil {
		return fmt.Errorf("tenantry hook create: %w", err)
	}
	if s.state.Hook.Source == "" || s.state.Hook.Secret == "" || s.state.Hook.OperatorKey == "" {
		return errors.New("tenantry hook create printed no source, secret or operator key")
	}
	if err := s.state.save(); err != nil {
		return err
	}
	return s.writeDotEnv()
}

// sendHook returns where the operation can be watched.
func (s *stack) sendHook(ctx context.Context, tenant order) (string, error) {
	id := s.state.Messages[tenant.Slug]
	if id == "" {
		id = "msg_" + rand.Text()
		s.state.Messages[tenant.Slug] = id
		if err := s.state.save(); err != nil {
			return "", err
		}
	}
	body, err := json.Marshal(tenant)
	if err != nil {
		return "", err
	}
	signer, err := standardwebhooks.NewWebhook(s.state.Hook.Secret)
	if err != nil {
		return "", fmt.Errorf("hook secret: %w", err)
	}
	at := time.Now()
	signature, err := signer.Sign(id, at, body)
	if err != nil {
		return "", fmt.Errorf("sign the hook: %w", err)
	}
	target := s.publicURL() + "/v1/hooks/provisioning/" + url.PathEscape(s.state.Hook.Source)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	resp, answer, err := do(client(), req)
	if err != nil {
		return "", err
	}
	location, err := resp.Location()
	if resp.StatusCode != http.StatusAccepted || err != nil {
		return "", fmt.Errorf("the hook answered %s without an operation: %s", resp.Status, answer)
	}
	return location.String(), nil
}

// waitOperation returns when the operation has succeeded.
func (s *stack) waitOperation(ctx context.Context, tenant order, location string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last []byte
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+s.state.Hook.OperatorKey)
		resp, answer, err := do(client(), req)
		if err == nil {
			last = answer
			var operation struct {
				State string `json:"state"`
			}
			_ = json.Unmarshal(answer, &operation)
			// "succeeded", or the enum's full name.
			switch state := strings.ToLower(operation.State); {
			case resp.StatusCode == http.StatusOK && strings.HasSuffix(state, "succeeded"):
				return nil
			case resp.StatusCode == http.StatusOK && strings.HasSuffix(state, "failed"):
				// The same message would get the same answer for ever.
				delete(s.state.Messages, tenant.Slug)
				return errors.Join(fmt.Errorf("provisioning %s failed: %s", tenant.Slug, answer), s.state.save())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("provisioning %s is not done: %w; last answer: %s; log: %s",
				tenant.Slug, errors.Join(ctx.Err(), err), last, s.shown(s.log("worker")))
		case <-tick.C:
		}
	}
}
