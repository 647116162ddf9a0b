package api

import (
	"fmt"
	"strings"
	"time"

	"tenantry/api/edge"
)

// The doors, as the metrics name them.
const (
	doorREST  = "rest"
	doorHook  = "hook"
	doorPage  = "page"
	doorOther = "other"
)

// count tells the metrics about an answered request. Its labels come from the
// schema and from this file, never from the client.
func (s *Server) count(w *responseWriter, started time.Time) {
	call, code := w.call, w.call.Code
	if code == "" {
		code = "ok"
		if w.status >= 400 {
			code = fmt.Sprintf("http_%dxx", w.status/100)
		}
	}
	door, procedure := call.Door, call.Procedure
	if door == "" {
		door = doorOther
	}
	if procedure == "" {
		procedure = "none"
	}
	s.metrics.Request(procedure, door, code, time.Since(started))
}

// through notes the door and what was asked for.
func through(call *edge.Call, door, procedure string) { call.Door, call.Procedure = door, procedure }

// rpcDoor names the protocol of a request at the RPC door.
func rpcDoor(method, contentType string) string {
	switch {
	case method == "GET":
		return "connect_get"
	case strings.HasPrefix(contentType, "application/grpc-web"):
		return "grpc_web"
	case strings.HasPrefix(contentType, "application/grpc"):
		return "grpc"
	}
	return "connect"
}
