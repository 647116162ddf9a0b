// Package activities is the only code that workflows call to touch the world:
// thin methods that call a module, and the mapping of its errors.
//
// Every activity may run any number of times, also at the same moment as an
// older attempt of itself: a worker that was killed is not known to be dead.
package activities

// Registered names are explicit, equal to the methods, and stable for ever:
// histories hold them.
const (
	NameTakeReservation   = "TakeReservation"
	NameCreateRole        = "CreateRole"
	NameCreateDatabase    = "CreateDatabase"
	NameGrantAndOpen      = "GrantAndOpen"
	NameSeedRoles         = "SeedRoles"
	NameInviteOwner       = "InviteOwner"
	NameCreateSigningKey  = "CreateSigningKey"
	NameActivate          = "Activate"
	NameBeginCompensation = "BeginCompensation"
	NameDeleteSigningKeys = "DeleteSigningKeys"
	NameCloseDatabase     = "CloseDatabase"
	NameDropDatabase      = "DropDatabase"
	NameDropRole          = "DropRole"
	NameRelease           = "Release"

	NameBeginCall     = "BeginCall"
	NameApplyAccess   = "ApplyAccess"
	NameReinviteOwner = "ReinviteOwner"
	NameApplyLimits   = "ApplyLimits"
	NameFailCall      = "FailCall"

	NameFleetPage  = "FleetPage"
	NameFleetVisit = "FleetVisit"
)

// Named is an activity and the name it is registered under.
type Named struct {
	Name string
	Func any
}

// Activities are the activities of the provisioning queue.
func (a *Provisioning) Activities() []Named {
	return []Named{
		{NameTakeReservation, a.TakeReservation},
		{NameCreateRole, a.CreateRole},
		{NameCreateDatabase, a.CreateDatabase},
		{NameGrantAndOpen, a.GrantAndOpen},
		{NameSeedRoles, a.SeedRoles},
		{NameInviteOwner, a.InviteOwner},
		{NameCreateSigningKey, a.CreateSigningKey},
		{NameActivate, a.Activate},
		{NameBeginCompensation, a.BeginCompensation},
		{NameDeleteSigningKeys, a.DeleteSigningKeys},
		{NameCloseDatabase, a.CloseDatabase},
		{NameDropDatabase, a.DropDatabase},
		{NameDropRole, a.DropRole},
		{NameRelease, a.Release},
	}
}

// Activities are the activities of the provisioning queue, beside those above.
func (a *Lifecycle) Activities() []Named {
	return []Named{
		{NameBeginCall, a.BeginCall},
		{NameApplyAccess, a.ApplyAccess},
		{NameReinviteOwner, a.ReinviteOwner},
		{NameApplyLimits, a.ApplyLimits},
		{NameFailCall, a.FailCall},
	}
}

// Activities are the activities of the fleet queue.
func (a *Fleet) Activities() []Named {
	return []Named{
		{NameFleetPage, a.FleetPage},
		{NameFleetVisit, a.FleetVisit},
	}
}
