package lambda_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// AWS's list prices in us-east-1, in dollars, without free tiers, as docs/costs.md
// says them. Those that are for a million of something have an M.
const (
	priceGatewayM   = 3.50 // requests to a REST API
	priceInvokeM    = 0.20
	priceGBSecond   = 0.0000133334 // Lambda on arm64
	priceStreamedGB = 0.008        // by Lambda, beyond the first 6 MB of an answer
	priceS3WriteM   = 5.00         // PUT, COPY, POST and LIST
	priceS3ReadM    = 0.40         // GET and HEAD; DELETE is free
	priceReadUnitM  = 0.125        // DynamoDB, on demand
	priceWriteUnitM = 0.625
	priceLogsGB     = 0.50
	priceTraceM     = 5.00
	priceEventM     = 1.00 // EventBridge, of S3's
	priceQueueM     = 0.40 // requests to SQS
	priceEgressGB   = 0.09 // to the internet
)

// What is not measured here: how long services take in their region, in
// milliseconds, and what processor time a request needs on a whole processor
// (docs/benchmarks.md has what was measured).
const (
	takesS3Write    = 40
	takesS3Read     = 30
	takesRead       = 5
	takesWrite      = 12
	takesCPU        = 2
	takesCPUofMB    = 2    // of a file that passes through the function
	wholeProcessor  = 1769 // MB of memory that come with one
	accessLogLine   = 450  // bytes
	functionLogLine = 900  // at most
	tracedShare     = 0.05
)

// price is what a million of something costs, by who bills it.
type price struct{ gateway, lambda, s3, dynamoDB, other float64 }

func (p price) total() float64 { return p.gateway + p.lambda + p.s3 + p.dynamoDB + p.other }

// price computes what a million of an operation costs. megabytes pass through the
// function, whose memory the template says.
func (o operation) price(t *testing.T, megabytes float64) price {
	t.Helper()
	var p price
	var waited float64
	for _, call := range o.calls {
		first, _, _ := strings.Cut(call, " ") // of a transaction
		switch service, action, _ := strings.Cut(first, ":"); {
		case action == "DeleteObject":
			waited += takesS3Write
		case action == "GetObject":
			p.s3 += priceS3ReadM
			waited += takesS3Read
		case service == "s3":
			p.s3 += priceS3WriteM
			waited += takesS3Write
		case action == "PutItem" || action == "UpdateItem" || action == "DeleteItem":
			waited += takesWrite
		default:
			waited += takesRead
		}
	}
	p.dynamoDB = o.units.Reads*priceReadUnitM + o.units.Writes*priceWriteUnitM
	invocations := float64(len(o.requests))
	for _, function := range o.requests {
		memory, own := functions(t)[function]["MemorySize"].(int)
		if !own {
			memory = 256
		}
		slower := max(1, wholeProcessor/float64(memory))
		ms := waited/invocations + (takesCPU+takesCPUofMB*megabytes)*slower
		p.lambda += priceInvokeM + ms*float64(memory)/1024*1000*priceGBSecond
	}
	p.other = float64(o.logged) * functionLogLine / 1000 * priceLogsGB
	if o.fromQueue {
		files := float64(max(1, o.perFile))
		p.other += files*(priceEventM+priceQueueM) + 2*priceQueueM // sent one by one, taken and deleted together
		p.s3 += files * priceS3WriteM                              // the client's own put
	} else {
		p.gateway = invocations * priceGatewayM
		p.other += invocations * (accessLogLine/1000.0*priceLogsGB + tracedShare*priceTraceM)
	}
	if files := float64(o.perFile); files > 1 {
		p = price{p.gateway / files, p.lambda / files, p.s3 / files, p.dynamoDB / files, p.other / files}
	}
	return p
}

