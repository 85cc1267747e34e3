package asset_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/fault"
)

func TestIfMatch(t *testing.T) {
	at := func(revision int64) asset.Asset { return asset.Asset{Revision: revision} }
	for _, c := range []struct {
		header string
		holds  []int64
		not    []int64
	}{
		{"", []int64{0, 1, 7}, nil},
		{"*", []int64{0, 1, 7}, nil},
		{" * ", []int64{0, 1, 7}, nil},
		{`"r7"`, []int64{7}, []int64{0, 1, 17, 77}},
		{`"r1", "r7"`, []int64{1, 7}, []int64{0, 17}},
		{`"x", "r1"`, []int64{1}, []int64{0, 7}},
		{`"r0"`, []int64{0}, []int64{1}},
		{`W/"r7"`, nil, []int64{0, 7}},
		{`r7`, nil, []int64{7}},
		{`"r07"`, nil, []int64{7}},
		{`"r+7"`, nil, []int64{7}},
		{`"r-7"`, nil, []int64{7, -7}},
		{`"r7`, nil, []int64{7}},
		{`,`, nil, []int64{0, 7}},
		{`"r99999999999999999999"`, nil, []int64{0, 7}},
	} {
		p := asset.ParseIfMatch(c.header)
		for _, r := range c.holds {
			if !p.Holds(at(r)) {
				t.Errorf("%q does not hold of revision %d", c.header, r)
			}
		}
		for _, r := range c.not {
			if p.Holds(at(r)) {
				t.Errorf("%q holds of revision %d", c.header, r)
			}
		}
	}
}

// Whatever a caller sends, it holds of the revisions that it names and of no others.
func FuzzIfMatch(f *testing.F) {
	for _, header := range []string{"", "*", `"r1"`, `W/"r1"`, `"r1", "r2"`, `"r01"`, "\"r1\" \x00", `"r1 2"`} {
		f.Add(header, int64(1))
	}
	f.Fuzz(func(t *testing.T, header string, revision int64) {
		if revision < 0 {
			revision = -(revision + 1)
		}
		a := asset.Asset{Revision: revision}
		held := asset.ParseIfMatch(header).Holds(a)
		anything := header == "" || strings.TrimSpace(header) == "*"
		named := false
		for _, tag := range strings.Split(header, ",") {
			named = named || strings.TrimSpace(tag) == asset.EntityTag(a)
		}
		if held != (anything || named) {
			t.Errorf("%q and revision %d: %v", header, revision, held)
		}
	})
}

func TestOwners(t *testing.T) {
	for _, c := range []struct {
		owner   asset.Owner
		sound   bool
		dataset string
	}{
		{asset.Owner{Type: asset.Project, ID: "a"}, true, ""},
		{asset.Owner{Type: asset.Collection, ID: "A.b_c-9"}, true, ""},
		{asset.Owner{Type: asset.Collection, ID: "dataset-1"}, true, "dataset-1"},
		{asset.Owner{Type: asset.Project, ID: "dataset-1"}, true, ""},
		{asset.Owner{Type: "", ID: "a"}, false, ""},
		{asset.Owner{Type: "Project", ID: "a"}, false, ""},
		{asset.Owner{Type: asset.Project, ID: ""}, false, ""},
		{asset.Owner{Type: asset.Project, ID: "a/b"}, false, ""},
		{asset.Owner{Type: asset.Project, ID: "a b"}, false, ""},
		{asset.Owner{Type: asset.Project, ID: "a\n"}, false, ""},
		{asset.Owner{Type: asset.Project, ID: strings.Repeat("a", asset.MaxOwnerIDBytes)}, true, ""},
		{asset.Owner{Type: asset.Project, ID: strings.Repeat("a", asset.MaxOwnerIDBytes+1)}, false, ""},
	} {
		if err := asset.CheckOwner(c.owner); (err == nil) != c.sound || err != nil && !fault.Is(err, fault.CodeInvalidRequest) {
			t.Errorf("%+v: %v", c.owner, err)
		}
		if got := c.owner.DatasetID(); got != c.dataset {
			t.Errorf("%+v is the dataset %q", c.owner, got)
		}
	}
}

func TestMetadata(t *testing.T) {
	for sent, want := range map[string]string{
		"": "", "null": "", " null\n": "", "{}": "{}", " { \"a\" : [ 1 , 2 ] } ": `{"a":[1,2]}`, `{"<":"&"}`: `{"<":"&"}`,
		"[]": "!", `"a"`: "!", "7": "!", "{": "!", "{}{}": "!", "{\"a\":\"\xff\"}": "!", `{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`: "!",
		`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`: "!", `{"\\":"\"[[[{{{"}`: `{"\\":"\"[[[{{{"}`,
		`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`: `{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
		`{"a":"` + strings.Repeat("b", asset.MaxMetadataBytes) + `"}`:     "!",
		`{"a":"` + strings.Repeat("b", asset.MaxMetadataBytes-8) + `"}`:   `{"a":"` + strings.Repeat("b", asset.MaxMetadataBytes-8) + `"}`,
	} {
		raw := json.RawMessage(sent)
		c, err := asset.Changes{Metadata: &raw}.Check()
		if want == "!" {
			if !fault.Is(err, fault.CodeInvalidMetadata) {
				t.Errorf("%.40q: got %v", sent, err)
			}
			continue
		}
		if err != nil || string(*c.Metadata) != want || (want == "") != (*c.Metadata == nil) {
			t.Errorf("%.40q: got %.40q, %v", sent, *c.Metadata, err)
		}
	}
}

// FuzzMetadata sees that what is kept can be kept in a document and read again.
func FuzzMetadata(f *testing.F) {
	for _, text := range []string{"", "{}", `{"a":[1,{"b":"\\\""}]}`, "null", `{"<":"\u2028"}`, strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw := json.RawMessage(text)
		c, err := asset.Changes{Metadata: &raw}.Check()
		if err != nil || *c.Metadata == nil {
			return
		}
		kept, err := json.Marshal(asset.Info{Metadata: *c.Metadata})
		if err != nil {
			t.Fatalf("%q can't be kept: %v", text, err)
		}
		var read struct {
			Metadata map[string]any `json:"metadata"`
		}
		if err := json.Unmarshal(kept, &read); err != nil || len(*c.Metadata) > asset.MaxMetadataBytes {
			t.Fatalf("%q is kept as %q: %v", text, kept, err)
		}
		if again, err := (asset.Changes{Metadata: c.Metadata}).Check(); err != nil || string(*again.Metadata) != string(*c.Metadata) {
			t.Fatalf("%q is kept as %q, and again as %q, %v", text, *c.Metadata, *again.Metadata, err)
		}
	})
}

func TestChanges(t *testing.T) {
	before := asset.Info{Title: "t", Description: "d", Alias: "a", Tags: []string{"x"}, Metadata: json.RawMessage(`{}`)}
	if !(asset.Changes{}).Empty() || !reflect.DeepEqual(asset.Changes{}.Apply(before), before) {
		t.Error("no changes change something")
	}
	none, clear := json.RawMessage(nil), asset.Changes{Title: new(string), Description: new(string), Alias: new(string), Tags: new([]string)}
	clear.Metadata = &none
	if got := clear.Apply(before); !got.Empty() || clear.Empty() {
		t.Errorf("cleared to %+v", got)
	}
	if got := (asset.Changes{Tags: &[]string{"y"}}).Apply(before); got.Title != "t" || !got.HasTag("y") || got.HasTag("x") {
		t.Errorf("got %+v", got)
	}
}
