package api

import (
	"net/http"

	"github.com/parqueue/parqueue/internal/dataset"
)

// verifyDataset answers whether every file's object is in the store as it was
// appended. A large dataset takes several requests, each from the last one's
// cursor.
func (a *API) verifyDataset(w http.ResponseWriter, r *request) error {
	f, id, err := readDatasetFields(r)
	if err != nil {
		return err
	}
	limit, err := f.count("limit", dataset.MaxVerified)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = dataset.MaxVerified
	}
	from, err := f.position()
	if err != nil {
		return err
	}
	v, err := a.Service.Verify(r.Context(), r.who, id, from, limit)
	if err != nil {
		return err
	}
	problems := []any{}
	for _, p := range v.Problems {
		problems = append(problems, map[string]any{"file_name": p.File.Name, "position": p.File.Position, "problem": p.What})
	}
	answer := map[string]any{
		r.dialect.idField(): id,
		"checked":           v.Checked,
		"sound":             v.Checked - len(v.Problems),
		"problems":          problems,
	}
	if v.More {
		answer["next_cursor"] = cursor(v.Next)
	}
	return writeJSON(w, http.StatusOK, answer)
}
