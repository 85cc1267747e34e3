package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/emf/emftest"
	"github.com/parqueue/parqueue/internal/lambdaqueue"
)

// measured is what CloudWatch makes of a record with some attributes, in order.
func measured(t *testing.T, attrs []slog.Attr) string {
	t.Helper()
	var line bytes.Buffer
	slog.New(slog.NewJSONHandler(&line, nil)).LogAttrs(t.Context(), slog.LevelInfo, "request", attrs...)
	values, err := emftest.Read(line.String())
	if err != nil {
		t.Errorf("%s: %v", line.String(), err)
	}
	var texts []string
	for _, v := range values {
		texts = append(texts, fmt.Sprintf("%s{%s}%v", v.Name, v.Dimensions, v.Values))
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

func TestRequest(t *testing.T) {
	served := api.Served{Endpoint: "upload-to-dataset", Status: 200, Took: 1500 * time.Microsecond, BytesIn: 4000, BytesOut: 300, Appended: 1}
	refused := api.Served{Endpoint: "upload-to-dataset", Status: 409, Took: time.Millisecond}
	for level, want := range map[string][2]string{
		"none": {"", ""},
		"stack": {
			"AppendedFiles{Stack=s}[1] BytesIn{Stack=s}[4000] BytesOut{Stack=s}[300] Latency{Stack=s}[1.5] Requests{Stack=s StatusClass=2xx}[1]",
			"BytesIn{Stack=s}[0] BytesOut{Stack=s}[0] Latency{Stack=s}[1] Requests{Stack=s StatusClass=4xx}[1]",
		},
		"endpoint": {
			strings.ReplaceAll("AppendedFiles{E}[1] BytesIn{E}[4000] BytesOut{E}[300] Latency{E}[1.5] Requests{E StatusClass=2xx}[1]", "E", "Stack=s Endpoint=upload-to-dataset"),
			strings.ReplaceAll("BytesIn{E}[0] BytesOut{E}[0] Latency{E}[1] Requests{E StatusClass=4xx}[1]", "E", "Stack=s Endpoint=upload-to-dataset"),
		},
	} {
		m, err := newMetrics(level, "s", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{measured(t, m.Request(served)), measured(t, m.Request(refused))}; got != want {
			t.Errorf("%s measures\n%q, want\n%q", level, got, want)
		}
	}
}

func TestIngestion(t *testing.T) {
	m, err := newMetrics("stack", "s", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	done := lambdaqueue.Done{Listed: 2, Rejected: 1, Waited: []time.Duration{1500 * time.Millisecond, -time.Second}}
	if got := measured(t, m.Ingestion(done)); got != "IngestedFiles{Stack=s}[2] IngestionLag{Stack=s}[1.5 0] RejectedFiles{Stack=s}[1]" {
		t.Errorf("measured %s", got)
	}
	if got := m.Ingestion(lambdaqueue.Done{}); len(got) > 0 {
		t.Errorf("nothing is measured as %v: it would be billed every hour", got)
	}
	many := lambdaqueue.Done{Listed: 300, Waited: make([]time.Duration, 300)}
	if got := measured(t, m.Ingestion(many)); !strings.Contains(got, "IngestionLag") {
		t.Errorf("measured %s", got)
	}
}

func TestMisspelt(t *testing.T) {
	if _, err := newMetrics("Stack", "s", time.Now); err == nil {
		t.Error("another level is taken")
	}
	if _, err := newMetrics("stack", "", time.Now); err == nil {
		t.Error("a stack without a name is taken")
	}
}
