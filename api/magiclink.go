package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tenantry/api/edge"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/magiclink"
)

type magicLinkHandler struct{ links *magiclink.Service }

func (h *magicLinkHandler) RequestMagicLink(ctx context.Context, req *authv1.RequestMagicLinkRequest) (*authv1.RequestMagicLinkResponse, error) {
	call := edge.From(ctx)
	in := magiclink.RequestInput{Email: req.GetEmail(), CodeChallenge: req.GetCodeChallenge()}
	r, err := h.links.Request(ctx, call.Lease, in, call.Meta())
	if err != nil {
		return nil, err
	}
	return &authv1.RequestMagicLinkResponse{RequestId: r.ID.String(), ConfirmationCode: r.Code, ExpireTime: timestamppb.New(r.Expires)}, nil
}

func (h *magicLinkHandler) ExchangeCode(ctx context.Context, req *authv1.ExchangeCodeRequest) (*authv1.LoginResponse, error) {
	call := edge.From(ctx)
	in := magiclink.ExchangeInput{Code: req.GetCode(), Verifier: req.GetCodeVerifier()}
	if in.Code == "" {
		var err error
		if in.Request, err = parseID("request_id", req.GetRequestId()); err != nil {
			return nil, err
		}
	}
	r, err := h.links.Exchange(ctx, call.Lease, call.Tenant, in, call.Meta())
	if err != nil {
		return nil, err
	}
	return loginResponse(r), nil
}
