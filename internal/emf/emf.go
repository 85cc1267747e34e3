// Package emf makes metrics of lines in a log, in CloudWatch's embedded metric
// format: CloudWatch Logs reads the values out of a line of JSON that says which of
// its members are metrics. Nothing is called and nothing runs beside the function;
// a metric is billed for the hours in which there was such a line.
//
// AWS has a library of this for four languages, and none for Go. Those that others
// have made for Go could not be had from the module proxy when this was written, and
// what is needed of the format is one member of a line.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
//
// The package needs no IAM actions but those by which a function logs.
package emf

import (
	"log/slog"
	"time"
)

// Unit is what a metric counts in, in CloudWatch's words.
type Unit string

// The units that are used here.
const (
	Count        Unit = "Count"
	Bytes        Unit = "Bytes"
	Milliseconds Unit = "Milliseconds"
	Seconds      Unit = "Seconds"
)

// Metric is a value that was measured, or up to MaxValues of them.
type Metric struct {
	Name  string
	Unit  Unit
	Value any // a number, or []float64
}

// Dimension is a word by which metrics of one name are told apart. Every value of it
// is a metric of its own, which is paid for.
type Dimension struct{ Name, Value string }

// MaxValues is how many values one metric of a line has at most.
const MaxValues = 100

// Group is metrics with the dimensions that they are told apart by: all of them
// together, and not each.
type Group struct {
	Dimensions []Dimension
	Metrics    []Metric
}

// metadata is the member by which CloudWatch knows such a line.
type metadata struct {
	Timestamp         int64 // in milliseconds
	CloudWatchMetrics []directive
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []definition
}

type definition struct {
	Name string
	Unit Unit
}

// Attrs are what makes a record of these metrics when they are logged as JSON, at
// the top and not in a group. A name, be it of a metric or of a dimension, means one
// value in all groups: the first that it comes with.
func Attrs(now time.Time, namespace string, groups ...Group) []slog.Attr {
	m := metadata{Timestamp: now.UnixMilli()}
	attrs, named := []slog.Attr{}, map[string]bool{}
	add := func(name string, value any) {
		if !named[name] {
			named[name] = true
			attrs = append(attrs, slog.Any(name, value))
		}
	}
	for _, g := range groups {
		if len(g.Metrics) == 0 {
			continue
		}
		d := directive{Namespace: namespace, Dimensions: [][]string{{}}}
		for _, dimension := range g.Dimensions {
			d.Dimensions[0] = append(d.Dimensions[0], dimension.Name)
			add(dimension.Name, dimension.Value)
		}
		for _, metric := range g.Metrics {
			d.Metrics = append(d.Metrics, definition{metric.Name, metric.Unit})
			add(metric.Name, metric.Value)
		}
		m.CloudWatchMetrics = append(m.CloudWatchMetrics, d)
	}
	if m.CloudWatchMetrics == nil {
		return nil
	}
	return append(attrs, slog.Any("_aws", m))
}
