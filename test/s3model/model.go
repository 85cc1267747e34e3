package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parqueue/parqueue/internal/embeddeds3"
)

const (
	bucket = "bench"
	region = "us-east-1"

	// presigned begins the paths of URLs that a Parqueue server has signed for a
	// store of its own; that store's host follows.
	presigned = "/_presigned/"

	answerLimit = 64 << 20 // bytes of an answer of the API
)

// config says what to model.
type config struct {
	dir, listen    string
	api            string // the URL of a Parqueue server, or ""
	plain          bool   // model nothing
	firstByte      time.Duration
	bytesPerSecond int64
}

// model is a running model.
type model struct {
	url, apiURL string
	env         string // the file that tells clients where it is
	ca          string // the file with the certificate that they have to trust
	access      string // key
	secret      string

	store   *embeddeds3.Server
	servers []*http.Server
}

// start starts a store and the model before it.
func start(ctx context.Context, c config) (m *model, err error) {
	if c.plain && c.api != "" {
		return nil, errors.New("--plain stands before nothing, and before no --api either")
	}
	if c.dir == "" || c.bytesPerSecond <= 0 || c.firstByte < 0 {
		return nil, errors.New("--data has to name a folder, and --rate to be more than 0")
	}
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return nil, fmt.Errorf("finding the folder: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	m = &model{access: rand.Text(), secret: rand.Text(), env: filepath.Join(c.dir, "s3model.env"), ca: filepath.Join(c.dir, "s3model.pem")}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	m.store, err = embeddeds3.Start(ctx, embeddeds3.Config{Dir: filepath.Join(c.dir, "objects"), Address: "127.0.0.1:0", AccessKey: m.access, SecretKey: m.secret, Region: region, Buckets: []string{bucket}})
	if err != nil {
		return nil, err
	}
	if m.url = m.store.Endpoint(); !c.plain {
		if err := m.serveStore(c); err != nil {
			return nil, err
		}
	}
	if err := m.serveAPI(c); err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.env, []byte(m.environment()), 0o600); err != nil {
		return nil, fmt.Errorf("writing the environment: %w", err)
	}
	return m, nil
}

// serveStore stands before the store.
func (m *model) serveStore(c config) error {
	certificate, authority, err := newCertificate()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	m.url = "https://" + l.Addr().String()
	behind, err := url.Parse(m.store.Endpoint())
	if err != nil {
		return fmt.Errorf("the store's address: %w", err)
	}
	// As S3 does, it speaks HTTP/1.1 alone: each connection has one request at a time.
	m.serve(tls.NewListener(&pacedListener{Listener: l, bytesPerSecond: c.bytesPerSecond}, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}),
		after(c.firstByte, toStore(behind)))
	if err := os.WriteFile(m.ca, authority, 0o600); err != nil {
		return fmt.Errorf("writing the certificate: %w", err)
	}
	return nil
}

