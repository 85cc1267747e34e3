package sweep_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
)

// memory is a store of objects without bytes. Before it changes anything it lets a
// test get in the way.
type memory struct {
	mu      sync.Mutex
	objects map[string]dataset.Listed
	parts   []dataset.OpenParts
	before  func(operation, key string) error // may be nil
	lists   int
}

func newMemory() *memory { return &memory{objects: map[string]dataset.Listed{}} }

func (m *memory) ask(operation, key string) error {
	if m.before == nil {
		return nil
	}
	return m.before(operation, key)
}

func (m *memory) put(key string, at time.Time) {
	m.objects[key] = dataset.Listed{Key: key, SizeBytes: 10, ModifiedAt: at}
}

func (m *memory) open(key, id string, at time.Time) {
	m.parts = append(m.parts, dataset.OpenParts{Key: key, ID: id, StartedAt: at})
	slices.SortFunc(m.parts, func(a, b dataset.OpenParts) int { return strings.Compare(a.Key+a.ID, b.Key+b.ID) })
}

// join makes parts an object, if they are there still.
func (m *memory) join(key, id string) bool {
	i := slices.IndexFunc(m.parts, func(p dataset.OpenParts) bool { return p.Key == key && p.ID == id })
	if i < 0 {
		return false
	}
	m.put(key, m.parts[i].StartedAt) // as S3 says it
	m.parts = slices.Delete(m.parts, i, i+1)
	return true
}

func (m *memory) has(key string) bool { return m.objects[key].Key != "" }

func (m *memory) List(ctx context.Context, prefix, after string, limit int) ([]dataset.Listed, bool, error) {
	m.lists++
	var keys []string
	for key := range m.objects {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var page []dataset.Listed
	for _, key := range keys[:min(limit, len(keys))] {
		page = append(page, m.objects[key])
	}
	return page, len(keys) > limit, ctx.Err()
}

func (m *memory) ListOpenParts(ctx context.Context, prefix, afterKey, afterID string, limit int) ([]dataset.OpenParts, bool, error) {
	var page []dataset.OpenParts
	for _, p := range m.parts {
		if strings.HasPrefix(p.Key, prefix) && (p.Key > afterKey || p.Key == afterKey && p.ID > afterID) {
			page = append(page, p)
		}
	}
	return page[:min(limit, len(page))], len(page) > limit, ctx.Err()
}

func (m *memory) AbortParts(_ context.Context, key, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask("abort", key); err != nil {
		return err
	}
	m.parts = slices.DeleteFunc(m.parts, func(p dataset.OpenParts) bool { return p.Key == key && p.ID == id })
	return nil
}

func (m *memory) DeleteMany(_ context.Context, keys []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(keys) > dataset.MaxDeleted {
		return errors.New("too many keys")
	}
	for _, key := range keys {
		if err := m.ask("delete", key); err != nil {
			return err
		}
		delete(m.objects, key)
	}
	return nil
}
