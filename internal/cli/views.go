package cli

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hooksv1 "tenantry/api/gen/tenantry/hooks/v1"
	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	operatorsv1 "tenantry/api/gen/tenantry/operators/v1"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
)

// The views are the shape of --json: stable for scripts, snake_case, states as
// plain words, times as RFC 3339 in UTC.

type tenantView struct {
	ID            string     `json:"id"`
	Slug          string     `json:"slug"`
	Name          string     `json:"name"`
	State         string     `json:"state"`
	URL           string     `json:"url"`
	SchemaVersion int64      `json:"schema_version"`
	MaxUsers      int32      `json:"max_users"`
	Version       int64      `json:"version"`
	CreateTime    *time.Time `json:"create_time"`
	ActivateTime  *time.Time `json:"activate_time,omitempty"`
}

func viewTenant(t *tenantsv1.Tenant) tenantView {
	return tenantView{
		ID: t.GetId(), Slug: t.GetSlug(), Name: t.GetName(), State: word(t.GetState().String(), "TENANT_STATE_"), URL: t.GetUrl(),
		SchemaVersion: t.GetSchemaVersion(), MaxUsers: t.GetMaxUsers(), Version: t.GetVersion(), CreateTime: at(t.GetCreateTime()), ActivateTime: at(t.GetActivateTime()),
	}
}

func (v tenantView) row() []string {
	return []string{v.ID, v.Slug, v.State, v.Name, text(v.CreateTime), strconv.FormatInt(v.SchemaVersion, 10), v.URL}
}

var tenantHead = []string{"ID", "SLUG", "STATE", "NAME", "CREATED", "SCHEMA", "URL"}

type stepView struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

type operationView struct {
	ID                string     `json:"id"`
	Kind              string     `json:"kind"`
	State             string     `json:"state"`
	Reason            string     `json:"reason,omitempty"`
	TenantID          string     `json:"tenant_id"`
	WorkflowID        string     `json:"workflow_id"`
	CreateTime        *time.Time `json:"create_time"`
	EndTime           *time.Time `json:"end_time,omitempty"`
	ProgressAvailable bool       `json:"progress_available"`
	Steps             []stepView `json:"steps"`
}

func viewOperation(o *operationsv1.Operation) operationView {
	v := operationView{
		ID: o.GetId(), Kind: o.GetKind(), State: word(o.GetState().String(), "OPERATION_STATE_"), Reason: o.GetReason(),
		TenantID: o.GetTenantId(), WorkflowID: o.GetWorkflowId(), CreateTime: at(o.GetCreateTime()), EndTime: at(o.GetEndTime()),
		ProgressAvailable: o.GetProgressAvailable(), Steps: []stepView{},
	}
	for _, s := range o.GetSteps() {
		v.Steps = append(v.Steps, stepView{s.GetName(), s.GetState()})
	}
	return v
}

func (v operationView) ended() bool { return v.State == "succeeded" || v.State == "failed" }

func (v operationView) row() []string {
	return []string{v.ID, v.Kind, v.State, v.Reason, v.TenantID, text(v.CreateTime), text(v.EndTime)}
}

var operationHead = []string{"ID", "KIND", "STATE", "REASON", "TENANT", "CREATED", "ENDED"}

type hookSecretView struct {
	ID         string     `json:"id"`
	CreateTime *time.Time `json:"create_time"`
	RetireTime *time.Time `json:"retire_time,omitempty"`
	// Secret is set once, when it is made.
	Secret string `json:"secret,omitempty"`
}

func viewSecret(s *hooksv1.HookSecret) hookSecretView {
	return hookSecretView{ID: s.GetId(), CreateTime: at(s.GetCreateTime()), RetireTime: at(s.GetRetireTime())}
}

type hookSourceView struct {
	Source      string           `json:"source"`
	CallbackURL string           `json:"callback_url,omitempty"`
	CreateTime  *time.Time       `json:"create_time"`
	Secrets     []hookSecretView `json:"secrets"`
}

func viewSource(s *hooksv1.HookSource) hookSourceView {
	v := hookSourceView{Source: s.GetSource(), CallbackURL: s.GetCallbackUrl(), CreateTime: at(s.GetCreateTime()), Secrets: []hookSecretView{}}
	for _, secret := range s.GetSecrets() {
		v.Secrets = append(v.Secrets, viewSecret(secret))
	}
	return v
}

// OperatorKey is an operator key; the backend makes the first one.
type OperatorKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scopes     []string   `json:"scopes"`
	CreateTime *time.Time `json:"create_time"`
	ExpireTime *time.Time `json:"expire_time"`
	RevokeTime *time.Time `json:"revoke_time,omitempty"`
	// Key is set once, when it is made.
	Key string `json:"key,omitempty"`
}

func viewKey(k *operatorsv1.OperatorKey) OperatorKey {
	return OperatorKey{
		ID: k.GetId(), Name: k.GetName(), Scopes: k.GetScopes(), CreateTime: at(k.GetCreateTime()),
		ExpireTime: at(k.GetExpireTime()), RevokeTime: at(k.GetRevokeTime()),
	}
}

func (v OperatorKey) row() []string {
	return []string{v.ID, v.Name, strings.Join(v.Scopes, ","), text(v.CreateTime), text(v.ExpireTime), text(v.RevokeTime)}
}

var keyHead = []string{"ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "REVOKED"}

// word is an enum's name as a plain word.
func word(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

func at(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	v := t.AsTime()
	return &v
}

func text(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}