// serveAPI stands before a Parqueue server, if one is named.
func (m *model) serveAPI(c config) error {
	if c.api == "" {
		return nil
	}
	api, err := url.Parse(c.api)
	if err != nil || api.Scheme != "http" || !loopback(api.Host) {
		return fmt.Errorf("%q is not the URL of a server on this machine", c.api)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	m.apiURL = "http://" + l.Addr().String()
	m.serve(l, after(c.firstByte, m.toAPI(api)))
	return nil
}

func (m *model) serve(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	m.servers = append(m.servers, s)
	go func() { _ = s.Serve(l) }() // ends with close
}

func (m *model) close() error {
	var all []error
	for _, s := range m.servers {
		all = append(all, s.Close())
	}
	if m.store != nil {
		all = append(all, m.store.Close())
	}
	return errors.Join(all...)
}

// environment is what S3 clients read.
func (m *model) environment() string {
	var b strings.Builder
	told := [][2]string{
		{"AWS_ACCESS_KEY_ID", m.access}, {"AWS_SECRET_ACCESS_KEY", m.secret}, {"AWS_REGION", region}, {"AWS_DEFAULT_REGION", region},
		{"AWS_ENDPOINT_URL", m.url}, {"S3_ENDPOINT_URL", m.url}, {"S3MODEL_BUCKET", bucket}, {"S3MODEL_API", m.apiURL},
	}
	if strings.HasPrefix(m.url, "https:") {
		told = append(told, [][2]string{{"AWS_CA_BUNDLE", m.ca}, {"SSL_CERT_FILE", m.ca}, {"REQUESTS_CA_BUNDLE", m.ca}, {"NODE_EXTRA_CA_CERTS", m.ca}}...)
	}
	for _, line := range told {
		fmt.Fprintf(&b, "export %s='%s'\n", line[0], line[1])
	}
	return b.String()
}

// toStore passes requests on: to the model's store with the Host that their
// client has signed, and what is presigned to the store that it is signed for.
func toStore(behind *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Transport: newTransport(), BufferPool: newBuffers(), FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			host, path, ok := strings.Cut(strings.TrimPrefix(r.In.URL.EscapedPath(), presigned), "/")
			if !ok || !strings.HasPrefix(r.In.URL.Path, presigned) {
				r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = behind.Scheme, behind.Host, r.In.Host
				return
			}
			if !loopback(host) {
				host = "" // fails
			}
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", host, host
			r.Out.URL.RawPath = "/" + path
			r.Out.URL.Path, _ = url.PathUnescape("/" + path) //nolint:errcheck // it was parsed before
		},
	}
}

var storeURL = regexp.MustCompile(`http://(127\.0\.0\.1:\d+)/`)

// toAPI passes requests on to a Parqueue server, and has the URLs of its store
// lead through the model.
func (m *model) toAPI(api *url.URL) http.Handler {
	through := []byte(m.url + presigned + "$1/")
	return &httputil.ReverseProxy{
		Transport: newTransport(), BufferPool: newBuffers(), ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(api)
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(resp *http.Response) error {
			if where := resp.Header.Get("Location"); where != "" {
				resp.Header.Set("Location", storeURL.ReplaceAllString(where, string(through)))
			}
			if resp.Header.Get("Content-Type") != "application/json" {
				return nil
			}
			text, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
			if err != nil {
				return fmt.Errorf("reading the API's answer: %w", err)
			}
			text = storeURL.ReplaceAll(text, through)
			resp.Body = io.NopCloser(bytes.NewReader(text))
			resp.ContentLength = int64(len(text))
			resp.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return nil
		},
	}
}

func newTransport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10, IdleConnTimeout: time.Minute}
}

func loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	ip := net.ParseIP(name)
	return err == nil && ip != nil && ip.IsLoopback()
}

// after has no answer begin before a time after the end of its request.
func after(wait time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &timedBody{ReadCloser: r.Body}
		body.end.Store(time.Now().UnixNano())
		r.Body = body
		h.ServeHTTP(&lateWriter{ResponseWriter: w, body: body, wait: wait}, r)
	})
}

// timedBody knows when the last of it came.
type timedBody struct {
	io.ReadCloser
	end atomic.Int64
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 || err != nil {
		b.end.Store(time.Now().UnixNano())
	}
	return n, err //nolint:wrapcheck // io.Reader
}

// lateWriter waits before the header.
type lateWriter struct {
	http.ResponseWriter
	body   *timedBody
	wait   time.Duration
	waited bool
}

func (w *lateWriter) WriteHeader(status int) {
	if status >= http.StatusOK && !w.waited {
		w.waited = true
		time.Sleep(time.Until(time.Unix(0, w.body.end.Load()).Add(w.wait)))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the proxy flush.
func (w *lateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// buffers are those of the proxy.
type buffers struct{ pool sync.Pool }

const bufferSize = 64 << 10

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}}
}

func (b *buffers) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
