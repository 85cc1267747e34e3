// Package metrics says what of a deployment is a metric in CloudWatch, and by which
// few dimensions: each of their values is a metric that is paid for, in the hours in
// which somebody uses the deployment.
//
// The package needs no IAM actions but those by which a function logs.
package metrics

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/deployed/environment"
	"github.com/parqueue/parqueue/internal/emf"
	"github.com/parqueue/parqueue/internal/lambdaqueue"
)

// Namespace is where the metrics of all deployments in an account are.
const Namespace = "Parqueue"

// What the variable METRICS says: no metrics, those of the stack as a whole, or
// those of every endpoint.
const (
	ofNothing   = "none"
	ofStack     = "stack"
	ofEndpoints = "endpoint"
)

// Metrics makes log attributes of what was done.
type Metrics struct {
	level string
	stack string
	now   func() time.Time
}

// Open reads from the environment what to measure; nothing where it does not say.
func Open() (*Metrics, error) {
	return newMetrics(os.Getenv(environment.Metrics), os.Getenv(environment.Stack), time.Now)
}

func newMetrics(level, stack string, now func() time.Time) (*Metrics, error) {
	switch level {
	case "", ofNothing:
		level = ofNothing
	case ofStack, ofEndpoints:
		if stack == "" {
			return nil, fmt.Errorf("the environment variable %s is not set; the template sets it", environment.Stack)
		}
	default:
		return nil, fmt.Errorf("the environment variable %s is %q; it is none, stack or endpoint", environment.Metrics, level)
	}
	return &Metrics{level: level, stack: stack, now: now}, nil
}

// Request measures a request: how many there were by the class of their status, and
// what they took and moved.
func (m *Metrics) Request(s api.Served) []slog.Attr {
	if m.level == ofNothing {
		return nil
	}
	of := []emf.Dimension{{Name: "Stack", Value: m.stack}}
	if m.level == ofEndpoints {
		of = append(of, emf.Dimension{Name: "Endpoint", Value: s.Endpoint})
	}
	class := emf.Dimension{Name: "StatusClass", Value: fmt.Sprintf("%dxx", s.Status/100)}
	moved := []emf.Metric{
		{Name: "Latency", Unit: emf.Milliseconds, Value: float64(s.Took.Microseconds()) / 1000},
		{Name: "BytesIn", Unit: emf.Bytes, Value: s.BytesIn},
		{Name: "BytesOut", Unit: emf.Bytes, Value: s.BytesOut},
	}
	if s.Appended > 0 {
		moved = append(moved, emf.Metric{Name: "AppendedFiles", Unit: emf.Count, Value: s.Appended})
	}
	return emf.Attrs(m.now(), Namespace,
		emf.Group{Dimensions: append(of[:len(of):len(of)], class), Metrics: []emf.Metric{{Name: "Requests", Unit: emf.Count, Value: 1}}},
		emf.Group{Dimensions: of, Metrics: moved})
}

// Ingestion measures what an invocation did with the inbox, and nothing when it did
// nothing: a schedule invokes it every hour, which must not cost anything.
func (m *Metrics) Ingestion(d lambdaqueue.Done) []slog.Attr {
	if m.level == ofNothing || d.Listed+d.Rejected == 0 {
		return nil
	}
	var metrics []emf.Metric
	for name, files := range map[string]int{"IngestedFiles": d.Listed, "RejectedFiles": d.Rejected} {
		if files > 0 {
			metrics = append(metrics, emf.Metric{Name: name, Unit: emf.Count, Value: files})
		}
	}
	if waited := d.Waited[:min(len(d.Waited), emf.MaxValues)]; len(waited) > 0 {
		lag := make([]float64, len(waited))
		for i, w := range waited {
			lag[i] = max(0, w.Round(time.Millisecond).Seconds())
		}
		metrics = append(metrics, emf.Metric{Name: "IngestionLag", Unit: emf.Seconds, Value: lag})
	}
	return emf.Attrs(m.now(), Namespace, emf.Group{Dimensions: []emf.Dimension{{Name: "Stack", Value: m.stack}}, Metrics: metrics})
}
