package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TemporalNamespace is the namespace the dev server always has.
const TemporalNamespace = "default"

// SearchAttributes are the keyword attributes Tenantry's workflows set.
var SearchAttributes = []string{"TenantryTenant", "TenantryOperation", "TenantryKind"}

// TemporalOptions configures a dev server. The zero value plus Path is headless, in memory, on a free port.
type TemporalOptions struct {
	// Path is the temporal CLI (see EnsureTemporal).
	Path string
	// Port serves gRPC on 127.0.0.1, 0 means a free one; PortVariable is what an error tells the reader to change.
	Port         int
	PortVariable string
	// UIPort serves the web interface; 0 means none.
	UIPort         int
	UIPortVariable string
	// CodecEndpoint is where the web interface sends payloads to be decoded.
	CodecEndpoint string
	// DBFile keeps the workflows; empty means in memory.
	DBFile string
	// DynamicConfig adds or overrides dynamic configuration; values are JSON.
	DynamicConfig map[string]string
	// LogPath is a temporary file when empty.
	LogPath string
}

// Temporal is a dev server of our own.
type Temporal struct {
	// Address is host:port of the gRPC frontend.
	Address string
	Port    int
	// UIURL is the web interface, empty when there is none.
	UIURL string

	opts TemporalOptions
	proc *Process
}

// StartTemporal starts a dev server and waits until the default namespace and the search attributes are there.
func StartTemporal(ctx context.Context, opts TemporalOptions) (*Temporal, error) {
	if opts.Path == "" {
		return nil, errors.New("temporal: no path of the CLI given")
	}
	t := &Temporal{opts: opts}
	if opts.UIPort != 0 {
		if err := CheckPorts(Port{Part: "the Temporal UI", Variable: opts.UIPortVariable, Number: opts.UIPort}); err != nil {
			return nil, err
		}
		t.UIURL = "http://localhost:" + strconv.Itoa(opts.UIPort)
	}
	want := Port{Part: "Temporal", Variable: opts.PortVariable, Number: opts.Port}
	err := withPort(want, func(port int) error {
		t.Port, t.Address = port, Loopback(port)
		return t.Start(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, t.Stop())
	}
	return t, nil
}

// Start starts the stopped server again on its port and file.
func (t *Temporal) Start(ctx context.Context) error {
	if t.opts.DBFile != "" {
		if err := os.MkdirAll(filepath.Dir(t.opts.DBFile), 0o700); err != nil {
			return fmt.Errorf("temporal directory: %w", err)
		}
	}
	proc, err := Start(Command{
		Name: "temporal", Path: t.opts.Path, Args: t.args(), LogPath: t.opts.LogPath,
		StopTimeout: 15 * time.Second,
	})
	if err != nil {
		return err
	}
	t.proc = proc
	if err := t.waitReady(ctx); err != nil {
		return errors.Join(err, t.Stop())
	}
	return nil
}

func (t *Temporal) args() []string {
	args := []string{"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(t.Port), "--log-level", "warn"}
	if t.opts.UIPort == 0 {
		args = append(args, "--headless")
	} else {
		args = append(args, "--ui-port", strconv.Itoa(t.opts.UIPort))
		if t.opts.CodecEndpoint != "" {
			args = append(args, "--ui-codec-endpoint", t.opts.CodecEndpoint)
		}
	}
	if t.opts.DBFile != "" {
		args = append(args, "--db-filename", t.opts.DBFile)
	}
	dynamic := map[string]string{
		"system.enableActivityEagerExecution": "true",
		"matching.enableFairness":             "true",
	}
	for key, value := range t.opts.DynamicConfig {
		dynamic[key] = value
	}
	for key, value := range dynamic {
		args = append(args, "--dynamic-config-value", key+"="+value)
	}
	for _, name := range SearchAttributes {
		args = append(args, "--search-attribute", name+"=Keyword")
	}
	return args
}

func (t *Temporal) waitReady(ctx context.Context) error {
	conn, err := grpc.NewClient(t.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("temporal client: %w", err)
	}
	defer func() { _ = conn.Close() }()
	// The back-off of gRPC would outlast the server's start.
	return t.proc.WaitReady(ctx, 60*time.Second, func(ctx context.Context) error {
		conn.ResetConnectBackoff()
		return t.probe(ctx, conn)
	})
}

func (t *Temporal) probe(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := workflowservice.NewWorkflowServiceClient(conn).DescribeNamespace(ctx,
		&workflowservice.DescribeNamespaceRequest{Namespace: TemporalNamespace})
	if err != nil {
		return err
	}
	have, err := operatorservice.NewOperatorServiceClient(conn).ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: TemporalNamespace})
	if err != nil {
		return err
	}
	for _, name := range SearchAttributes {
		if have.GetCustomAttributes()[name] != enums.INDEXED_VALUE_TYPE_KEYWORD {
			return fmt.Errorf("search attribute %s is not there yet", name)
		}
	}
	return nil
}

// PID is the server's process id.
func (t *Temporal) PID() int { return t.proc.PID() }

// Process is the running server.
func (t *Temporal) Process() *Process { return t.proc }

// Stop stops the server; without DBFile its workflows are gone. Stopping a stopped server is no error.
func (t *Temporal) Stop() error {
	if t.proc == nil {
		return nil
	}
	return t.proc.Stop()
}

// Kill ends the server with SIGKILL, as a crash would.
func (t *Temporal) Kill() error { return t.proc.Kill() }
