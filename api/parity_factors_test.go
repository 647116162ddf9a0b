package api

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/ids"
)

func init() { maps.Copy(scenes, factorScenes) }

// bare takes the owner's factor away: each door finds them without.
func (s scene) bare(t *testing.T) {
	t.Helper()
	for _, statement := range []string{
		`DELETE FROM totp_factors`, `DELETE FROM backup_codes`, `DELETE FROM login_counters`,
		`UPDATE users SET second_factor = false`, `UPDATE sessions SET aal = 1`,
	} {
		_, err := s.sql(t).Exec(t.Context(), statement)
		require.NoError(t, err)
	}
}

// equipped gives the owner a factor that they have shown.
func (s scene) equipped(t *testing.T) {
	t.Helper()
	s.bare(t)
	s.equip(t, &person{token: s.org.owner.token})
}

// waiting is somebody with a factor whose login waits for it.
func (s scene) waiting(t *testing.T) (challenge, backup string) {
	t.Helper()
	s.user(t)
	p := s.enter(t, s.email())
	_, codes := s.equip(t, &p)
	return s.challenge(t, s.email()), codes[0]
}

// urged is somebody without a factor whose login waits for one.
func (s scene) urged(t *testing.T) string {
	t.Helper()
	id := s.user(t)
	_, err := s.sql(t).Exec(t.Context(), `UPDATE settings SET document = document || '{"mfa_policy":"required","mfa_grace_days":0}'`)
	require.NoError(t, err)
	token := s.challenge(t, s.email())
	_, err = s.sql(t).Exec(t.Context(), `UPDATE settings SET document = document || '{"mfa_policy":"optional"}'`)
	require.NoError(t, err)
	_, err = s.sql(t).Exec(t.Context(), `UPDATE users SET factor_due_at = NULL WHERE id = $1`, id)
	require.NoError(t, err)
	return token
}

// lost is somebody whose factor is lost, and a request by another
// administrator to take it away.
func (s scene) lost(t *testing.T) (user, reset string) {
	t.Helper()
	user, reset = s.user(t), ids.New().String()
	_, err := s.sql(t).Exec(t.Context(), `UPDATE users SET second_factor = true WHERE id = $1`, user)
	require.NoError(t, err)
	admin := scene{s.organization, s.name[:min(len(s.name), 36)] + "x"}
	asker := admin.user(t)
	_, err = s.sql(t).Exec(t.Context(), `UPDATE user_roles SET role_id = $2 WHERE user_id = $1`, asker, s.role(t, "owner"))
	require.NoError(t, err)
	_, err = s.sql(t).Exec(t.Context(), `
		INSERT INTO factor_resets (id, user_id, requester_id, created_at, expires_at) VALUES ($1, $2, $3, now(), now() + interval '1 hour')`, reset, user, asker)
	require.NoError(t, err)
	return user, reset
}

var factorScenes = map[string]func(*testing.T, scene) proto.Message{
	"GetFactors": func(t *testing.T, s scene) proto.Message {
		s.bare(t)
		return &authv1.GetFactorsRequest{}
	},
	"EnrollTotp": func(t *testing.T, s scene) proto.Message {
		s.bare(t)
		return &authv1.EnrollTotpRequest{}
	},
	"ConfirmTotp": func(t *testing.T, s scene) proto.Message {
		s.bare(t)
		return &authv1.ConfirmTotpRequest{Code: s.enroll(t, s.org.owner).code(t, s.server.now())}
	},
	"DisableTotp": func(t *testing.T, s scene) proto.Message {
		s.equipped(t)
		return &authv1.DisableTotpRequest{}
	},
	"RegenerateBackupCodes": func(t *testing.T, s scene) proto.Message {
		s.equipped(t)
		return &authv1.RegenerateBackupCodesRequest{}
	},
	"VerifyMfa": func(t *testing.T, s scene) proto.Message {
		token, code := s.waiting(t)
		return &authv1.VerifyMfaRequest{ChallengeToken: token, Code: &authv1.VerifyMfaRequest_BackupCode{BackupCode: code}}
	},
	"EnrollWithChallenge": func(t *testing.T, s scene) proto.Message {
		return &authv1.EnrollWithChallengeRequest{ChallengeToken: s.urged(t)}
	},
	"ConfirmWithChallenge": func(t *testing.T, s scene) proto.Message {
		token := s.urged(t)
		a := s.as(t, "", "POST", "/v1/auth/mfa:enroll", `{"challenge_token":"`+token+`"}`)
		app := authenticator{a.get(t, http.StatusOK, "secret")}
		return &authv1.ConfirmWithChallengeRequest{ChallengeToken: token, Code: app.code(t, s.server.now())}
	},
	"StepUp": func(t *testing.T, s scene) proto.Message {
		s.bare(t)
		return &authv1.StepUpRequest{Password: goodPassword}
	},
	"RequestFactorReset": func(t *testing.T, s scene) proto.Message {
		s.bare(t)
		id := s.user(t)
		_, err := s.sql(t).Exec(t.Context(), `UPDATE users SET second_factor = true WHERE id = $1`, id)
		require.NoError(t, err)
		return &authv1.RequestFactorResetRequest{UserId: id}
	},
	"RequestOwnFactorReset": func(t *testing.T, s scene) proto.Message {
		token, _ := s.waiting(t)
		// The person's rights are what nobody else holds.
		_, err := s.sql(t).Exec(t.Context(), `
			WITH alone AS (INSERT INTO roles (id, name, permissions) VALUES (gen_random_uuid(), $1::text, jsonb_build_array($1::text)) RETURNING id)
			INSERT INTO user_roles (user_id, role_id) SELECT u.id, alone.id FROM alone, users u WHERE u.email = $2`, s.name, s.email())
		require.NoError(t, err)
		return &authv1.RequestOwnFactorResetRequest{ChallengeToken: token}
	},
	"ListFactorResets": func(*testing.T, scene) proto.Message { return &authv1.ListFactorResetsRequest{Limit: 1} },
	"ConfirmFactorReset": func(t *testing.T, s scene) proto.Message {
		s.bare(t)
		_, reset := s.lost(t)
		return &authv1.ConfirmFactorResetRequest{Id: reset}
	},
	"CancelFactorReset": func(t *testing.T, s scene) proto.Message {
		_, reset := s.lost(t)
		return &authv1.CancelFactorResetRequest{Id: reset}
	},
	"ConfirmTenantFactorReset": func(t *testing.T, s scene) proto.Message {
		user, reset := s.lost(t)
		// The person's rights are what only the two of them hold.
		_, err := s.sql(t).Exec(t.Context(), `
			WITH alone AS (INSERT INTO roles (id, name, permissions) VALUES (gen_random_uuid(), $2::text, jsonb_build_array('tenant.manage', 'users.update', $2::text)) RETURNING id)
			INSERT INTO user_roles (user_id, role_id) SELECT u, alone.id FROM alone, unnest(ARRAY[$1::uuid, (SELECT requester_id FROM factor_resets WHERE id = $3)]) u`,
			user, s.name, reset)
		require.NoError(t, err)
		return &authv1.ConfirmTenantFactorResetRequest{TenantId: s.tenant(t).String(), Id: reset}
	},
}
