package api

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	contentEncoding = "Content-Encoding"

	// compressionLevel is where gzip of listings takes the least time, and three
	// percent more bytes than at its best. See docs/benchmarks.md.
	compressionLevel = 3

	// compressAbove is the length, in bytes, above which an answer is compressed.
	// What is shorter travels in one packet either way.
	compressAbove = 1400

	// compressorsAtOnce bounds the memory that compressors take, some 800 KiB
	// each. A listing that finds none free goes out as it is.
	compressorsAtOnce = 16

	// compressionRoom is more than what a compressor can have taken in and not yet
	// written: up to 16,384 matches or literals, each of 6 bytes at the very most.
	compressionRoom = 128 << 10
)

// newCompressors makes the places for compressors; each is made when it is
// first used.
func newCompressors() chan *gzip.Writer {
	free := make(chan *gzip.Writer, compressorsAtOnce)
	for range compressorsAtOnce {
		free <- nil
	}
	return free
}

// output is where a listing goes, compressed when the caller takes that and it
// is long enough. Its first Write decides: it has to be the whole answer, or more
// than compressAbove of it.
type output struct {
	http.ResponseWriter
	free       chan *gzip.Writer
	compresses bool // a place was taken for this
	compressor *gzip.Writer
	decided    bool
	compressed bool
	sent       int // bytes of the body
}

// newOutput takes the place of a compressor if the caller accepts gzip and there
// is one. It has to be released.
func newOutput(w http.ResponseWriter, accepted http.Header, free chan *gzip.Writer) *output {
	w.Header().Add("Vary", "Accept-Encoding")
	o := &output{ResponseWriter: w, free: free}
	if acceptsGzip(accepted) {
		select {
		case o.compressor = <-free:
			o.compresses = true
		default:
		}
	}
	return o
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if !o.decided {
		o.decided, o.compressed = true, o.compresses && len(p) > compressAbove
		if o.compressed {
			o.begin()
		}
	}
	if o.compressed {
		return o.compressor.Write(p)
	}
	return sentBytes{o}.Write(p)
}

func (o *output) begin() {
	o.Header().Set(contentEncoding, "gzip")
	if o.compressor == nil {
		o.compressor, _ = gzip.NewWriterLevel(nil, compressionLevel) // the level exists
	}
	o.compressor.Reset(sentBytes{o})
}

// end writes what the compressor still holds. An answer that is not ended is seen
// to be incomplete.
func (o *output) end() error {
	if o.compressed {
		return o.compressor.Close()
	}
	return nil
}

// release gives the compressor back.
func (o *output) release() {
	if !o.compresses {
		return
	}
	if o.compressor != nil {
		o.compressor.Reset(io.Discard) // it is not to hold on to the request
	}
	o.compresses = false
	o.free <- o.compressor
}

// sentBytes counts what goes out.
type sentBytes struct{ *output }

// Write implements io.Writer.
func (s sentBytes) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.sent += n
	return n, err
}

// acceptsGzip reports whether a request takes gzip, and does not like the bytes as
// they are better. What is not understood counts as not accepted.
// https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
func acceptsGzip(h http.Header) bool {
	const absent = -1
	gzipped, others, identity := float64(absent), float64(absent), float64(absent)
	for coding := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, parameter, weighted := strings.Cut(coding, ";")
		weight := 1.0
		if weighted {
			weight = quality(parameter)
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			gzipped = max(gzipped, weight)
		case "*":
			others = weight
		case "identity":
			identity = weight
		}
	}
	if gzipped == absent {
		gzipped = others
	}
	return gzipped > 0 && gzipped >= identity
}

// quality reads "q=0.5"; 0 means that it could not be read.
func quality(parameter string) float64 {
	name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
	q, err := strconv.ParseFloat(value, 64)
	if strings.EqualFold(name, "q") && err == nil && q >= 0 && q <= 1 {
		return q
	}
	return 0
}
