package api

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/factors"
)

func factorsMessage(s factors.Status) *authv1.Factors {
	return &authv1.Factors{
		TotpEnabled: s.EnabledAt != nil, TotpEnableTime: timestamp(s.EnabledAt), BackupCodesRemaining: int32(s.BackupCodes), //nolint:gosec // at most ten
		Required: s.Required, FactorDueTime: timestamp(s.Due),
	}
}

func enrollmentMessage(e factors.Enrollment) *authv1.TotpEnrollment {
	return &authv1.TotpEnrollment{Secret: e.Secret, OtpauthUri: e.URI, QrPng: e.PNG, ExpireTime: timestamppb.New(e.Expires)}
}

func factorResetMessage(r factors.Reset) *authv1.FactorReset {
	return &authv1.FactorReset{
		Id: r.ID.String(), UserId: r.User.String(), RequesterId: r.Requester.String(), ConfirmerId: idText(r.Confirmer), ByOperator: r.ByOperator,
		CreateTime: timestamp(&r.CreatedAt), ExpireTime: timestamp(&r.ExpiresAt), ConfirmTime: timestamp(r.ConfirmedAt), CancelTime: timestamp(r.CancelledAt),
	}
}
