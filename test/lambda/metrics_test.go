package lambda_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/emf/emftest"
)

// checkMetrics reads the logs as CloudWatch does.
func (d *deployment) checkMetrics(t *testing.T) {
	sums := map[string]float64{}
	for name, f := range d.functions {
		requests := 0
		for line := range strings.Lines(f.settled()) {
			values, err := emftest.Read(line)
			if err != nil {
				t.Errorf("%s: %v:\n%s", name, err, line)
			}
			if len(values) > 0 && name == sweepName {
				t.Errorf("the sweeper, which runs when nobody uses the deployment, has metrics:\n%s", line)
			}
			for _, v := range values {
				sums[v.Name+" "+v.Dimensions] += sum(v.Values)
				if v.Name == "Requests" {
					requests++
				}
			}
		}
		if lines := len(requestLines(f.log.String())); requests != lines {
			t.Errorf("%s counted %d of %d requests", name, requests, lines)
		}
	}
	names := []string{
		"Requests Stack=parqueue StatusClass=2xx", "Requests Stack=parqueue StatusClass=3xx", "Requests Stack=parqueue StatusClass=4xx",
		"Latency Stack=parqueue", "BytesIn Stack=parqueue", "BytesOut Stack=parqueue", "AppendedFiles Stack=parqueue",
		"IngestedFiles Stack=parqueue", "RejectedFiles Stack=parqueue", "IngestionLag Stack=parqueue",
	}
	for _, name := range names {
		if sums[name] == 0 {
			t.Errorf("%s is 0", name)
		}
	}
	for name := range sums {
		if !slices.Contains(names, name) {
			t.Errorf("there is a metric more, %s, which is paid for", name)
		}
	}
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}
