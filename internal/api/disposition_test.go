package api

import (
	"errors"
	"testing"
)

func TestParseDisposition(t *testing.T) {
	file := func(name string) disposition { return disposition{name: "file", fileName: name, hasFile: true} }
	for header, want := range map[string]disposition{
		`form-data; name="dataset_id"`:                                               {name: "dataset_id"},
		`form-data; name=dataset_id`:                                                 {name: "dataset_id"},
		`Form-Data;name="file";filename="a.parquet"`:                                 file("a.parquet"),
		`form-data; filename="a.parquet"; name="file"`:                               file("a.parquet"),
		`form-data; name="file"; filename=""`:                                        file(""),
		`form-data; name="file"; filename="Größe 🎉.parquet"`:                         file("Größe 🎉.parquet"),
		`form-data; name="file"; filename="a%22b.parquet"`:                           file(`a"b.parquet`),
		`form-data; name="file"; filename="a%0D%0Ab"`:                                file("a\r\nb"),
		`form-data; name="file"; filename="100%25.parquet"`:                          file("100%25.parquet"),
		`form-data; name="file"; filename="a\"b.parquet"`:                            file(`a"b.parquet`),
		`form-data; name="file"; filename="..\..\x"`:                                 file(`..\..\x`),
		`form-data; name="file"; filename="a\"`:                                      file(`a\`),
		`form-data; name="file"; filename="../../etc/passwd"`:                        file("../../etc/passwd"),
		`form-data; name="file"; filename="a;b=c.parquet"`:                           file("a;b=c.parquet"),
		`form-data; name="file"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.parquet`:           file("Größe.parquet"),
		`form-data; name="file"; filename="a.parquet"; filename*=utf-8'en'a.parquet`: file("a.parquet"),
		`form-data; name="file"; filename="a.parquet"; filename*=utf-8''..%2Fpasswd`: {},
		`form-data; name="file"; filename="a"; filename="b"`:                         {},
		`form-data; name="file"; filename="a`:                                        {},
		`form-data; name="file"; filename="a"b"`:                                     {},
		`form-data; name="file"; filename*=latin1''a`:                                {},
		`form-data; name="file"; filename*=utf-8''%zz`:                               {},
		`attachment; name="file"`:                                                    {},
		`form-data; ="x"`:                                                            {},
		``:                                                                           {},
	} {
		got, err := parseDisposition(header)
		if want == (disposition{}) {
			if err == nil {
				t.Errorf("%s is accepted as %+v", header, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s\n got %+v, %v\nwant %+v", header, got, err, want)
		}
	}
}

func TestTwoFileNamesAreToldApart(t *testing.T) {
	_, err := parseDisposition(`form-data; name="file"; filename="a"; filename*=utf-8''b`)
	if !errors.Is(err, errTwoNames) {
		t.Fatalf("got %v, want errTwoNames", err)
	}
}
