package systest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Executed lists the activities of a workflow in the order they were
// scheduled, retries not counted, as its history holds them.
func (s *System) Executed(ctx context.Context, workflowID string) ([]string, error) {
	ran, err := s.TemporalCLI(ctx, "workflow", "show", "--workflow-id", workflowID, "--output", "json")
	if err != nil {
		return nil, err
	}
	if ran.Code != 0 {
		return nil, fmt.Errorf("temporal workflow show: exit code %d\n%s", ran.Code, ran.Stderr)
	}
	var history struct {
		Events []struct {
			Scheduled struct {
				Type struct {
					Name string `json:"name"`
				} `json:"activityType"`
			} `json:"activityTaskScheduledEventAttributes"`
		} `json:"events"`
	}
	if err := json.Unmarshal([]byte(ran.Stdout), &history); err != nil {
		return nil, fmt.Errorf("temporal workflow show: %w", err)
	}
	var out []string
	for _, e := range history.Events {
		if e.Scheduled.Type.Name != "" {
			out = append(out, e.Scheduled.Type.Name)
		}
	}
	return out, nil
}

// WorkflowStatus answers Running, Completed, Failed …; empty when there is no
// such workflow.
func (s *System) WorkflowStatus(ctx context.Context, workflowID string) (string, error) {
	ran, err := s.TemporalCLI(ctx, "workflow", "describe", "--workflow-id", workflowID, "--output", "json")
	if err != nil {
		return "", err
	}
	if ran.Code != 0 {
		if strings.Contains(strings.ToLower(ran.Stderr), "not found") {
			return "", nil
		}
		return "", fmt.Errorf("temporal workflow describe: exit code %d\n%s", ran.Code, ran.Stderr)
	}
	var described struct {
		Info struct {
			Status string `json:"status"`
		} `json:"workflowExecutionInfo"`
	}
	if err := json.Unmarshal([]byte(ran.Stdout), &described); err != nil {
		return "", fmt.Errorf("temporal workflow describe: %w", err)
	}
	word := strings.ToLower(strings.TrimPrefix(described.Info.Status, "WORKFLOW_EXECUTION_STATUS_"))
	if word == "" {
		return "", fmt.Errorf("temporal workflow describe shows no status: %.200s", ran.Stdout)
	}
	return strings.ToUpper(word[:1]) + word[1:], nil
}

// WaitWorkflow waits until a workflow is closed and answers its status.
func (s *System) WaitWorkflow(ctx context.Context, workflowID string) (string, error) {
	var status string
	err := Until(ctx, "workflow "+workflowID+" is closed", func(ctx context.Context) (_ bool, err error) {
		status, err = s.WorkflowStatus(ctx, workflowID)
		return status != "" && status != "Running", err
	})
	return status, err
}
