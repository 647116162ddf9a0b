package test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tenantry/internal/systest"
)

// value is one that waits to be redeemed.
type value struct {
	// token is what is redeemed.
	token string
	// subject is what the value is about, for counting its effects.
	subject string
	// form is a page that redeems.
	form systest.Form
	// challenges are logins that wait, factor and codes what ends them.
	challenges []string
	factor     enrolled
	codes      []string
}

// oneTime is a kind of one-time value. A new kind is a new entry of oneTimes.
type oneTime struct {
	name string
	// make answers a value that waits, about somebody of its own with a name;
	// it comes by the ways of the product.
	make func(ctx context.Context, s *tempest, name string) (*value, error)
	// ready, if any, is a last step: what it makes does not live long.
	ready func(ctx context.Context, s *tempest, v *value) error
	// redeem is one client's call.
	redeem func(ctx context.Context, s *tempest, v *value, client int) (systest.Answer, error)
	// shared tells of a success what all who succeed are told alike; nil where
	// no two may be told of one.
	shared func(a systest.Answer) string
	// refusals are the reasons that losers are answered. A page has none.
	refusals []string
	page     bool
	// effects counts what a value ($1 is its subject) has done.
	effects string
	// twoSteps: the value is used up before its effect, in a transaction of its
	// own, because it may have been stolen. A crash between loses it.
	twoSteps bool
}

var oneTimes = []oneTime{
	{
		name: "verification", refusals: []string{"TOKEN_INVALID"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) {
			token, err := s.register(ctx, name)
			return &value{token: token, subject: name}, err
		},
		redeem:  redeems("/v1/auth/verify-email", onlyToken),
		effects: `SELECT count(*) FROM audit_log a JOIN users u ON u.id = a.target_id WHERE a.action = 'user.registered' AND u.name = $1`,
	},
	{
		name: "invitation", refusals: []string{"TOKEN_INVALID", "BUSY"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) {
			if err := s.ask(ctx, "/v1/invitations", s.owner, map[string]any{"email": s.address(name)}, nil); err != nil {
				return nil, err
			}
			token, err := s.mailed(ctx, s.address(name), "/m/invitation")
			return &value{token: token, subject: s.address(name)}, err
		},
		redeem: redeems("/v1/invitations:accept", func(v *value, client int) any {
			return map[string]string{"token": v.token, "name": fmt.Sprintf("Guest %d", client), "password": password}
		}),
		effects: `SELECT count(*) FROM audit_log a JOIN users u ON u.id = a.actor_id WHERE a.action = 'invitation.accepted' AND u.email = $1`,
	},
	{
		// Within the grace all are answered: with the one successor there is.
		name: "refresh", refusals: []string{"REFRESH_INVALID"},
		make: func(ctx context.Context, s *tempest, _ string) (*value, error) {
			in, err := s.login(ctx, s.order.OwnerEmail)
			return &value{token: in.Refresh, subject: in.Session}, err
		},
		redeem: redeems("/v1/auth/refresh", func(v *value, _ int) any { return map[string]string{"refresh_token": v.token} }),
		shared: func(a systest.Answer) string {
			var out tokens
			if err := a.JSON(&out); err != nil || out.Refresh == "" {
				return "no token in " + a.String()
			}
			return out.Refresh
		},
		effects: `SELECT count(*) FROM audit_log WHERE action = 'session.refreshed' AND target_id = $1::uuid`,
	},
	{
		name: "reset", refusals: []string{"TOKEN_INVALID", "BUSY"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) {
			if err := s.person(ctx, name); err != nil {
				return nil, err
			}
			if err := s.ask(ctx, "/v1/auth/request-password-reset", "", map[string]string{"email": s.address(name)}, nil); err != nil {
				return nil, err
			}
			token, err := s.mailed(ctx, s.address(name), "/m/reset")
			return &value{token: token, subject: name}, err
		},
		redeem: redeems("/v1/auth/reset-password", func(v *value, client int) any {
			return map[string]string{"token": v.token, "password": fmt.Sprintf("%s, number %d", password, client)}
		}),
		effects: did("password.reset"),
	},
	{
		name: "magic-link", page: true,
		make: func(ctx context.Context, s *tempest, name string) (*value, error) {
			form, err := s.magicPage(ctx, name)
			return &value{form: form, subject: name}, err
		},
		redeem: func(ctx context.Context, s *tempest, v *value, _ int) (systest.Answer, error) {
			return s.press(ctx, v.form)
		},
		effects: `SELECT count(*) FROM one_time_values v JOIN magic_links m ON m.id = v.subject_id JOIN users u ON u.id = m.user_id
			WHERE v.purpose = 'magic_code' AND u.name = $1`,
	},
	{
		name: "magic-code", refusals: []string{"MAGIC_CODE_INVALID"}, twoSteps: true,
		make: func(ctx context.Context, s *tempest, name string) (*value, error) {
			form, err := s.magicPage(ctx, name)
			return &value{form: form, subject: name}, err
		},
		// A code lives for a minute.
		ready: func(ctx context.Context, s *tempest, v *value) error {
			a, err := s.press(ctx, v.form)
			if err != nil {
				return err
			}
			to, err := url.Parse(a.Header.Get("Location"))
			if err != nil {
				return err
			}
			if v.token = to.Query().Get("code"); v.token == "" {
				return fmt.Errorf("no code: %s", a)
			}
			return nil
		},
		redeem: redeems("/v1/auth/exchange-code", func(v *value, _ int) any {
			return map[string]string{"code": v.token, "code_verifier": verifier}
		}),
		effects: `SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.name = $1`,
	},
	{
		name: "email-change", refusals: []string{"TOKEN_INVALID"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) {
			token, err := s.changing(ctx, name)
			return &value{token: token, subject: name}, err
		},
		redeem:  redeems("/v1/auth/confirm-email-change", onlyToken),
		effects: did("user.email_changed"),
	},
	{
		name: "email-undo", refusals: []string{"TOKEN_INVALID"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) {
			token, err := s.changing(ctx, name)
			if err != nil {
				return nil, err
			}
			if err := s.ask(ctx, "/v1/auth/confirm-email-change", "", map[string]string{"token": token}, nil); err != nil {
				return nil, err
			}
			token, err = s.mailed(ctx, s.address(name), "/m/email-undo")
			return &value{token: token, subject: name}, err
		},
		redeem:  redeems("/v1/auth/undo-email-change", onlyToken),
		effects: did("user.email_change_undone"),
	},
	{
		name: "not-me", refusals: []string{"TOKEN_INVALID"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) {
			if err := s.person(ctx, name); err != nil {
				return nil, err
			}
			for range 2 { // the second device is worth a notice
				if _, err := s.login(ctx, s.address(name)); err != nil {
					return nil, err
				}
			}
			token, err := s.mailed(ctx, s.address(name), "/m/not-me")
			return &value{token: token, subject: name}, err
		},
		redeem:  redeems("/v1/auth/not-me", onlyToken),
		effects: did("user.locked_down"),
	},
	{
		// One code at five logins: they do not protect it.
		name: "totp-code", refusals: []string{"CHALLENGE_INVALID", "MFA_FAILED"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) { return s.waiting(ctx, name, 5) },
		redeem: redeems("/v1/auth/mfa:verify", func(v *value, client int) any {
			return map[string]string{"challenge_token": v.challenges[client%5], "totp_code": v.codes[1]}
		}),
		effects: showed("totp"),
	},
	{
		name: "backup-code", refusals: []string{"CHALLENGE_INVALID", "MFA_FAILED", "BUSY"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) { return s.waiting(ctx, name, 5) },
		redeem: redeems("/v1/auth/mfa:verify", func(v *value, client int) any {
			return map[string]string{"challenge_token": v.challenges[client%5], "backup_code": v.factor.backup[4]}
		}),
		effects: showed("backup_code"),
	},
	{
		// One login and several good codes: they do not protect it.
		name: "challenge", refusals: []string{"CHALLENGE_INVALID", "MFA_FAILED", "BUSY"},
		make: func(ctx context.Context, s *tempest, name string) (*value, error) { return s.waiting(ctx, name, 1) },
		redeem: redeems("/v1/auth/mfa:verify", func(v *value, client int) any {
			if client == 0 {
				return map[string]string{"challenge_token": v.challenges[0], "backup_code": v.factor.backup[0]}
			}
			return map[string]string{"challenge_token": v.challenges[0], "totp_code": v.codes[client%2]}
		}),
		effects: showed("totp", "backup_code"),
	},
}

