package lambda_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// meter stands before a table and reads what DynamoDB would bill: it has every
// request answered with its capacity units.
type meter struct {
	url string

	mu   sync.Mutex
	used units
}

// units are DynamoDB's: for reads and for writes.
type units struct{ Reads, Writes float64 }

func startMeter(t *testing.T, table string) *meter {
	t.Helper()
	m := &meter{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body = bytes.Replace(body, []byte("{"), []byte(`{"ReturnConsumedCapacity":"TOTAL",`), 1)
		response, answer, err := pass(r, table, body)
		if err != nil {
			t.Error(err)
			return
		}
		m.read(t, r.Header.Get("X-Amz-Target"), response.StatusCode, answer)
		for name, values := range response.Header {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(response.StatusCode)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(server.Close)
	m.url = server.URL
	return m
}

// pass sends a request on and reads its answer. On a machine with much to do one in some
// thousand answers of the emulator is cut off; it is asked once more.
func pass(r *http.Request, to string, body []byte) (response *http.Response, answer []byte, err error) {
	for range 3 {
		var request *http.Request
		if request, err = http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.Path, bytes.NewReader(body)); err != nil {
			return nil, nil, err
		}
		request.Header = r.Header
		if response, err = http.DefaultClient.Do(request); err != nil {
			continue
		}
		answer, err = io.ReadAll(response.Body)
		response.Body.Close()
		if err == nil {
			return response, answer, nil
		}
	}
	return nil, nil, fmt.Errorf("%s was not answered whole: %w", r.Header.Get("X-Amz-Target"), err)
}

// read notes what a request consumed. One that is refused consumes as well, which
// the table does not say; nothing is refused where this is used.
func (m *meter) read(t *testing.T, target string, status int, answer []byte) {
	var said struct{ ConsumedCapacity json.RawMessage }
	if err := json.Unmarshal(answer, &said); err != nil || status != http.StatusOK {
		t.Errorf("%s is answered %d, %.300s", target, status, answer)
		return
	}
	_, operation, _ := strings.Cut(target, ".")
	if operation == "DescribeTable" { // which consumes nothing
		return
	}
	var tables []struct{ CapacityUnits float64 }
	if json.Unmarshal(said.ConsumedCapacity, &tables) != nil {
		tables = append(tables, struct{ CapacityUnits float64 }{})
		if err := json.Unmarshal(said.ConsumedCapacity, &tables[0]); err != nil {
			t.Errorf("%s says nothing of its capacity: %.300s", target, answer)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, table := range tables {
		switch operation {
		case "GetItem", "BatchGetItem", "Query":
			m.used.Reads += table.CapacityUnits
		default:
			m.used.Writes += table.CapacityUnits
		}
	}
}

// take returns what was consumed since the last time.
func (m *meter) take() units {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := m.used
	m.used = units{}
	return used
}
