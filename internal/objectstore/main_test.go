package objectstore_test

import (
	"testing"

	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
)

func TestMain(m *testing.M) { embeddeds3test.Main(m) }