// success reports whether an answer is one.
func (k oneTime) success(a systest.Answer) bool {
	if k.page {
		return a.Status == http.StatusSeeOther
	}
	return a.Status == http.StatusOK
}

// told is what a client knows of a success: equal ones are one.
func (k oneTime) told(a systest.Answer, client int) string {
	if k.shared != nil {
		return k.shared(a)
	}
	return strconv.Itoa(client)
}

// refusal reports whether an answer is a loser's.
func (k oneTime) refusal(a systest.Answer) bool {
	if k.page {
		return a.Status == http.StatusBadRequest
	}
	return slices.Contains(k.refusals, a.Reason())
}

// redeems posts JSON.
func redeems(path string, body func(v *value, client int) any) func(context.Context, *tempest, *value, int) (systest.Answer, error) {
	return func(ctx context.Context, s *tempest, v *value, client int) (systest.Answer, error) {
		return s.Post(ctx, s.order.Slug, path, "", body(v, client))
	}
}

func onlyToken(v *value, _ int) any { return map[string]string{"token": v.token} }

// did counts the rows of an action on the account with a name.
func did(action string) string {
	return `SELECT count(*) FROM audit_log a JOIN users u ON u.id = a.target_id WHERE a.action = '` + action + `' AND u.name = $1`
}

// showed counts the sessions that were opened by codes of the account with a name.
func showed(methods ...string) string {
	list := ""
	for _, m := range methods {
		list += `, '` + m + `'`
	}
	return `SELECT count(*) FROM login_events e JOIN users u ON u.id = e.user_id WHERE e.outcome = 'success' AND e.method IN (` + list[2:] + `) AND u.name = $1`
}

// dial makes the codes of this step and of the next: both are good, for half a
// minute at least, the second for a whole one.
func (v *value) dial() error {
	if v.factor.phone.secret == "" {
		return nil
	}
	v.codes = make([]string, 2)
	now := time.Now()
	for i := range v.codes {
		var err error
		if v.codes[i], err = v.factor.phone.at(now.Add(time.Duration(i) * totpStep)); err != nil {
			return err
		}
	}
	return nil
}