// costs are the tables of docs/costs.md.
func (l *ledger) costs(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| a million … | API Gateway | Lambda | S3 | DynamoDB | logs, traces, events | all | S3 alone |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range []struct {
		name, operation string
		megabytes       float64
		s3Alone         float64
	}{
		{"uploads of 0.1 MB", "upload", 0.1, priceS3WriteM},
		{"uploads of 1 MB", "upload", 1, priceS3WriteM},
		{"uploads of 4.4 MB", "upload", 4.4, priceS3WriteM},
		{"uploads in parts, of one part", "large", 0, priceS3WriteM},
		{"… of 20 appended at once", "largeMany", 0, priceS3WriteM},
		{"uploads by a single PUT", "single", 0, priceS3WriteM},
		{"… of 20 appended at once", "singleMany", 0, priceS3WriteM},
		{"files by the inbox, one by one", "ingest", 0, priceS3WriteM},
		{"… by tens", "ingestMany", 0, priceS3WriteM},
		{"lists of 100 files", "list100", 0, priceS3WriteM},
		{"lists of 1,000 files", "list1000", 0, priceS3WriteM},
		{"downloads of 1 MB, streamed", "stream", 1, priceS3ReadM},
		{"downloads, redirected", "redirect", 0, priceS3ReadM},
		{"keys looked up", "key", 0, 0},
	} {
		o := l.operations[row.operation]
		p := o.price(t, row.megabytes)
		if row.operation == "redirect" {
			p.s3 += priceS3ReadM // of the client, which follows
		}
		if row.operation == "key" {
			p.gateway, p.other = 0, 0 // it is part of a request
		}
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f | %.2f | %.2f | **%.2f** | %.2f |\n", row.name, p.gateway, p.lambda, p.s3, p.dynamoDB, p.other, p.total(), row.s3Alone)
	}

	b.WriteString("\n| a GB in files of … | uploaded | S3 alone | downloaded | S3 alone |\n|---|--:|--:|--:|--:|\n")
	for _, row := range []struct {
		size      string
		megabytes float64
	}{{"0.1 MB", 0.1}, {"1 MB", 1}, {"4.4 MB", 4.4}, {"100 MB", 100}, {"5 GB", 5000}} {
		files := 1000 / row.megabytes / 1e6 // in millions
		parts := math.Ceil(row.megabytes / partMB)
		upload := l.operations["upload"].price(t, row.megabytes).total()
		alone := priceS3WriteM
		if row.megabytes > 4.7 {
			upload = l.operations["large"].price(t, 0).total() + (parts-1)*priceS3WriteM
			alone = (parts + 2) * priceS3WriteM
		}
		download := l.operations["stream"].price(t, row.megabytes).total()
		if row.megabytes > 6 {
			download = l.operations["redirect"].price(t, 0).total() + priceS3ReadM
		}
		fmt.Fprintf(&b, "| %s | %.4f | %.4f | %.4f | %.4f |\n", row.size, files*upload, files*alone, files*download+priceEgressGB, files*priceS3ReadM+priceEgressGB)
	}

	const aMonth = 730 // hours
	idle := 4*aMonth*l.operations["sweep"].idle(t) + aMonth*l.operations["rescan"].idle(t)
	fmt.Fprintf(&b, "\nThe two functions that a schedule calls cost $%.3f a month while nobody uses the deployment.\n", idle/1e6)
	return b.String()
}

// idle is what a million invocations by a schedule cost.
func (o operation) idle(t *testing.T) float64 {
	o.fromQueue = false
	p := o.price(t, 0)
	return p.lambda + p.s3 + p.dynamoDB + p.other
}

// partMB is the size of the parts that create-upload chooses for files of up to 160 GB.
const partMB = 16.78

// The tables are in the text between these.
const (
	costsBegin = "<!-- computed by TestRoundTrips -->\n"
	costsEnd   = "<!-- to here -->"
)

// checkCosts compares docs/costs.md with what was counted.
func (l *ledger) checkCosts(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testtool.Root(), "docs", "costs.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), costsBegin)
	written, _, ok := strings.Cut(rest, costsEnd)
	if want := l.costs(t); !ok || written != want {
		t.Errorf("docs/costs.md does not have what the counted calls cost:\n%s", want)
	}
}
