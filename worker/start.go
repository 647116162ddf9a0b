package worker

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"tenantry/internal/ids"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
	"tenantry/workflows"
)

// Kinds of workflows as the search attribute TenantryKind names them, beside
// those of operations.
const (
	kindFleetPass = "fleet.pass"
	// kindAccess is a suspend or a resume: one workflow runs both.
	kindAccess = "tenant.access"
)

var (
	searchTenant    = temporal.NewSearchAttributeKeyKeyword(ids.SearchTenant)
	searchOperation = temporal.NewSearchAttributeKeyKeyword(ids.SearchOperation)
	searchKind      = temporal.NewSearchAttributeKeyKeyword(ids.SearchKind)
)

var errUnknownWorkflow = errors.New("no workflow of this name is started by intents")

// start carries an intent to Temporal. A workflow of this id that runs or has
// ended is what was asked for: an intent is carried out at least once, its
// workflow runs once.
func start(ctx context.Context, c client.Client, row outbox.Row) error {
	options, input, err := startOf(row)
	if err != nil {
		return err
	}
	_, err = c.ExecuteWorkflow(ctx, options, row.Name, input)
	var already *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &already) {
		return nil
	}
	return err
}

// startable is a workflow that intents start.
type startable struct {
	kind, summary string
	id            func(ids.Tenant, ids.Operation) string
}

var startables = map[string]startable{
	ids.WorkflowProvisionTenant: {operations.KindProvision, "Provision tenant ",
		func(t ids.Tenant, _ ids.Operation) string { return ids.ProvisionTenantWorkflow(t) }},
	ids.WorkflowApplyTenantAccess: {kindAccess, "Apply access of tenant ", ids.TenantAccessWorkflow},
	ids.WorkflowInviteOwner:       {operations.KindInviteOwner, "Invite owner of tenant ", ids.InviteOwnerWorkflow},
	ids.WorkflowApplyTenantLimits: {operations.KindSetLimits, "Apply limits of tenant ", ids.TenantLimitsWorkflow},
}

// startOf builds id, options and typed input of an intent.
func startOf(row outbox.Row) (client.StartWorkflowOptions, any, error) {
	w, known := startables[row.Name]
	provision := row.Name == ids.WorkflowProvisionTenant
	if !known || row.TenantID.IsZero() || !provision && row.OperationID.IsZero() {
		return client.StartWorkflowOptions{}, nil, errUnknownWorkflow
	}
	tenant := row.TenantID.String()
	var input any = workflows.CallInput{TenantID: tenant, OperationID: row.OperationID.String()}
	if provision {
		input = workflows.ProvisionTenantInput{TenantID: tenant}
	}
	attributes := []temporal.SearchAttributeUpdate{searchTenant.ValueSet(tenant), searchKind.ValueSet(w.kind)}
	if !row.OperationID.IsZero() {
		attributes = append(attributes, searchOperation.ValueSet(row.OperationID.String()))
	}
	return client.StartWorkflowOptions{
		ID:                                       w.id(row.TenantID, row.OperationID),
		TaskQueue:                                ids.QueueProvisioning,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            w.summary + tenant,
		TypedSearchAttributes:                    temporal.NewSearchAttributes(attributes...),
		Priority:                                 temporal.Priority{FairnessKey: tenant},
	}, input, nil
}

// cancel carries the wish to cancel an operation. Where no workflow runs yet
// (its intent waits, or it was only reserved) it is started first: the
// workflow is what takes a reservation back.
func cancel(ctx context.Context, c client.Client, o operations.Operation) error {
	err := c.CancelWorkflow(ctx, o.WorkflowID, "")
	var none *serviceerror.NotFound
	if !errors.As(err, &none) || o.Kind != operations.KindProvision {
		return err
	}
	row := outbox.Row{Name: ids.WorkflowProvisionTenant, TenantID: o.Tenant, OperationID: o.ID}
	if err := start(ctx, c, row); err != nil {
		return err
	}
	if err = c.CancelWorkflow(ctx, o.WorkflowID, ""); errors.As(err, &none) {
		return nil // it has ended, and its last transaction ended the operation
	}
	return err
}

// ensureSearchAttributes registers what starts set; existing ones are fine.
func ensureSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	list, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return err
	}
	missing := map[string]enumspb.IndexedValueType{}
	for _, name := range []string{ids.SearchTenant, ids.SearchOperation, ids.SearchKind} {
		if _, ok := list.GetCustomAttributes()[name]; !ok {
			missing[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var exists *serviceerror.AlreadyExists
	if errors.As(err, &exists) {
		return nil
	}
	return err
}

// Progress asks a workflow for its steps, running or closed
// (operations.ProgressFunc).
func Progress(c client.Client) operations.ProgressFunc {
	return func(ctx context.Context, workflowID string) ([]operations.Step, error) {
		v, err := c.QueryWorkflow(ctx, workflowID, "", ids.QueryProgress)
		if err != nil {
			return nil, err
		}
		var steps []operations.Step
		return steps, v.Get(&steps)
	}
}
