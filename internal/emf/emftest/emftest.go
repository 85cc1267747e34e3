// Package emftest reads metrics out of lines of a log as CloudWatch Logs does,
// and says of a line that CloudWatch would not take why.
package emftest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Value is one metric of a line.
type Value struct {
	Namespace  string
	Name, Unit string
	Dimensions string // "Name=value", in order, separated by spaces
	Values     []float64
}

// Limits of the format.
const (
	maxDimensions = 30
	maxMetrics    = 100
	maxValues     = 100
	maxText       = 1024
)

var units = []string{
	"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits",
	"Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Count/Second", "None",
}

// Read returns the metrics of a line, none if it has none.
func Read(line string) ([]Value, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(line), &members) != nil || members["_aws"] == nil {
		return nil, nil
	}
	var metadata struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	}
	if err := json.Unmarshal(members["_aws"], &metadata); err != nil {
		return nil, err
	}
	if at := time.UnixMilli(metadata.Timestamp); time.Since(at) > 14*24*time.Hour || time.Until(at) > 2*time.Hour {
		return nil, fmt.Errorf("it is of %s", at)
	}
	var found []Value
	for _, directive := range metadata.CloudWatchMetrics {
		if directive.Namespace == "" || len(directive.Namespace) > maxText || len(directive.Metrics) == 0 || len(directive.Metrics) > maxMetrics {
			return nil, fmt.Errorf("%d metrics in the namespace %q", len(directive.Metrics), directive.Namespace)
		}
		for _, set := range directive.Dimensions {
			if len(set) > maxDimensions {
				return nil, fmt.Errorf("%d dimensions", len(set))
			}
			dimensions, err := valuesOf(members, set)
			if err != nil {
				return nil, err
			}
			for _, metric := range directive.Metrics {
				values, err := numbers(members[metric.Name])
				if err != nil || !slices.Contains(units, metric.Unit) {
					return nil, fmt.Errorf("the metric %s in %s: %w", metric.Name, metric.Unit, err)
				}
				found = append(found, Value{directive.Namespace, metric.Name, metric.Unit, dimensions, values})
			}
		}
	}
	return found, nil
}

func valuesOf(members map[string]json.RawMessage, names []string) (string, error) {
	var dimensions []string
	for _, name := range names {
		var text string
		if err := json.Unmarshal(members[name], &text); err != nil || text == "" || len(text) > maxText {
			return "", fmt.Errorf("the dimension %s is %s", name, members[name])
		}
		dimensions = append(dimensions, name+"="+text)
	}
	return strings.Join(dimensions, " "), nil
}

func numbers(text json.RawMessage) ([]float64, error) {
	var one float64
	if json.Unmarshal(text, &one) == nil && string(text) != "null" {
		return []float64{one}, nil
	}
	var several []float64
	if err := json.Unmarshal(text, &several); err != nil {
		return nil, fmt.Errorf("%s is no number: %w", text, err)
	}
	if len(several) == 0 || len(several) > maxValues {
		return nil, errors.New("too few values, or too many")
	}
	return several, nil
}
