package verify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Severities.
const (
	Error   = "error"
	Warning = "warning"
)

// Finding is one discrepancy.
type Finding struct {
	Severity string `json:"severity"`
	// Code is stable: "ROLE_RESIDUE".
	Code string `json:"code"`
	// Subject is an id or a name on the server.
	Subject string `json:"subject"`
	// Message is a sentence.
	Message string `json:"message"`
}

// Report is what a scan found.
type Report struct {
	Installation string    `json:"installation"`
	At           time.Time `json:"at"`
	// Scanned counts what was looked at.
	Scanned  map[string]int `json:"scanned"`
	Findings []Finding      `json:"findings"`
	// Notes say what was not compared, and what is unusual but right.
	Notes []string `json:"notes"`
}

// Clean reports that there is no error; warnings may stand.
func (r Report) Clean() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Error })
}

func (r *Report) sort() {
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Message, b.Message))
	})
	slices.Sort(r.Notes)
}

// WriteText writes one line a finding, tab separated, and the counts.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "installation %s at %s\n", r.Installation, r.At.UTC().Format(time.RFC3339))
	for _, what := range slices.Sorted(maps.Keys(r.Scanned)) {
		fmt.Fprintf(&b, "scanned\t%s\t%d\n", what, r.Scanned[what])
	}
	errors := 0
	for _, f := range r.Findings {
		if f.Severity == Error {
			errors++
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", f.Severity, f.Code, f.Subject, f.Message)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note\t%s\n", n)
	}
	switch {
	case errors > 0:
		fmt.Fprintf(&b, "%d discrepancies, %d warnings\n", errors, len(r.Findings)-errors)
	default:
		fmt.Fprintf(&b, "clean, %d warnings\n", len(r.Findings))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	// Lists are lists, also when empty.
	r.Findings = append([]Finding{}, r.Findings...)
	r.Notes = append([]string{}, r.Notes...)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Report
		Clean bool `json:"clean"`
	}{r, r.Clean()})
}
