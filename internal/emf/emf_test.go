package emf_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/emf"
	"github.com/parqueue/parqueue/internal/emf/emftest"
)

// logged is the line of a record with some attributes.
func logged(attrs ...slog.Attr) string {
	var line bytes.Buffer
	slog.New(slog.NewJSONHandler(&line, nil)).LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
	return line.String()
}

func TestAttrs(t *testing.T) {
	stack, class := emf.Dimension{Name: "Stack", Value: "parqueue"}, emf.Dimension{Name: "StatusClass", Value: "2xx"}
	line := logged(append([]slog.Attr{slog.Int("status", 200)}, emf.Attrs(time.Now(), "Parqueue",
		emf.Group{Dimensions: []emf.Dimension{stack, class}, Metrics: []emf.Metric{{Name: "Requests", Unit: emf.Count, Value: 1}}},
		emf.Group{Dimensions: []emf.Dimension{stack}},
		emf.Group{Dimensions: []emf.Dimension{stack}, Metrics: []emf.Metric{
			{Name: "Latency", Unit: emf.Milliseconds, Value: 1.5}, {Name: "Lag", Unit: emf.Seconds, Value: []float64{1, 2}},
		}},
		emf.Group{Metrics: []emf.Metric{{Name: "All", Unit: emf.Bytes, Value: 7}}},
	)...)...)
	got, err := emftest.Read(line)
	want := []emftest.Value{
		{Namespace: "Parqueue", Name: "Requests", Unit: "Count", Dimensions: "Stack=parqueue StatusClass=2xx", Values: []float64{1}},
		{Namespace: "Parqueue", Name: "Latency", Unit: "Milliseconds", Dimensions: "Stack=parqueue", Values: []float64{1.5}},
		{Namespace: "Parqueue", Name: "Lag", Unit: "Seconds", Dimensions: "Stack=parqueue", Values: []float64{1, 2}},
		{Namespace: "Parqueue", Name: "All", Unit: "Bytes", Values: []float64{7}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nis read as %+v, %v", line, got, err)
	}
}

func TestNoMetrics(t *testing.T) {
	if attrs := emf.Attrs(time.Now(), "Parqueue", emf.Group{Dimensions: []emf.Dimension{{Name: "a", Value: "b"}}}); len(attrs) != 0 {
		t.Errorf("attributes %v", attrs)
	}
}

// The reader has to see what CloudWatch would drop.
func TestRead(t *testing.T) {
	line := func(timestamp, rest, members string) string {
		return fmt.Sprintf(`{"_aws":{"Timestamp":%s,"CloudWatchMetrics":[%s]}%s}`, timestamp, rest, members)
	}
	now := fmt.Sprint(time.Now().UnixMilli())
	const directive = `{"Namespace":"N","Dimensions":[["D"]],"Metrics":[{"Name":"M","Unit":"Count"}]}`
	for name, test := range map[string]struct {
		line  string
		sound bool
	}{
		"sound":                  {line(now, directive, `,"D":"d","M":1`), true},
		"no metadata":            {`{"M":1}`, true},
		"no JSON":                {`START RequestId`, true},
		"in seconds":             {line(now[:10], directive, `,"D":"d","M":1`), false},
		"no such metric":         {line(now, directive, `,"D":"d"`), false},
		"no such dimension":      {line(now, directive, `,"M":1`), false},
		"an empty dimension":     {line(now, directive, `,"D":"","M":1`), false},
		"a dimension as number":  {line(now, directive, `,"D":1,"M":1`), false},
		"a metric as text":       {line(now, directive, `,"D":"d","M":"1"`), false},
		"a metric without value": {line(now, directive, `,"D":"d","M":[]`), false},
		"an unknown unit":        {line(now, `{"Namespace":"N","Dimensions":[["D"]],"Metrics":[{"Name":"M","Unit":"count"}]}`, `,"D":"d","M":1`), false},
		"no namespace":           {line(now, `{"Dimensions":[["D"]],"Metrics":[{"Name":"M","Unit":"Count"}]}`, `,"D":"d","M":1`), false},
	} {
		if _, err := emftest.Read(test.line); (err == nil) != test.sound {
			t.Errorf("%s: %v", name, err)
		}
	}
}
