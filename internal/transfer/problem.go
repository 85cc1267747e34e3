package transfer

import (
	"strings"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// Problem is why a file can't be transferred. All of them are told at once.
type Problem struct {
	Path    string             `json:"path"`
	Code    fault.Code         `json:"code"`
	Message string             `json:"message"`
	Hint    string             `json:"hint,omitempty"`
	Diff    *schema.Difference `json:"diff,omitempty"` // of CodeSchemaMismatch
}

// maxProblems bounds how many are told; the count counts all.
const maxProblems = 1000

// refuse is the one error for what is wrong with files, or nil. Its details are
// "problems", a []Problem, and "problem_count".
func refuse(problems []Problem, files int, what string) error {
	if len(problems) == 0 {
		return nil
	}
	code := problems[0].Code
	for _, p := range problems {
		if p.Code != code {
			code = fault.CodeInvalidRequest
		}
	}
	hints := map[string]bool{}
	var hint []string
	for _, p := range problems {
		if !hints[p.Hint] && p.Hint != "" && len(hint) < 3 {
			hints[p.Hint] = true
			hint = append(hint, p.Hint)
		}
	}
	return fault.Newf(code, strings.Join(hint, " "), "%s %s, so nothing was sent.", counted(len(problems), files), what).
		With("problems", problems[:min(len(problems), maxProblems)]).With("problem_count", len(problems))
}
