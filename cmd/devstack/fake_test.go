package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/smtp"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const fakeSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestMain lets the test binary play `tenantry`, so that the stack's own
// behaviour is tested without the product.
func TestMain(m *testing.M) {
	if os.Getenv("DEVSTACK_TEST_PLAYS_TENANTRY") == "" {
		os.Exit(m.Run())
	}
	if err := playTenantry(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func playTenantry(args []string) error {
	switch strings.Join(args[:min(2, len(args))], " ") {
	case "bootstrap --superuser-url":
		return os.WriteFile(args[4], []byte("TENANTRY_CENTRAL_URL=central\nTENANTRY_PROVISIONER_URL=provisioner\nTENANTRY_CODEC_TOKEN=token\n"), 0o600)
	case "migrate":
		return nil
	case "operator create":
		fmt.Println(`{"key":"operator-key"}`)
		return nil
	case "hook create":
		fmt.Printf(`{"source":"src","secret":%q,"operator_key":"source-key"}`+"\n", fakeSecret)
		return nil
	case "codec", "worker":
		return serveFake(os.Getenv("TENANTRY_"+strings.ToUpper(args[0])+"_ADDR"), http.NotFoundHandler())
	case "api":
		for _, name := range []string{"TENANTRY_PROVISIONER_URL", "TENANTRY_OPERATOR_KEY", "TENANTRY_HOOK_SECRET", "TENANTRY_CODEC_TOKEN"} {
			if _, leaked := os.LookupEnv(name); leaked {
				return fmt.Errorf("the API was given %s", name)
			}
		}
		return serveFake(os.Getenv("TENANTRY_API_ADDR"), fakeAPI())
	}
	return fmt.Errorf("unexpected command %q", args)
}

func serveFake(addr string, handler http.Handler) error {
	server := &http.Server{Addr: addr, Handler: handler}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	go func() {
		<-stopped
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// fakeAPI knows the owner's journey and nothing else. A login works when the
// invitation of that tenant was accepted with that password.
func fakeAPI() http.Handler {
	base, _ := url.Parse(os.Getenv("TENANTRY_PUBLIC_URL"))
	const kept = "passwords.json"
	passwords := map[string]string{}
	if content, err := os.ReadFile(kept); err == nil {
		_ = json.Unmarshal(content, &passwords)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/hooks/provisioning/src", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		verifier, _ := standardwebhooks.NewWebhook(fakeSecret)
		if err := verifier.Verify(body, r.Header); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		var o order
		_ = json.Unmarshal(body, &o)
		link := fmt.Sprintf("http://%s.localhost:%s/m/invitation?token=t", o.Slug, base.Port())
		mail := "Subject: Invitation\r\n\r\nOpen " + link + "\r\n"
		if err := smtp.SendMail(strings.TrimPrefix(os.Getenv("FAKE_SMTP_URL"), "smtp://"), nil, "a@b.example", []string{o.OwnerEmail}, []byte(mail)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Location", "/v1/operations/1")
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /v1/operations/1", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer source-key" {
			_, _ = io.WriteString(w, `{"id":"1","state":"OPERATION_STATE_SUCCEEDED"}`)
		}
	})
	mux.HandleFunc("GET /m/invitation", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<form method="post"><input type=hidden name="token" value="t"><input name='form_token' value='a&amp;b'>`+
			`<input name="name"><input name="password" type="password"></form>`)
	})
	mux.HandleFunc("POST /m/invitation", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("token") != "t" || r.PostFormValue("form_token") != "a&b" || r.PostFormValue("name") == "" {
			http.Error(w, "bad form", http.StatusBadRequest)
			return
		}
		passwords[r.Host] = r.PostFormValue("password")
		content, _ := json.Marshal(passwords)
		_ = os.WriteFile(kept, content, 0o600)
	})
	mux.HandleFunc("POST /v1/auth/login", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Password string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		if in.Password == "" || in.Password != passwords[r.Host] {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	return mux
}
