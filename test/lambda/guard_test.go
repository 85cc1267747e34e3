package lambda_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
)

// The stores here know no policies, so a guard stands before them: it lets a
// function do what the template's policy lets it do, and fails the test at
// everything else.

// listBucket is the action that lets a caller know that an object is not there.
const listBucket = "s3:ListBucket"

// listParts is the action that lets a caller see the uploads in parts under way.
const listParts = "s3:ListBucketMultipartUploads"

// ofMark is behind an action that is allowed on the sweeper's mark, and not on files.
const ofMark = " on " + markKey

const markKey = "marks/sweep"

var theMark = object{"!Sub": "${Bucket.Arn}/" + markKey}

// calls are the IAM actions that functions used, one for each request to a store.
type calls struct {
	mu   sync.Mutex
	made map[string][]string        // by function
	used map[string]map[string]bool // by function, every action that it ever used
}

func newCalls() *calls {
	return &calls{made: map[string][]string{}, used: map[string]map[string]bool{}}
}

func (c *calls) note(function string, actions []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[function] = append(c.made[function], strings.Join(actions, " "))
	c.usedActions(function, actions)
}

// use notes an action that made a difference and was no request of its own.
func (c *calls) use(function, action string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.usedActions(function, []string{action})
}

func (c *calls) usedActions(function string, actions []string) {
	if c.used[function] == nil {
		c.used[function] = map[string]bool{}
	}
	for _, action := range actions {
		c.used[function][action] = true
	}
}

// hasUsed reports whether a function ever used an action.
func (c *calls) hasUsed(function, action string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used[function][action]
}

// take returns what a function called since the last time.
func (c *calls) take(function string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := c.made[function]
	delete(c.made, function)
	return made
}

// guard returns the address of a store as one function may use it. actions tells
// which IAM actions a request needs.
func (s *stores) guard(t *testing.T, function, store string, actions func(*http.Request) ([]string, error)) string {
	t.Helper()
	target, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	granted := granted(t, function)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is part of the signature
	}, ModifyResponse: func(answer *http.Response) error {
		request := answer.Request
		reads := request.Method == http.MethodGet || request.Method == http.MethodHead
		ofObject := reads && !request.URL.Query().Has("uploadId")
		if answer.StatusCode != http.StatusNotFound || !ofObject {
			return nil
		}
		if mayList(t, function, request.URL.Path) {
			s.calls.use(function, listBucket)
		} else {
			answer.StatusCode = http.StatusForbidden // so S3 hides objects that are not there
		}
		return nil
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		needed, err := actions(r)
		if err != nil || len(needed) == 0 {
			t.Errorf("%s sends %s %s, of which the guard knows nothing: %v", function, r.Method, r.URL, err)
		}
		s.calls.note(function, needed)
		for _, action := range needed {
			if !slices.Contains(granted, action) {
				t.Errorf("%s needs %s, which its policy does not allow", function, action)
				http.Error(w, "not allowed", http.StatusForbidden)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// granted are the actions that a function's policy allows.
func granted(t *testing.T, function string) []string {
	t.Helper()
	var actions []string
	for _, policy := range list(functions(t)[function]["Policies"]) {
		for _, statement := range list(at(policy, "Statement")) {
			where := ""
			if reflect.DeepEqual(at(statement, "Resource"), theMark) {
				where = ofMark
			}
			for _, action := range list(at(statement, "Action")) {
				actions = append(actions, action.(string)+where)
			}
		}
	}
	return actions
}

// mayList reports whether a function's policy lets it know that an object of the
// bucket in a path is not there.
func mayList(t *testing.T, function, path string) bool {
	bucket := object{"!GetAtt": "Bucket.Arn"}
	if strings.HasPrefix(path, "/"+embeddeds3test.Inbox+"/") {
		bucket = object{"!GetAtt": "InboxBucket.Arn"}
	}
	for _, policy := range list(functions(t)[function]["Policies"]) {
		for _, statement := range list(at(policy, "Statement")) {
			if slices.Contains(list(at(statement, "Action")), any(listBucket)) && reflect.DeepEqual(at(statement, "Resource"), bucket) {
				return true
			}
		}
	}
	return false
}

// tableActions are the IAM actions that a request to DynamoDB needs. A
// transaction needs those of what is in it.
func tableActions(r *http.Request) ([]string, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if operation != "TransactWriteItems" {
		return []string{"dynamodb:" + operation}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var transaction struct {
		TransactItems []map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &transaction); err != nil {
		return nil, err
	}
	names := map[string]string{
		"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
	}
	var actions []string
	for _, item := range transaction.TransactItems {
		for kind := range item {
			actions = append(actions, "dynamodb:"+names[kind])
		}
	}
	return actions, nil
}

// objectActions are the IAM actions that a request for an object needs. A
// request for anything but a file, a mark, or an object of the inbox, needs none that any function has.
func objectActions(r *http.Request) ([]string, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	inInbox := bucket == embeddeds3test.Inbox
	switch query := r.URL.Query(); {
	case key != "":
	case r.Method == http.MethodGet && query.Has("list-type") && (inInbox || query.Get("prefix") == "files/"):
		return []string{listBucket}, nil
	case r.Method == http.MethodGet && query.Has("uploads") && query.Get("prefix") == "files/":
		return []string{listParts}, nil
	case r.Method == http.MethodPost && query.Has("delete"):
		return []string{"s3:DeleteObject"}, nil
	}
	if !inInbox && key == markKey {
		return map[string][]string{http.MethodGet: {"s3:GetObject" + ofMark}, http.MethodPut: {"s3:PutObject" + ofMark}}[r.Method], nil
	}
	if !inInbox && !strings.HasPrefix(key, "files/") {
		return []string{"s3 outside of files/: " + r.URL.Path}, nil
	}
	ofParts := r.URL.Query().Has("uploadId")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if ofParts {
			return []string{"s3:ListMultipartUploadParts"}, nil
		}
		return []string{"s3:GetObject"}, nil
	case http.MethodPut, http.MethodPost:
		return []string{"s3:PutObject"}, nil
	case http.MethodDelete:
		if ofParts {
			return []string{"s3:AbortMultipartUpload"}, nil
		}
		return []string{"s3:DeleteObject"}, nil
	}
	return nil, nil
}
