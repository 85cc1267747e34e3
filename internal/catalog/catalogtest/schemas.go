package catalogtest

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

func schemaTests() map[string]func(*testing.T, *env) {
	return map[string]func(*testing.T, *env){
		"the first file sets the schema": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "first", "second")
			a.Schema = nested()
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatal(err)
			}
			got, err := e.Dataset(e.ctx, e.tenant, d.ID)
			if err != nil || got.SchemaFile != "first" || !reflect.DeepEqual(*got.Schema, nested()) {
				t.Fatalf("got %+v %+v, %v", got.SchemaFile, got.Schema, err)
			}
			page, err := e.Files(e.ctx, e.tenant, d.ID, 1, 10)
			if err != nil || page.Dataset.SchemaFile != "first" || !reflect.DeepEqual(*page.Dataset.Schema, nested()) {
				t.Fatalf("with its files: %+v, %v", page.Dataset, err)
			}
		},
		"another schema is refused with what differs": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "first")
			before, _ := e.Dataset(e.ctx, e.tenant, d.ID)
			a := e.request(d, "second")
			a.Schema = columns("id double", "text string")
			_, err := e.Append(e.ctx, a)
			wantCode(t, err, fault.CodeSchemaMismatch)
			if details := err.(*fault.Error).Details; details["schema_file"] != "first" || details["diff"] == nil {
				t.Fatalf("the details are %v", details)
			}
			a = e.request(d, "first") // a taken name as well: the schema is told
			a.Schema = columns("id double", "text string")
			_, err = e.Append(e.ctx, a)
			wantCode(t, err, fault.CodeSchemaMismatch)
			after, _ := e.Dataset(e.ctx, e.tenant, d.ID)
			if !reflect.DeepEqual(before, after) {
				t.Fatalf("the dataset was %+v and is %+v", before, after)
			}
			_, err = e.File(e.ctx, e.tenant, d.ID, "second")
			wantCode(t, err, fault.CodeFileNotFound)
		},
		"the order of columns is not part of the schema": func(t *testing.T, e *env) {
			d := e.create(t)
			e.append(t, d, "first")
			a := e.request(d, "second")
			a.Schema = columns("text string", "id int64")
			if _, err := e.Append(e.ctx, a); err != nil {
				t.Fatal(err)
			}
		},
		"a schema of 5,000 columns": func(t *testing.T, e *env) {
			d := e.create(t)
			wide := wideSchema(5000)
			for i := range 3 {
				a := e.request(d, fmt.Sprint("f", i))
				a.Schema = wide
				if _, err := e.Append(e.ctx, a); err != nil {
					t.Fatal(err)
				}
			}
			page, err := e.Files(e.ctx, e.tenant, d.ID, 0, 10)
			if err != nil || len(page.Files) != 3 || !reflect.DeepEqual(*page.Dataset.Schema, wide) {
				t.Fatalf("%d files, %v", len(page.Files), err)
			}
			a := e.request(d, "narrow")
			_, err = e.Append(e.ctx, a)
			wantCode(t, err, fault.CodeSchemaMismatch)
			list, err := e.Datasets(e.ctx, e.tenant, "", 10)
			if err != nil || len(list.Datasets) != 1 || !reflect.DeepEqual(*list.Datasets[0].Schema, wide) {
				t.Fatalf("listed %d, %v", len(list.Datasets), err)
			}
		},
		"a schema too large to keep is refused": func(t *testing.T, e *env) {
			d := e.create(t)
			a := e.request(d, "a")
			a.Schema = schema.Schema{}
			for range 10_000 { // random names do not compress
				a.Schema.Fields = append(a.Schema.Fields, schema.Field{Name: newName("") + newName("") + newName("") + newName("") + newName("") + newName(""), Type: "int64"})
			}
			_, err := e.Append(e.ctx, a)
			wantCode(t, err, fault.CodeParquetLimit)
			got, err := e.Dataset(e.ctx, e.tenant, d.ID)
			if err != nil || got.Schema != nil || got.FileCount != 0 {
				t.Fatalf("the dataset is %+v, %v", got, err)
			}
			e.append(t, d, "a")
		},
	}
}

func nested() schema.Schema {
	text := schema.Field{Type: "string"}
	return schema.Schema{Fields: []schema.Field{
		{Name: "l", Type: schema.List, Element: &schema.Field{Type: schema.Struct, Fields: []schema.Field{{Name: "日本", Type: "decimal(10,2)"}}}},
		{Name: "m", Type: schema.Map, Key: &text, Value: &text},
	}}
}

func wideSchema(n int) schema.Schema {
	var s schema.Schema
	for i := range n {
		s.Fields = append(s.Fields, schema.Field{Name: fmt.Sprintf("%s_feature_%d", newName(""), i), Type: "timestamp(us,utc)"})
	}
	return s
}
