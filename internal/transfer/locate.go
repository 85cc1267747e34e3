package transfer

import (
	"context"
	"sync"
	"time"

	"github.com/parqueue/parqueue/internal/client"
)

// locator makes a URL of a file's bytes: a new one, if there was one before.
type locator func(ctx context.Context, f client.File, again bool) (client.Download, error)

// locateIn finds files of a dataset, which are fetched in about this order: their
// URLs are asked for by the hundred.
func (e *Engine) locateIn(datasetID string, files []client.File) locator {
	one := func(ctx context.Context, f client.File) (client.Download, error) {
		return e.client.Download(ctx, datasetID, f.Name)
	}
	stretches := make(map[string]*stretch, len(files))
	for from := 0; from < len(files); from += client.MaxDownloads {
		s := &stretch{files: files[from:min(from+client.MaxDownloads, len(files))]}
		for _, f := range s.files {
			stretches[f.Name] = s
		}
	}
	return func(ctx context.Context, f client.File, again bool) (client.Download, error) {
		s := stretches[f.Name]
		if again || s == nil || len(s.files) == 1 {
			return one(ctx, f)
		}
		if d, ok := s.find(ctx, e.client, datasetID, f.Name); ok {
			return d, nil
		}
		return one(ctx, f)
	}
}

// stretchFor is how long after they came URLs are given out: one is used for
// fileURLFor from then on.
const stretchFor = time.Minute

// stretch is files whose URLs are asked for together.
type stretch struct {
	files []client.File

	mu    sync.Mutex
	asked time.Time
	urls  map[string]client.Download // that nobody has taken yet
}

// find gives the URL of a file, once. It has none when they could not be had
// together, and when too much time has gone by since: the file is then asked for by
// itself, which says what is wrong.
func (s *stretch) find(ctx context.Context, c *client.Client, datasetID, name string) (client.Download, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.IsZero() {
		s.asked = time.Now()
		names := make([]string, len(s.files))
		for i, f := range s.files {
			names[i] = f.Name
		}
		found, err := c.Downloads(ctx, datasetID, names)
		s.urls = make(map[string]client.Download, len(found))
		for i, d := range found {
			s.urls[names[i]] = d
		}
		if err != nil {
			return client.Download{}, false
		}
	}
	d, ok := s.urls[name]
	delete(s.urls, name)
	return d, ok && time.Since(s.asked) < stretchFor
}
