package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// verify asks about a dataset until there is no cursor.
func (f *fixture) verify(t *testing.T, id, fields string) (checked, sound float64, problems []string, answers int) {
	t.Helper()
	cursor := ""
	for answers = 1; answers < 1000; answers++ {
		status, answer := f.post("/verify-dataset", `{"dataset_id":"`+id+`"`+fields+cursor+`}`)
		if status != http.StatusOK || answer["dataset_id"] != id {
			t.Fatalf("%d %v", status, answer)
		}
		checked, sound = checked+answer["checked"].(float64), sound+answer["sound"].(float64)
		for _, row := range answer["problems"].([]any) {
			p := row.(map[string]any)
			problems = append(problems, fmt.Sprint(p["position"], " ", p["file_name"], " ", p["problem"]))
		}
		next, ok := answer["next_cursor"].(string)
		if !ok {
			return checked, sound, problems, answers
		}
		cursor = `,"cursor":"` + next + `"`
	}
	t.Fatal("the verification does not end")
	return
}

// object gives the store's object of a file to a test that changes it.
func (f *fixture) object(t *testing.T, id, name string, change func(key string)) {
	t.Helper()
	file, err := f.config.Service.File(t.Context(), f.who, id, name)
	if err != nil {
		t.Fatal(err)
	}
	change(file.ObjectKey)
}

func TestVerifyDataset(t *testing.T) {
	f := newFixture(t)
	id := f.filled(0)
	if checked, sound, problems, _ := f.verify(t, id, ""); checked != 0 || sound != 0 || len(problems) != 0 {
		t.Errorf("an empty dataset: %v %v %v", checked, sound, problems)
	}
	id = f.filled(6)
	if checked, sound, problems, answers := f.verify(t, id, ""); checked != 6 || sound != 6 || len(problems) != 0 || answers != 1 {
		t.Errorf("a sound dataset: %v %v %v in %d answers", checked, sound, problems, answers)
	}
	f.object(t, id, "f001.parquet", func(key string) { delete(f.objects.objects, key) })
	f.object(t, id, "f003.parquet", func(key string) { f.objects.objects[key] = append(slices.Clone(parquet(t)), 0) })
	f.object(t, id, "f004.parquet", func(key string) { f.objects.objects[key] = make([]byte, len(parquet(t))) })
	if status, answer := f.post("/delete-dataset-file", `{"dataset_id":"`+id+`","file_name":"f000.parquet"}`); status != http.StatusOK {
		t.Fatal(answer)
	}
	want := []string{"1 f001.parquet missing", "3 f003.parquet size", "4 f004.parquet checksum"}
	for limit := 1; limit <= 6; limit++ {
		checked, sound, problems, answers := f.verify(t, id, fmt.Sprint(`,"limit":`, limit))
		if checked != 5 || sound != 2 || !slices.Equal(problems, want) || answers > 5 {
			t.Errorf("%d at a time: %v checked, %v sound, %v, in %d answers", limit, checked, sound, problems, answers)
		}
	}
	for _, bad := range []string{`"limit":10001`, `"cursor":"x"`} {
		if status, answer := f.post("/verify-dataset", `{"dataset_id":"`+id+`",`+bad+`}`); status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", bad, status, answer)
		}
	}
}

// However many problems there are, each is told once.
func TestVerifyTellsEveryProblem(t *testing.T) {
	f := newFixture(t)
	id := f.filled(230)
	clear(f.objects.objects)
	checked, sound, problems, answers := f.verify(t, id, "")
	if checked != 230 || sound != 0 || len(problems) != 230 || len(slices.Compact(problems)) != 230 || answers != 3 {
		t.Errorf("%v checked, %v sound, %d problems, in %d answers", checked, sound, len(problems), answers)
	}
	if !strings.HasPrefix(problems[229], "229 f229.parquet") {
		t.Errorf("the last one is %q", problems[229])
	}
}

// A store that does not answer is no problem of the files.
func TestVerifyWithoutTheStore(t *testing.T) {
	f := newFixture(t)
	id := f.filled(3)
	for code, err := range map[string]error{
		"unavailable": fault.New(fault.CodeUnavailable, "Overloaded.", "Wait."),
		"internal":    errors.New("dial tcp 10.1.2.3"),
	} {
		f.objects.statErr = err
		if _, answer := f.post("/verify-dataset", `{"dataset_id":"`+id+`"}`); answer["code"] != code || strings.Contains(fmt.Sprint(answer), "10.1.2.3") {
			t.Errorf("%v", answer)
		}
	}
}

// What is deleted while it is looked for was not missing.
func TestVerifyBesideDeletes(t *testing.T) {
	f := newFixture(t)
	id := f.filled(2)
	f.objects.asked = func() {
		f.objects.asked = nil
		f.post("/delete-dataset-file", `{"dataset_id":"`+id+`","file_name":"f000.parquet"}`)
		f.post("/delete-dataset-file", `{"dataset_id":"`+id+`","file_name":"f001.parquet"}`)
		f.upload("/upload-to-dataset", id, "f001.parquet", parquet(t))
	}
	if checked, sound, problems, _ := f.verify(t, id, ""); checked != 2 || sound != 2 || len(problems) != 0 {
		t.Errorf("%v checked, %v sound, %v", checked, sound, problems)
	}
}

func TestScopesOfVerify(t *testing.T) {
	f := newFixture(t)
	id := f.filled(1)
	f.who.Scopes = []keys.Scope{keys.ScopeRead}
	f.verify(t, id, "")
	f.who.Tenant = "other"
	if status, answer := f.post("/verify-dataset", `{"dataset_id":"`+id+`"}`); status != http.StatusNotFound {
		t.Errorf("%d %v", status, answer)
	}
}
